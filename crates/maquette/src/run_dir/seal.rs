//! `forecast.json`: the forecast of the run, sealed before its first step.

use std::path::Path;

use anyhow::Context as _;
use forecast::{PartForecast, PartOutcome, Seal};
use serde::{Deserialize, Serialize};

use super::write_whole;
use crate::input_file;

/// In the run's folder.
pub(crate) const FORECAST: &str = "forecast.json";

/// Sections of the seal beside the forecast of the final loss.
pub(crate) mod section {
    /// The run that is forecast, an [`Identity`](super::super::Identity).
    pub(crate) const RUN: &str = "run";
    /// Of the training loss, [`forecast::CurveForecast`]s.
    pub(crate) const CURVES: &str = "curves";
    /// [`Cost`](super::Cost) of the ladder.
    pub(crate) const COST: &str = "cost";
    /// Tests of the learning rates, [`Sweep`](super::super::Sweep)s.
    pub(crate) const SWEEP: &str = "learning_rate_sweep";
    /// Tests of the tokens for each parameter, [`RatioTest`](super::super::RatioTest)s.
    pub(crate) const RATIOS: &str = "tokens_per_param_sweep";
    /// [`PassRates`](super::super::PassRates) of graded tasks.
    pub(crate) const PASS_RATES: &str = "capability";
    /// Of the losses of answers about pictures, of all and by kind, [`forecast::PartForecast`]s.
    pub(crate) const ANSWERS: &str = "answers";
}

/// What a ladder cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) n_runs: usize,
    pub(crate) flops: f64,
    /// Of the large run's FLOPs.
    pub(crate) share: f64,
    /// Seconds on one thread, all runs together.
    pub(crate) thread_seconds: f64,
}

/// The sealed forecast at `path`, if there is one.
///
/// # Errors
/// If it was changed after it was sealed, or is no sealed forecast.
pub(crate) fn read_seal(path: &Path) -> anyhow::Result<Option<Seal>> {
    if !path.exists() {
        return Ok(None);
    }
    read(path, || format!("cannot read `{}`", path.display())).map(Some)
}

/// The sealed forecast in a file that a user names.
///
/// # Errors
/// As [`read_seal`], and if there is none.
pub(crate) fn read_named_seal(path: &Path) -> anyhow::Result<Seal> {
    read(path, || {
        format!(
            "expected a sealed forecast at `{}`\nhint: `maquette forecast seal` writes one",
            path.display()
        )
    })
}

fn read(path: &Path, cannot_read: impl FnOnce() -> String) -> anyhow::Result<Seal> {
    let bytes = input_file::read(path).with_context(cannot_read)?;
    Seal::read(&bytes).with_context(|| format!("in `{}`", path.display()))
}

/// The sealed forecasts of the losses of answers about pictures; none where the recipe has no pictures, and in seals of
/// versions that made none.
///
/// # Errors
/// If they are from another version.
pub(crate) fn sealed_answers(seal: &Seal) -> anyhow::Result<Vec<PartForecast>> {
    let Some(parts) = seal.extra.get(section::ANSWERS) else { return Ok(Vec::new()) };
    serde_json::from_value(parts.clone()).context(
        "the sealed forecasts of answers about pictures are from another version\n\
         hint: read them with the version that sealed them",
    )
}

/// The sealed forecasts of answers beside the losses that a finished training ended with.
///
/// # Errors
/// As [`sealed_answers`].
pub(crate) fn judged_answers(seal: &Seal, summary: &train::Summary) -> anyhow::Result<Vec<PartOutcome>> {
    let judge = |part: &PartForecast| {
        let actual = summary.parts.get(&part.name)?;
        Some(part.judged(actual.loss_nats, actual.loss_stderr))
    };
    Ok(sealed_answers(seal)?.iter().filter_map(judge).collect())
}

/// Writes the sealed forecast of the run in `run_dir`.
pub(crate) fn write_seal(run_dir: &Path, seal: &Seal) -> anyhow::Result<()> {
    write_whole(&run_dir.join(FORECAST), seal.to_json().as_bytes())
}
