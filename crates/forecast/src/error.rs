//! The crate's error type for tables, fits and forecasts.

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
        "expected a column `{wanted}`, found {}\nhint: the columns are run,n_params,n_tokens,flops,loss[,seed]; `flops` may be left out where n_params and n_tokens are given",
        list(found)
    )]
    MissingColumn {
        /// The column.
        wanted: &'static str,
        /// The columns that are there.
        found: Vec<String>,
    },
    /// A cell holds something else than its column.
    #[error(
        "line {line}, column `{column}`: expected {expected}, found `{found}`\nhint: correct the cell, or leave the line out"
    )]
    BadCell {
        /// Line of the file, counted from 1, the header included.
        line: u64,
        /// The column.
        column: &'static str,
        /// What may stand there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A number that no finished run can have.
    #[error(
        "run `{run}`: expected {expected} in `{column}`, found {found}\nhint: a run that diverged is no point of a scaling law; leave it out"
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
        "expected runs whose compute spans a factor of at least {needed}, found {found:.3}\nhint: add smaller runs; a slope cannot be read off a single size"
    )]
    NarrowRange {
        /// The least factor between the largest and the smallest compute.
        needed: f64,
        /// The factor found.
        found: f64,
    },
    /// Larger runs are worse.
    #[error(
        "expected losses that fall with compute, found that they rise: rank correlation {correlation:+.2} over {n_points} runs\nhint: check the learning rates of the large runs, whether they finished, and that `loss` is a loss; a reversal cannot be forecast from this side of it"
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
