//! The table that an import writes.

use std::path::PathBuf;

use forecast::{Point, Table};

use super::warn;
use crate::{
    output,
    output_file::{Kind, OutputFile},
};

/// Where the points go.
#[derive(Debug, clap::Args)]
pub(super) struct Out {
    /// Where to write the table; stdout if not given. An existing file is not replaced
    #[arg(long, value_name = "POINTS.csv")]
    out: Option<PathBuf>,
}

impl Out {
    /// Writes the points in ascending order of compute.
    pub(super) fn write(&self, table: &Table) -> anyhow::Result<()> {
        let file = self.file();
        if let Some(file) = &file {
            file.check()?;
        }
        warn(table.warnings());
        let text = csv(table.points())?;
        let Some(file) = file else { return output::line(text.trim_end()) };
        file.write(text.as_bytes())?;
        output::talk(format_args!("wrote {} runs to {}", table.points().len(), file.path.display()));
        Ok(())
    }

    fn file(&self) -> Option<OutputFile<'_>> {
        self.out.as_deref().map(|path| OutputFile { path, option: "--out", kind: Kind::Table })
    }
}

fn csv(points: &[Point]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["run", "n_params", "n_tokens", "flops", "loss", "seed"])?;
    let number = |x: Option<f64>| x.map(shortest).unwrap_or_default();
    for point in points {
        writer.write_record([
            point.run.clone(),
            number(point.n_params),
            number(point.n_tokens),
            shortest(point.flops),
            shortest(point.loss),
            point.seed.map(|seed| seed.to_string()).unwrap_or_default(),
        ])?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

/// The shortest text that reads back as the same number: `4096`, `1.5e21`.
fn shortest(x: f64) -> String {
    let text = format!("{x:?}");
    text.strip_suffix(".0").map_or(text.clone(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_come_back_from_their_csv_to_the_last_bit() {
        let point = |run: &str, flops: f64| Point {
            run: run.to_owned(),
            n_params: Some(0.1 + 0.2),
            n_tokens: None,
            flops,
            loss: 2.0 / 3.0,
            seed: Some(u64::MAX),
        };
        let table =
            Table::new(vec![point("a, \"b\"\nc", 1e15 / 7.0), point("ü", 3e25), point("n", 4096.0)]).unwrap();
        let text = csv(table.points()).unwrap();
        assert_eq!(Table::read_csv(text.as_bytes()).unwrap().points(), table.points(), "{text}");
        assert_eq!([4096.0, 3e25, 0.5].map(shortest), ["4096", "3e25", "0.5"]);
    }
}
