//! `forecast.json`: the forecast of the run, sealed before its first step.

use std::{fs, path::Path};

use anyhow::Context as _;
use forecast::Seal;
use serde::{Deserialize, Serialize};

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
}

/// What a ladder cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) n_runs: usize,
    pub(crate) flops: f64,
    /// Of the big run's FLOPs.
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
    let bytes = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(Some(Seal::read(&bytes).with_context(|| format!("in `{}`", path.display()))?))
}
