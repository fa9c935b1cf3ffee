//! A sealed forecast compared with the finished run.

use base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{PartOutcome, Prediction, Seal};

/// A compute further than this from the one forecast, in %, is another run's.
const MAX_COMPUTE_ERROR_PCT: f64 = 2.0;

/// The result of the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Actual {
    /// L: its final loss, in the unit of the points.
    pub loss: f64,
    /// C: the compute that it spent in FLOPs, where known.
    pub flops: Option<f64>,
    /// When it took its first step, where known.
    pub first_step_at: Option<Timestamp>,
}

/// Whether the forecast was sealed before the run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// Before the first step.
    InTime,
    /// After it.
    Late,
    /// The time of the first step is not known.
    Unknown,
}

/// Which central intervals hold the actual loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inside {
    /// The 50 % interval.
    #[serde(rename = "50")]
    pub i50: bool,
    /// The 80 % interval.
    #[serde(rename = "80")]
    pub i80: bool,
    /// The 95 % interval.
    #[serde(rename = "95")]
    pub i95: bool,
}

/// The outcome of a forecast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// [`Seal::seal`] of the forecast.
    pub seal: String,
    /// What was forecast.
    pub predicted: Prediction,
    /// L: the final loss.
    pub actual: f64,
    /// `100·(actual − median)/median`: positive where the run came out worse than forecast.
    pub error_pct: f64,
    /// Where `actual` lies among the draws, from 0 to 1: `(below + ties/2 + ½)/(draws + 1)`, so that a loss beyond
    /// all draws does not claim an impossible 0 or 1. Uniform over many calibrated forecasts (the probability integral
    /// transform, <https://doi.org/10.2307/2981683>).
    pub quantile: f64,
    /// Which intervals hold it.
    pub inside: Inside,
    /// Whether it was a forecast at all.
    pub timing: Timing,
    /// When it was sealed.
    pub sealed_at: Timestamp,
    /// When the run took its first step, where known.
    pub first_step_at: Option<Timestamp>,
    /// C that was forecast for, in FLOPs.
    pub target_flops: f64,
    /// C that was spent, where known.
    pub actual_flops: Option<f64>,
    /// What it means, in whole sentences.
    pub learned: Vec<String>,
    /// Further losses of the same run that were forecast under the same seal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartOutcome>,
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
#[error(
    "expected the run's final loss as a finite number above 0, found {found}\nhint: a run that diverged has no final loss; say so instead of judging the forecast by it"
)]
pub struct VerdictError {
    /// The loss.
    pub found: f64,
}

impl Verdict {
    /// Compares a seal with the result.
    ///
    /// # Errors
    /// If the loss is not a finite number above 0.
    pub fn new(seal: &Seal, actual: Actual) -> Result<Self, VerdictError> {
        let loss = actual.loss;
        if !(loss.is_finite() && loss > 0.0) {
            return Err(VerdictError { found: loss });
        }
        let predicted = seal.forecast.prediction;
        let timing = match actual.first_step_at {
            None => Timing::Unknown,
            Some(at) if seal.check_before(at).is_ok() => Timing::InTime,
            Some(_) => Timing::Late,
        };
        let mut verdict = Self {
            seal: seal.seal.clone(),
            predicted,
            actual: loss,
            error_pct: 100.0 * (loss - predicted.median) / predicted.median,
            quantile: quantile_of(loss, &seal.forecast.draws),
            inside: Inside {
                i50: predicted.covers(50, loss),
                i80: predicted.covers(80, loss),
                i95: predicted.covers(95, loss),
            },
            timing,
            sealed_at: seal.sealed_at,
            first_step_at: actual.first_step_at,
            target_flops: seal.forecast.target.flops,
            actual_flops: actual.flops,
            learned: Vec::new(),
            parts: Vec::new(),
        };
        verdict.learned = verdict.sentences(seal.forecast.extrapolation);
        Ok(verdict)
    }

    /// The same with the outcomes of further losses.
    pub fn with_parts(self, parts: Vec<PartOutcome>) -> Self {
        Self { parts, ..self }
    }

    /// Compute spent over compute forecast for, less 1, in %, where it is more than rounding.
    fn compute_error_pct(&self) -> Option<f64> {
        let error = 100.0 * (self.actual_flops? / self.target_flops - 1.0);
        (error.abs() > MAX_COMPUTE_ERROR_PCT).then_some(error)
    }

    fn sentences(&self, extrapolation: f64) -> Vec<String> {
        let p = &self.predicted;
        let side = if self.error_pct < 0.0 { "below" } else { "above" };
        let mut said = vec![format!(
            "The loss came out at {:.4}, {:.2} % {side} the forecast of {:.4}, at quantile {:.3} of the forecast distribution.",
            self.actual,
            self.error_pct.abs(),
            p.median,
            self.quantile
        )];
        said.push(match self.inside {
            Inside { i50: true, .. } => format!(
                "It lies inside the 50 % interval, {:.4} to {:.4}: the forecast held.",
                p.lo50, p.hi50
            ),
            Inside { i80: true, .. } => format!(
                "It lies inside the 80 % interval, {:.4} to {:.4}, and outside the 50 % interval, as three \
                 in ten calibrated forecasts do: the forecast held.",
                p.lo80, p.hi80
            ),
            Inside { i95: true, .. } => format!(
                "It lies inside the 95 % interval, {:.4} to {:.4}, and outside the 80 % interval, as three \
                 in twenty calibrated forecasts do: one such miss is expected, two in a row are a reason for doubt.",
                p.lo95, p.hi95
            ),
            _ => format!(
                "It lies outside the 95 % interval, {:.4} to {:.4}, as one in twenty calibrated forecasts does. \
                 {}",
                p.lo95,
                p.hi95,
                if self.error_pct > 0.0 {
                    "Either the law of the small runs did not hold this far out, or the run differed from them in \
                     more than its budget: compare data, tokens per parameter, learning rates and spikes before \
                     trusting the next forecast."
                } else {
                    "A loss below the interval is a miss too: look for validation text in the training data and for a \
                     rule that the small runs did not follow, before trusting the next forecast."
                }
            ),
        });
        if let Some(error) = self.compute_error_pct() {
            said.push(format!(
                "The run spent {:.1} % {} compute than was forecast for ({:.3e} instead of {:.3e} FLOPs): part of \
                 the error is that.",
                error.abs(),
                if error < 0.0 { "less" } else { "more" },
                self.actual_flops.unwrap_or(self.target_flops),
                self.target_flops
            ));
        }
        if extrapolation > 1.0 {
            said.push(format!(
                "It was forecast from runs of at most 1/{} of its compute, with an 80 % interval of {:.2} % of the \
                 loss.",
                match extrapolation {
                    x @ ..10.0 => format!("{x:.1}"),
                    x @ ..1e6 => format!("{x:.0}"),
                    x => format!("{x:.1e}"),
                },
                100.0 * (p.hi80 - p.lo80) / p.median
            ));
        }
        said.push(match (self.timing, self.first_step_at) {
            (Timing::InTime, Some(at)) => {
                format!("The forecast was sealed at {}, before the first step at {at}.", self.sealed_at)
            }
            (Timing::Late, Some(at)) => format!(
                "The forecast was sealed late, at {}, after the first step at {at}: it proves nothing.",
                self.sealed_at
            ),
            _ => format!(
                "The forecast was sealed at {}; when the run took its first step is not known.",
                self.sealed_at
            ),
        });
        said
    }
}

fn quantile_of(loss: f64, draws: &[f64]) -> f64 {
    let n_below = draws.iter().filter(|draw| **draw < loss).count() as f64;
    let n_ties = draws.iter().filter(|draw| **draw == loss).count() as f64;
    (n_below + 0.5 * n_ties + 0.5) / (draws.len() as f64 + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::tests::example;

    /// The draws of the example are spread evenly from 2 to 3.
    fn verdict(loss: f64) -> Verdict {
        let first_step_at = Timestamp::from_unix_s(1.8e9 + 60.0);
        Verdict::new(&example(), Actual { loss, flops: Some(1e20), first_step_at }).unwrap()
    }

    #[test]
    fn a_loss_is_placed_among_the_draws_and_in_the_intervals() {
        for (loss, quantile, inside) in [
            (2.5, 0.5, [true, true, true]),
            (2.7, 0.7, [true, true, true]),
            (2.15, 0.15, [false, true, true]),
            (2.95, 0.95, [false, false, true]),
            (1.0, 0.0, [false, false, false]),
            (9.0, 1.0, [false, false, false]),
        ] {
            let verdict = verdict(loss);
            assert!((verdict.quantile - quantile).abs() < 2e-3, "{loss}: {}", verdict.quantile);
            assert!(0.0 < verdict.quantile && verdict.quantile < 1.0, "{}", verdict.quantile);
            let Inside { i50, i80, i95 } = verdict.inside;
            assert_eq!([i50, i80, i95], inside, "{loss}");
        }
        assert!((verdict(2.6).error_pct - 4.0).abs() < 1e-9);
        assert_eq!(quantile_of(1.0, &[0.0, 1.0, 1.0, 2.0]), 2.5 / 5.0);
    }

    #[test]
    fn quantiles_of_draws_from_the_same_source_are_uniform() {
        let draws = example().forecast.draws;
        let mean = draws.iter().map(|draw| quantile_of(*draw, &draws)).sum::<f64>() / draws.len() as f64;
        assert!((mean - 0.5).abs() < 1e-9, "{mean}");
    }

    #[test]
    fn it_says_what_was_learned() {
        let said = |loss| verdict(loss).learned.join(" ");
        assert!(said(2.5).contains("inside the 50 % interval, 2.2500 to 2.7500: the forecast held"));
        assert!(said(2.6).contains("4.00 % above the forecast of 2.5000"), "{}", said(2.6));
        assert!(said(3.5).contains("compare data, tokens per parameter"), "{}", said(3.5));
        assert!(said(1.5).contains("A loss below the interval is a miss too"), "{}", said(1.5));
        assert!(said(2.5).contains("at most 1/1000 of its compute"), "{}", said(2.5));
        assert!(said(2.5).contains("before the first step at 2027-01-15T08:01:00.000Z"), "{}", said(2.5));
        assert!(!said(2.5).contains("part of the error is that"));
    }

    #[test]
    fn a_late_seal_and_another_budget_are_named() {
        let seal = example();
        let at = |unix_s: Option<f64>, flops| {
            let first_step_at = unix_s.and_then(Timestamp::from_unix_s);
            Verdict::new(&seal, Actual { loss: 2.5, flops: Some(flops), first_step_at }).unwrap()
        };
        let late = at(Some(1.7e9), 1.5e20);
        assert_eq!(late.timing, Timing::Late);
        assert!(late.learned.join(" ").contains("it proves nothing"), "{:?}", late.learned);
        assert!(late.learned.join(" ").contains("50.0 % more compute"), "{:?}", late.learned);
        let unknown = at(None, 1.01e20);
        assert_eq!(unknown.timing, Timing::Unknown);
        assert!(unknown.learned.join(" ").contains("is not known"), "{:?}", unknown.learned);
        assert!(!unknown.learned.join(" ").contains("compute than"), "1 % is rounding");
    }

    #[test]
    fn a_run_without_a_loss_gets_no_verdict() {
        for loss in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
            let actual = Actual { loss, flops: None, first_step_at: None };
            assert!(Verdict::new(&example(), actual).is_err(), "{loss}");
        }
    }
}
