//! How often the coming model will solve problems of each difficulty.
//!
//! The law of the GPT-4 report (<https://arxiv.org/abs/2303.08774>, section 3.2) is `−E_P[ln p(C)] = α·C^−k`, fitted for each
//! bucket of problems of like difficulty. Here problem i of a bucket has `−ln p_i(C) = q(C)·h_i`: its own difficulty h, of
//! mean 1, times a scale q that falls with compute, which is the report's law problem by problem. The bucket's mean pass rate
//! is `m(q) = E_h[e^(−q·h)]`. What is known of ln p exactly is used as it is; samples enter with their binomial likelihood
//! `C(n, c)·p^c·(1 − p)^(n−c)`, so a problem that was never solved says that p is small, and is not left out. The report
//! left such problems out, which makes small models look better than they are and the law too flat.
//!
//! Four forms compete by predicting the larger fit runs from the smaller ones ([`PassRateForm`]).
//!
//! Buckets are cut by mean difficulty over the fit runs, hardest problems last, and hold as many problems each as can be.

mod bucket;
mod fit;
mod fitted_bucket;
mod form;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use form::PassRateForm;

use crate::{Prediction, Warning};
use bucket::Bucket;
use fitted_bucket::FittedBucket;

/// What is known of one problem and one run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The logarithm of the probability of solving it, without sampling.
    Exact {
        /// At most 0; may be very negative.
        ln_p: f64,
    },
    /// Attempts.
    Sampled {
        /// How many.
        n: u64,
        /// How many solved it.
        passes: u64,
    },
}

/// One line of a table of pass rates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PassRateRow {
    /// Name of the run.
    pub run: String,
    /// Its training compute C.
    pub flops: f64,
    /// Its final validation loss.
    pub loss_nats: f64,
    /// Name of the problem.
    pub problem: String,
    /// Its outcome.
    pub outcome: Outcome,
}

/// Runs, problems and outcomes, checked: every run met every problem once.
#[derive(Clone, Debug, PartialEq)]
pub struct PassRateTable {
    /// By ascending compute.
    runs: Vec<(String, f64, f64)>,
    problems: Vec<String>,
    /// `[run][problem]`.
    outcomes: Vec<Vec<Outcome>>,
}

/// Settings of a fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PassRateSettings {
    /// Buckets of difficulty: six in the report.
    pub n_buckets: usize,
    /// Pass rate of guessing: 0, or 1/choices where p is a choice among few.
    pub chance: f64,
    /// The form to use; without one they compete.
    pub form: Option<PassRateForm>,
    /// Draws of each interval.
    pub n_draws: usize,
    /// Of the draws.
    pub seed: u64,
}

impl Default for PassRateSettings {
    fn default() -> Self {
        Self { n_buckets: 6, chance: 0.0, form: None, n_draws: 400, seed: 1 }
    }
}

/// Why pass rates could not be forecast.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PassRateError {
    /// Not enough runs.
    #[error(
        "expected pass rates of at least {needed} runs of different compute, found {found}\nhint: evaluate more rungs of the ladder"
    )]
    TooFewRuns {
        /// How many are needed.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// Not enough problems.
    #[error(
        "expected at least as many problems as buckets ({n_buckets}), found {found}\nhint: ask for fewer buckets, or add problems"
    )]
    TooFewProblems {
        /// Buckets asked for.
        n_buckets: usize,
        /// Problems there are.
        found: usize,
    },
    /// A cell that is missing or there twice.
    #[error(
        "run `{run}`, problem `{problem}`: expected one outcome, found {found}\nhint: every run must meet every problem of the table; evaluate it, or leave the problem out for all runs"
    )]
    NotOnce {
        /// The run.
        run: String,
        /// The problem.
        problem: String,
        /// Outcomes found.
        found: usize,
    },
    /// A number out of its range.
    #[error(
        "run `{run}`, problem `{problem}`: expected {expected}, found {found}\nhint: correct the line; logarithms are natural"
    )]
    BadValue {
        /// The run.
        run: String,
        /// The problem.
        problem: String,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// No bucket can be forecast.
    #[error(
        "expected at least one bucket that can be forecast, found none of {n_buckets}: {reasons}\nhint: give easier problems, larger rungs or more samples"
    )]
    NothingToForecast {
        /// Buckets in all.
        n_buckets: usize,
        /// The refusals, in words.
        reasons: String,
    },
}

/// The fitted laws, one a bucket.
#[derive(Clone, Debug)]
pub struct PassRateForecast {
    form: PassRateForm,
    competition: Vec<FormScore>,
    buckets: Vec<FittedBucket>,
    settings: PassRateSettings,
}

/// How far off a form was in predicting larger fit runs from smaller ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FormScore {
    /// The form.
    pub form: PassRateForm,
    /// Mean absolute error of the mean pass rate over buckets and held-out runs.
    pub held_out_error: f64,
}

/// The forecast for one bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BucketForecast {
    /// 1 is the easiest.
    pub bucket: usize,
    /// Its problems.
    pub problems: Vec<String>,
    /// Mean pass rate of each fit run, by ascending compute: as measured, or as estimated from samples.
    pub fitted_pass_rates: Vec<f64>,
    /// Mean pass rate at the target; none if the bucket is refused.
    pub pass_rate: Option<Prediction>,
    /// `−E[ln p]` at the target, in nats; none if the bucket is refused.
    pub minus_mean_ln_p: Option<Prediction>,
    /// Draws of the mean pass rate.
    pub draws: Vec<f64>,
    /// Why there is no forecast, in words.
    pub refused: Option<String>,
    /// Cautions.
    pub warnings: Vec<Warning>,
}

impl PassRateTable {
    /// Checks and arranges `rows`.
    ///
    /// # Errors
    /// If a run misses a problem or meets it twice, or a number is out of its range.
    pub fn new(rows: &[PassRateRow]) -> Result<Self, PassRateError> {
        let mut runs: Vec<(String, f64, f64)> = Vec::new();
        let mut cells: BTreeMap<(usize, &str), Vec<Outcome>> = BTreeMap::new();
        for row in rows {
            row.check()?;
            let run = runs.iter().position(|(name, flops, _)| *name == row.run && *flops == row.flops);
            let run = run.unwrap_or_else(|| {
                runs.push((row.run.clone(), row.flops, row.loss_nats));
                runs.len() - 1
            });
            cells.entry((run, &row.problem)).or_default().push(row.outcome);
        }
        let mut order: Vec<usize> = (0..runs.len()).collect();
        order.sort_by(|&a, &b| runs[a].1.total_cmp(&runs[b].1));
        let problems: BTreeSet<&str> = rows.iter().map(|row| row.problem.as_str()).collect();
        let mut outcomes = Vec::new();
        for &run in &order {
            let mut of_run = Vec::new();
            for problem in &problems {
                match cells.get(&(run, *problem)).map(Vec::as_slice) {
                    Some([outcome]) => of_run.push(*outcome),
                    other => {
                        let found = other.map_or(0, <[Outcome]>::len);
                        let (run, problem) = (runs[run].0.clone(), (*problem).to_owned());
                        return Err(PassRateError::NotOnce { run, problem, found });
                    }
                }
            }
            outcomes.push(of_run);
        }
        let runs = order.iter().map(|&run| runs[run].clone()).collect();
        Ok(Self { runs, problems: problems.into_iter().map(str::to_owned).collect(), outcomes })
    }

    /// Runs and their compute, ascending.
    pub fn runs(&self) -> impl Iterator<Item = (&str, f64)> {
        self.runs.iter().map(|(name, flops, _)| (name.as_str(), *flops))
    }

    /// Problems, in the order of their names.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl PassRateRow {
    fn check(&self) -> Result<(), PassRateError> {
        let wrong = |expected, found: String| {
            let (run, problem) = (self.run.clone(), self.problem.clone());
            Err(PassRateError::BadValue { run, problem, expected, found })
        };
        if !(self.flops > 0.0 && self.flops.is_finite()) {
            return wrong("positive `flops`", self.flops.to_string());
        }
        if !(self.loss_nats > 0.0 && self.loss_nats.is_finite()) {
            return wrong("a positive `loss_nats`", self.loss_nats.to_string());
        }
        match self.outcome {
            // A sum of logarithms of probabilities near 1 may round to a little above 0.
            Outcome::Exact { ln_p } if !(ln_p.is_finite() && ln_p <= 1e-6) => {
                wrong("a finite `ln_p` of at most 0", ln_p.to_string())
            }
            Outcome::Sampled { n, passes } if n == 0 || passes > n => {
                wrong("at least one sample, and no more passes than samples", format!("{passes} of {n}"))
            }
            _ => Ok(()),
        }
    }
}

impl PassRateForecast {
    /// Cuts the problems into buckets and fits each; see the module's first lines.
    ///
    /// Cost: about a second for six buckets of 50 problems, 8 runs and 400 draws.
    ///
    /// # Errors
    /// If there are fewer than three runs, fewer problems than buckets, or no bucket can be forecast.
    pub fn fit(table: &PassRateTable, settings: &PassRateSettings) -> Result<Self, PassRateError> {
        let n_runs = {
            let mut flops: Vec<f64> = table.runs.iter().map(|run| run.1).collect();
            flops.dedup();
            flops.len()
        };
        if n_runs < 3 {
            return Err(PassRateError::TooFewRuns { needed: 3, found: n_runs });
        }
        let n_buckets = settings.n_buckets.max(1);
        if table.problems.len() < n_buckets {
            return Err(PassRateError::TooFewProblems { n_buckets, found: table.problems.len() });
        }
        let members = bucket::by_difficulty(&table.outcomes, n_buckets);
        let buckets: Vec<Bucket> =
            members.iter().map(|problems| Bucket::new(table, problems, settings.chance)).collect();
        if buckets.iter().all(|bucket| bucket.refused.is_some()) {
            let reasons: BTreeSet<&str> =
                buckets.iter().filter_map(|bucket| bucket.refused.as_deref()).collect();
            let reasons = reasons.into_iter().collect::<Vec<_>>().join("; ");
            return Err(PassRateError::NothingToForecast { n_buckets, reasons });
        }
        let competition = fit::compete(&buckets);
        let form = settings.form.unwrap_or_else(|| fit::choose(&competition));
        let buckets = buckets.into_iter().map(|bucket| FittedBucket::new(bucket, form)).collect();
        Ok(Self { form, competition, buckets, settings: settings.clone() })
    }

    /// The form in use.
    pub fn form(&self) -> PassRateForm {
        self.form
    }

    /// All forms, best first; empty where there were too few runs to let them compete.
    pub fn competition(&self) -> &[FormScore] {
        &self.competition
    }

    /// The forecast at compute `flops` for a model whose loss is distributed as `loss_draws_nats`, of which there is at least
    /// one; easiest bucket first.
    ///
    /// # Panics
    /// If there is no draw of the loss.
    #[track_caller]
    pub fn at(&self, flops: f64, loss_draws_nats: &[f64]) -> Vec<BucketForecast> {
        assert!(!loss_draws_nats.is_empty(), "pass rate: no draw of the loss");
        let at = |(idx, bucket): (usize, &FittedBucket)| {
            bucket.forecast(idx, self.form, flops, loss_draws_nats, &self.settings)
        };
        self.buckets.iter().enumerate().map(at).collect()
    }
}

#[cfg(test)]
mod tests;
