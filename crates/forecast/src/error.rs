//! The crate's error type for tables, fits and forecasts.

use crate::UnitFault;

/// Why a table or a fit was refused: what was expected, what was found, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForecastError {
    /// The text is no CSV.
    #[error(
        "expected CSV with one run a line, found a fault: {0}\nhint: quote cells that hold commas, and give every line as many cells as the header"
    )]
    Csv(#[from] csv::Error),
    /// A column that the fit needs is not there.
    #[error(
        "expected a column `{wanted}`, found {}\nhint: the columns are run,n_params,n_tokens,flops,loss[,seed]; `flops` may be left out where n_params and n_tokens are given; a column of another name is chosen with {}",
        list(found),
        option(wanted)
    )]
    MissingColumn {
        /// The column.
        wanted: &'static str,
        /// The columns that are there.
        found: Vec<String>,
    },
    /// A column that was asked for is not there.
    #[error(
        "expected a column `{wanted}`, found {}\nhint: write the name exactly as in the first line",
        list(found)
    )]
    NoSuchColumn {
        /// The column.
        wanted: String,
        /// The columns that are there.
        found: Vec<String>,
    },
    /// Several columns may hold the loss.
    #[error("expected one column with the loss, found {}\nhint: choose one with --loss-column", list(found))]
    SeveralLosses {
        /// The columns that may.
        found: Vec<String>,
    },
    /// The export of a chart, which holds curves.
    #[error(
        "expected a table with one run a line, found the export of a chart: one step a line, and a column for each run\nhint: export the table of runs instead, with parameters, tokens and the final loss as columns: in the list of runs choose Export, then CSV"
    )]
    Chart,
    /// The file is no text.
    #[error("expected a table as text, found {what}\nhint: {hint}")]
    NoText {
        /// What it is.
        what: String,
        /// What to do.
        hint: &'static str,
    },
    /// The text begins like JSON and is none, or holds no table.
    #[error(
        "expected JSON with one object for each run, found a fault: {found}\nhint: write a list of objects, or one object a line; a missing number is `null` in JSON"
    )]
    BadJson {
        /// What is wrong.
        found: String,
    },
    /// Most rows hold no run.
    #[error("expected one run a row, found {n_bad} of {n_rows} rows unusable: {first}\nhint: {hint}")]
    BadRows {
        /// Rows that hold none.
        n_bad: usize,
        /// Rows in the table, runs that had not ended left out.
        n_rows: usize,
        /// The first of them, with reasons.
        first: String,
        /// What to do.
        hint: &'static str,
    },
    /// A column stands in another unit than it is taken for.
    #[error("{0}")]
    WrongUnits(Box<UnitFault>),
    /// A number that no finished run can have.
    #[error(
        "run `{run}`: expected {expected} in `{column}`, found {found}\nhint: leave out runs that diverged"
    )]
    BadValue {
        /// The run.
        run: String,
        /// The column.
        column: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: f64,
    },
    /// One run stands in the table with two losses.
    #[error(
        "run `{run}`: expected one loss for one run and seed, found {first} and {second}\nhint: give repetitions their own `seed`, and checkpoints of one run only their last line"
    )]
    ContradictoryRun {
        /// The run.
        run: String,
        /// The loss that came first.
        first: f64,
        /// The loss that came second.
        second: f64,
    },
    /// Not enough configurations for any law.
    #[error(
        "expected at least {needed} different configurations to fit {law}, found {found}\nhint: add rungs to the ladder; repeating a rung with another seed measures noise, not the law"
    )]
    TooFewRuns {
        /// The law, in words.
        law: &'static str,
        /// How many it needs.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// All runs have nearly the same size.
    #[error(
        "expected runs whose compute spans a factor of at least {needed}, found {found:.3}\nhint: add smaller runs; a slope cannot be fitted to a single size"
    )]
    NarrowRange {
        /// The least factor between the largest and the smallest compute.
        needed: f64,
        /// The factor found.
        found: f64,
    },
    /// Larger runs are worse.
    #[error(
        "expected losses that fall with compute, found that they rise: rank correlation {correlation:+.2} over {n_points} runs\nhint: check the learning rates of the large runs, whether they finished, and that `loss` is a loss; a later reversal cannot be forecast"
    )]
    Rising {
        /// Spearman correlation of loss with compute.
        correlation: f64,
        /// Runs in the table.
        n_points: usize,
    },
    /// The law asked for needs shapes that the table lacks.
    #[error(
        "expected n_params and n_tokens for every run to fit L(N, D), found them for {found} of {n_points} runs\nhint: add the columns, or ask for `--law compute`"
    )]
    NoShapes {
        /// Runs with a shape.
        found: usize,
        /// Runs in the table.
        n_points: usize,
    },
    /// No form of the law could be fitted.
    #[error(
        "expected a law that falls with compute, found none that fits these {n_points} runs\nhint: plot loss against flops on logarithmic axes; `maquette forecast fit` needs a downward curve"
    )]
    NoFit {
        /// Runs in the table.
        n_points: usize,
    },
    /// A target that cannot be.
    #[error(
        "expected {expected} for `{name}` of the target, found {found}\nhint: name the run to forecast by its compute in FLOPs, or by parameters and tokens"
    )]
    BadTarget {
        /// The quantity.
        name: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: f64,
    },
    /// A setting out of its range.
    #[error("expected {expected} for `{name}`, found {found}\nhint: {hint}")]
    BadSetting {
        /// The setting.
        name: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: String,
        /// What to do.
        hint: &'static str,
    },
    /// No run is left to predict, or none to fit.
    #[error(
        "expected runs on both sides of the threshold, found {n_fit} to fit and {n_held_out} held out\nhint: choose `--fit-max-flops` between {lowest:e} and {highest:e}"
    )]
    EmptySplit {
        /// Runs at or below the threshold.
        n_fit: usize,
        /// Runs above it.
        n_held_out: usize,
        /// The least compute in the table.
        lowest: f64,
        /// The most compute in the table.
        highest: f64,
    },
}

/// Column names in backquotes, for a message.
fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "no header".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The option that names the column with `wanted`.
fn option(wanted: &str) -> &'static str {
    match wanted {
        "n_params" => "--params-column",
        "n_tokens" => "--tokens-column",
        "loss" => "--loss-column",
        _ => "--flops-column",
    }
}
