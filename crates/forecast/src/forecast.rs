//! A law fitted to a table, and what it says about a run that has not been trained.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ForecastError, Prediction, Warning};

/// The run to forecast.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// C: training compute in FLOPs.
    pub flops: f64,
    /// N, where the shape is known.
    pub n_params: Option<f64>,
    /// D, where the shape is known.
    pub n_tokens: Option<f64>,
}

impl Target {
    /// A run of `flops`; a law that reads N and D takes the shape that it holds best for that compute.
    ///
    /// # Errors
    /// If `flops` is not a finite number above 0.
    pub fn at_flops(flops: f64) -> Result<Self, ForecastError> {
        Ok(Self { flops: positive("flops", flops)?, n_params: None, n_tokens: None })
    }

    /// A run of `n_params` on `n_tokens`, whose compute is 6·N·D.
    ///
    /// # Errors
    /// If a number is not finite and above 0.
    pub fn at_shape(n_params: f64, n_tokens: f64) -> Result<Self, ForecastError> {
        let (n, d) = (positive("n_params", n_params)?, positive("n_tokens", n_tokens)?);
        Ok(Self { flops: 6.0 * n * d, n_params: Some(n), n_tokens: Some(d) })
    }
}

fn positive(name: &'static str, found: f64) -> Result<f64, ForecastError> {
    if found.is_finite() && found > 0.0 {
        return Ok(found);
    }
    Err(ForecastError::BadTarget { name, expected: "a finite number above 0", found })
}

/// Which laws may compete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LawChoice {
    /// All that the table allows; its own back-test weighs them.
    #[default]
    Auto,
    /// Laws in compute alone.
    Compute,
    /// Laws in parameters and tokens.
    Chinchilla,
}

/// How to fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Which laws may compete.
    pub law: LawChoice,
    /// Draws from the predictive distribution.
    pub n_draws: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// The irreducible loss where it is known, such as the entropy of a synthetic source; fitted otherwise.
    pub irreducible: Option<f64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { law: LawChoice::Auto, n_draws: 1000, seed: 0, irreducible: None }
    }
}

/// One fitted law and how it did in cross-validation on the table's own larger runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LawSummary {
    /// Its name, as in [`Forecast::law`].
    pub law: String,
    /// Its formula.
    pub formula: String,
    /// Names of the reference runs that it uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_runs: Option<String>,
    /// Mean absolute error, in % of the loss, on runs held out above each of several thresholds; absent where the
    /// table is too small to hold any out.
    pub cross_validation_error_pct: Option<f64>,
    /// Share of the draws that it gets.
    pub weight: f64,
    /// What it alone forecasts.
    pub median: f64,
}

/// A forecast of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Name of the form with the most weight.
    pub law: String,
    /// Its formula.
    pub formula: String,
    /// Its coefficients.
    pub coefficients: BTreeMap<String, f64>,
    /// Bootstrap standard errors of the coefficients.
    pub standard_errors: BTreeMap<String, f64>,
    /// The irreducible loss over all draws; absent where no form with a floor has weight.
    pub irreducible: Option<Prediction>,
    /// The run that is forecast.
    pub target: Target,
    /// Its loss.
    pub prediction: Prediction,
    /// The draws that `prediction` sums up, by index.
    pub draws: Vec<f64>,
    /// Cautions about the table, the fit and the target.
    pub warnings: Vec<Warning>,
    /// Every law that competed, the one with the most weight first.
    pub laws: Vec<LawSummary>,
    /// Runs fitted.
    pub n_points: usize,
    /// Different configurations among them.
    pub n_configurations: usize,
    /// Compute of the target over the largest compute fitted.
    pub extrapolation: f64,
    /// Standard deviation of one run about the law, in % of the loss.
    pub residual_pct: f64,
    /// [`crate::Table::fingerprint`] of the runs fitted.
    pub fingerprint: String,
    /// The settings used.
    pub settings: Settings,
}
