//! `maquette forecast seal`

use std::{path::PathBuf, time::SystemTime};

use base::Timestamp;
use forecast::{Seal, band};

use super::{ColumnOptions, FitOptions, PlotOption, TargetOptions, check, described, fit, read_table, warn};
use crate::{
    output,
    output_file::{Kind, OutputFile},
    report::Picture,
};

/// Save a forecast under a hash, before the run begins
///
/// The file holds the points, the settings, the law, every draw and the time. Publish the hash: whoever has it can
/// check later that nothing was changed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Table of finished runs
    points: PathBuf,
    #[command(flatten)]
    target: TargetOptions,
    /// Where to write the sealed forecast; an existing file is not replaced
    #[arg(long, value_name = "FILE.json", default_value = "forecast.json")]
    out: PathBuf,
    #[command(flatten)]
    fit: FitOptions,
    #[command(flatten)]
    columns: Box<ColumnOptions>,
    #[command(flatten)]
    plot: PlotOption,
    /// Print the hash, the time and the intervals as JSON on stdout
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let target = args.target.target()?;
    let out = OutputFile { path: &args.out, option: "--out", kind: Kind::Seal };
    check([Some(out), args.plot.file()])?;
    let table = read_table(&args.points, &args.columns)?;
    let fitted = fit(&table, &args.fit, &args.points)?;
    let forecast = fitted.forecast(&target)?;
    warn(&forecast.warnings);
    let now = Timestamp::from(SystemTime::now());
    let seal = Seal::new(&table, forecast, now, env!("CARGO_PKG_VERSION"))?;
    let seal = seal.with_references(fitted.references()).with_band(band(&fitted, &table, &target)?);
    out.write(seal.to_json().as_bytes())?;
    args.plot.draw(&Picture::sealed(&seal, None))?;
    if args.json {
        let shown = serde_json::json!({
            "out": args.out,
            "seal": seal.seal,
            "sealed_at": seal.sealed_at,
            "target": seal.forecast.target,
            "prediction": seal.forecast.prediction,
            "warnings": seal.forecast.warnings,
        });
        return output::json(&shown);
    }
    output::words(described(&seal.forecast))?;
    output::words(format_args!(
        "sealed at {}\nseal      {}\nwrote     {}",
        seal.sealed_at,
        seal.seal,
        args.out.display()
    ))
}
