//! `maquette forecast import wandb`

use std::path::PathBuf;

use anyhow::Context as _;
use csv::StringRecord;
use forecast::Point;

use super::import::Out;
use crate::output;

/// From the CSV that Weights & Biases exports of a table of runs
///
/// Columns are found by their usual names, such as Name, n_params, total_tokens, train_flops and val/loss; what was
/// taken for what is told.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The export
    export: PathBuf,
    #[command(flatten)]
    out: Out,
    /// Column with the names of the runs
    #[arg(long, value_name = "NAME")]
    run_column: Option<String>,
    /// Column with the parameters
    #[arg(long, value_name = "NAME")]
    params_column: Option<String>,
    /// Column with the tokens trained on
    #[arg(long, value_name = "NAME")]
    tokens_column: Option<String>,
    /// Column with the training FLOPs; 6·N·D if there is none
    #[arg(long, value_name = "NAME")]
    flops_column: Option<String>,
    /// Column with the final loss
    #[arg(long, value_name = "NAME")]
    loss_column: Option<String>,
    /// Column with the seed
    #[arg(long, value_name = "NAME")]
    seed_column: Option<String>,
}

/// Usual names, plain (see [`plain`]), the likeliest first.
const RUN: &[&str] = &["name", "run", "run_name", "display_name", "run_id", "id"];
const PARAMS: &[&str] = &[
    "n_params",
    "num_params",
    "n_parameters",
    "num_parameters",
    "model_params",
    "total_params",
    "param_count",
    "parameters",
    "params",
    "model_size",
    "non_embedding_params",
    "n_matrix_params",
];
const TOKENS: &[&str] = &[
    "n_tokens",
    "total_tokens",
    "num_tokens",
    "tokens",
    "train_tokens",
    "training_tokens",
    "total_training_tokens",
    "tokens_seen",
    "num_tokens_seen",
    "consumed_tokens",
    "train_tokens_seen",
];
const FLOPS: &[&str] = &[
    "flops",
    "train_flops",
    "total_flops",
    "training_flops",
    "total_training_flops",
    "num_flops",
    "compute",
];
const LOSS: &[&str] = &[
    "val_loss",
    "eval_loss",
    "validation_loss",
    "valid_loss",
    "test_loss",
    "loss_val",
    "loss_eval",
    "final_val_loss",
    "final_loss",
    "loss",
];
const SEED: &[&str] = &["seed", "random_seed"];

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let bytes = super::read(&args.export).with_context(|| {
        format!(
            "expected a CSV export at `{}`\nhint: in the table of runs choose Export, then CSV",
            args.export.display()
        )
    })?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let points = points(bytes, args).with_context(|| format!("in `{}`", args.export.display()))?;
    args.out.write(points)
}

/// Where the columns stand.
struct Columns {
    run: usize,
    params: Option<usize>,
    tokens: Option<usize>,
    flops: Option<usize>,
    loss: usize,
    seed: Option<usize>,
    state: Option<usize>,
}

impl Columns {
    fn find(names: &StringRecord, args: &Args) -> anyhow::Result<Self> {
        let found = || {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        if names.iter().any(|name| name.ends_with("__MIN")) {
            anyhow::bail!(
                "expected a table with one run a line, found the export of a chart\n\
                 hint: export the table of runs instead: Export, then CSV"
            );
        }
        let find = |given: &Option<String>, usual: &[&str]| match given {
            None => Ok(guess(names, usual)),
            Some(given) => match names.iter().position(|name| name.trim() == given.trim()) {
                Some(idx) => Ok(Some(idx)),
                None => Err(anyhow::anyhow!(
                    "expected a column `{given}`, found {}\nhint: write the name as it stands in the first line",
                    found()
                )),
            },
        };
        let need = |idx: Option<usize>, what: &str, option: &str| {
            idx.with_context(|| {
                format!("expected a column with {what}, found {}\nhint: name it with {option}", found())
            })
        };
        let columns = Self {
            run: need(find(&args.run_column, RUN)?, "the names of the runs", "--run-column")?,
            params: find(&args.params_column, PARAMS)?,
            tokens: find(&args.tokens_column, TOKENS)?,
            flops: find(&args.flops_column, FLOPS)?,
            loss: need(find(&args.loss_column, LOSS)?, "the final loss", "--loss-column")?,
            seed: find(&args.seed_column, SEED)?,
            state: guess(names, &["state"]),
        };
        if columns.flops.is_none() {
            need(columns.params, "the compute or the parameters", "--flops-column or --params-column")?;
            need(columns.tokens, "the compute or the tokens", "--flops-column or --tokens-column")?;
        }
        Ok(columns)
    }

    /// Says what was taken for what: a guess may be wrong.
    fn tell(&self, names: &StringRecord) {
        let name = |idx: Option<usize>| idx.and_then(|idx| names.get(idx));
        let all = [
            ("run", Some(self.run)),
            ("n_params", self.params),
            ("n_tokens", self.tokens),
            ("flops", self.flops),
            ("loss", Some(self.loss)),
            ("seed", self.seed),
        ];
        let pairs: Vec<String> =
            all.iter().filter_map(|(to, idx)| Some(format!("`{}` as {to}", name(*idx)?))).collect();
        output::talk(format_args!("columns: {}", pairs.join(", ")));
        if self.flops.is_none() {
            output::talk("warning: no column with the compute: taken as 6·n_params·n_tokens");
        }
    }
}

/// The column with the first usual name; or else the first that ends with one, as `model.n_params` does.
fn guess(names: &StringRecord, usual: &[&str]) -> Option<usize> {
    let names: Vec<String> = names.iter().map(plain).collect();
    let exact = |usual: &&str| names.iter().position(|name| name == usual);
    let ending = |usual: &&str| names.iter().position(|name| name.ends_with(&format!("_{usual}")));
    usual.iter().find_map(exact).or_else(|| usual.iter().find_map(ending))
}

/// A name without what differs between habits: lower case, `_` for all that is no letter or digit.
fn plain(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_lowercase()
}

fn points(bytes: &[u8], args: &Args) -> anyhow::Result<Vec<Point>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let names = reader.headers().context("expected CSV\nhint: export the table of runs as CSV")?.clone();
    let columns = Columns::find(&names, args)?;
    columns.tell(&names);
    let (mut points, mut left_out) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let record =
            record.context("expected CSV with as many cells a line as names\nhint: export it again")?;
        let row = Row { record: &record, names: &names };
        let run = row.cell(columns.run).to_owned();
        match row.point(&columns)? {
            Ok(point) => points.push(point),
            Err(why) => left_out.push(format!("`{run}` ({why})")),
        }
    }
    if !left_out.is_empty() {
        output::talk(format_args!("warning: left out {}", left_out.join(", ")));
    }
    anyhow::ensure!(
        !points.is_empty(),
        "expected finished runs with a loss, found none among {} lines\nhint: export the runs after they have ended",
        left_out.len()
    );
    Ok(points)
}

struct Row<'a> {
    record: &'a StringRecord,
    names: &'a StringRecord,
}

impl Row<'_> {
    fn cell(&self, idx: usize) -> &str {
        self.record.get(idx).unwrap_or_default()
    }

    /// The run of this line, or why it is left out.
    fn point(&self, columns: &Columns) -> anyhow::Result<Result<Point, String>> {
        if let Some(state) = columns.state.map(|idx| self.cell(idx)).filter(|state| *state != "finished") {
            return Ok(Err(format!("state `{state}`")));
        }
        let Some(loss) = self.number(columns.loss)? else { return Ok(Err("no loss".to_owned())) };
        if !loss.is_finite() {
            return Ok(Err("diverged".to_owned()));
        }
        let number = |idx: Option<usize>| idx.map_or(Ok(None), |idx| self.number(idx));
        let (n_params, n_tokens) = (number(columns.params)?, number(columns.tokens)?);
        let derived = || n_params.zip(n_tokens).map(|(n_params, n_tokens)| 6.0 * n_params * n_tokens);
        let Some(flops) = number(columns.flops)?.or_else(derived) else {
            return Ok(Err("no compute".to_owned()));
        };
        let seed = columns.seed.map_or(Ok(None), |idx| self.number(idx))?;
        let seed = seed.filter(|seed| *seed >= 0.0 && seed.fract() == 0.0).map(|seed| seed as u64);
        Ok(Ok(Point { run: self.cell(columns.run).to_owned(), n_params, n_tokens, flops, loss, seed }))
    }

    /// A number; `None` in an empty cell.
    fn number(&self, idx: usize) -> anyhow::Result<Option<f64>> {
        let cell = self.cell(idx);
        if matches!(cell, "" | "null" | "None" | "N/A") {
            return Ok(None);
        }
        cell.parse().map(Some).map_err(|_| {
            let line = self.record.position().map_or(0, csv::Position::line);
            anyhow::anyhow!(
                "line {line}, column `{}`: expected a number, found `{cell}`\n\
                 hint: choose another column, as with --loss-column, or correct the cell",
                self.names.get(idx).unwrap_or_default()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_what_they_are_usually_called() {
        let names = |all: &[&str]| StringRecord::from(all.to_vec());
        assert_eq!(guess(&names(&["Name", "train/loss", "val/loss"]), LOSS), Some(2));
        assert_eq!(guess(&names(&["Eval Loss", "loss"]), LOSS), Some(0));
        assert_eq!(guess(&names(&["lr", "config.model.n_params"]), PARAMS), Some(1));
        assert_eq!(guess(&names(&["tokens_per_second"]), TOKENS), None);
        assert_eq!(guess(&names(&["flops_per_token", "Train-FLOPs"]), FLOPS), Some(1));
    }
}
