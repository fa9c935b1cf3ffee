//! What the rungs say of the rules: of the learning rates, over lengths of training, and of the tokens for each parameter.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Mean loss of the seeds at one multiple of the rule's rates.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct SweepPoint {
    pub(crate) lr_factor: f64,
    pub(crate) loss_nats: f64,
    /// Standard error of that mean, from the spread between seeds.
    pub(crate) stderr: f64,
    pub(crate) n_seeds: usize,
}

/// The rule tested at one width and length.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sweep {
    pub(crate) d_model: usize,
    pub(crate) steps: u64,
    pub(crate) flops: f64,
    pub(crate) points: Vec<SweepPoint>,
}

/// A rule that loses less than this to another rate holds: the optimum is flat, and twice the rate is a coarse step.
const TOLERANCE: f64 = 0.01;

impl Sweep {
    fn at_rule(&self) -> Option<&SweepPoint> {
        self.points.iter().find(|point| point.lr_factor == 1.0)
    }

    fn best(&self) -> Option<&SweepPoint> {
        self.points.iter().min_by(|a, b| a.loss_nats.total_cmp(&b.loss_nats))
    }

    /// Whether another rate is better by more than the tolerance and more than twice the noise.
    pub(crate) fn fails(&self) -> bool {
        let (Some(rule), Some(best)) = (self.at_rule(), self.best()) else { return false };
        is_worse((rule.loss_nats, rule.stderr), (best.loss_nats, best.stderr))
    }
}

/// Whether the rule's loss lies above the best one by more than the tolerance and more than twice the noise of both.
fn is_worse(rule: (f64, f64), best: (f64, f64)) -> bool {
    let gain = rule.0 - best.0;
    gain > TOLERANCE * rule.0 && gain > 2.0 * rule.1.hypot(best.1)
}

impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(rule), Some(best)) = (self.at_rule(), self.best()) else {
            return f.write_str("learning rates: not tested");
        };
        write!(f, "learning rates at width {}, {} steps: ", self.d_model, self.steps)?;
        for (i, point) in self.points.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}×{} {:.3} ± {:.3}", point.lr_factor, point.loss_nats, point.stderr)?;
        }
        if self.fails() {
            write!(
                f,
                "; the rule FAILS here, ×{} is better by {:.1} %: set [train.learning_rates], or trust the forecast less",
                best.lr_factor,
                100.0 * (rule.loss_nats / best.loss_nats - 1.0)
            )
        } else {
            f.write_str("; the rule holds")
        }
    }
}

/// Mean loss of the seeds at one width.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct RatioPoint {
    pub(crate) tokens_per_param: f64,
    pub(crate) loss_nats: f64,
    /// Standard error of that mean, from the spread between seeds.
    pub(crate) stderr: f64,
    pub(crate) n_seeds: usize,
}

/// The rule for tokens per parameter, tested on runs of one compute and several widths.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RatioTest {
    pub(crate) flops: f64,
    /// Tokens for each parameter by the rule or the recipe.
    pub(crate) rule: f64,
    /// By ascending width.
    pub(crate) points: Vec<RatioPoint>,
}

impl RatioTest {
    /// The width that the rule would take.
    fn at_rule(&self) -> Option<&RatioPoint> {
        let off = |point: &RatioPoint| (point.tokens_per_param / self.rule).ln().abs();
        self.points.iter().min_by(|a, b| off(a).total_cmp(&off(b)))
    }

    fn best(&self) -> Option<&RatioPoint> {
        self.points.iter().min_by(|a, b| a.loss_nats.total_cmp(&b.loss_nats))
    }

    /// Whether there are repetitions: without them nobody knows what is noise.
    pub(crate) fn is_judged(&self) -> bool {
        self.points.iter().all(|point| point.n_seeds > 1)
    }

    /// Whether another width is better by more than the tolerance and more than twice the noise.
    pub(crate) fn fails(&self) -> bool {
        let (Some(rule), Some(best)) = (self.at_rule(), self.best()) else { return false };
        self.is_judged() && is_worse((rule.loss_nats, rule.stderr), (best.loss_nats, best.stderr))
    }
}

impl fmt::Display for RatioTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(rule), Some(best)) = (self.at_rule(), self.best()) else {
            return f.write_str("tokens per parameter: not tested");
        };
        write!(f, "tokens per parameter at {:.1e} FLOPs: ", self.flops)?;
        for (i, point) in self.points.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{:.1}: {:.3}", point.tokens_per_param, point.loss_nats)?;
            if point.n_seeds > 1 {
                write!(f, " ± {:.3}", point.stderr)?;
            }
        }
        if !self.is_judged() {
            return write!(f, "; the rule is {:.1}, not judged without several seeds", self.rule);
        }
        if self.fails() {
            write!(
                f,
                "; the rule ({:.1}) FAILS here, {:.1} is better by {:.1} %: set `train.tokens_per_param`, or trust the \
                 forecast less",
                self.rule,
                best.tokens_per_param,
                100.0 * (rule.loss_nats / best.loss_nats - 1.0)
            )
        } else {
            write!(f, "; the rule ({:.1}) holds", self.rule)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(losses: [(f64, f64); 3]) -> Sweep {
        let points = losses.map(|(lr_factor, loss_nats)| SweepPoint {
            lr_factor,
            loss_nats,
            stderr: 0.01,
            n_seeds: 3,
        });
        Sweep { d_model: 16, steps: 200, flops: 1e10, points: points.to_vec() }
    }

    #[test]
    fn a_rule_fails_only_beyond_noise_and_tolerance() {
        assert!(!sweep([(0.5, 2.05), (1.0, 2.0), (2.0, 2.1)]).fails());
        assert!(!sweep([(0.5, 1.985), (1.0, 2.0), (2.0, 2.1)]).fails(), "within the tolerance");
        let failed = sweep([(0.5, 1.9), (1.0, 2.0), (2.0, 2.1)]);
        assert!(failed.fails());
        assert!(failed.to_string().contains("FAILS here, ×0.5 is better by 5.3 %"), "{failed}");
    }

    #[test]
    fn the_ratio_of_tokens_is_judged_at_the_width_that_the_rule_takes() {
        let test = |losses: [f64; 3]| {
            let point = |(tokens_per_param, loss_nats)| RatioPoint {
                tokens_per_param,
                loss_nats,
                stderr: 0.005,
                n_seeds: 4,
            };
            let ratios = [150.0, 15.0, 4.0];
            RatioTest { flops: 5e11, rule: 10.5, points: ratios.into_iter().zip(losses).map(point).collect() }
        };
        let held = test([1.74, 1.675, 1.67]);
        assert!(!held.fails() && held.to_string().ends_with("; the rule (10.5) holds"), "{held}");
        let failed = test([1.6, 1.675, 1.7]);
        assert!(failed.fails());
        assert!(failed.to_string().contains("FAILS here, 150.0 is better by 4.7 %"), "{failed}");
        let mut single = failed.clone();
        single.points.iter_mut().for_each(|point| point.n_seeds = 1);
        assert!(
            !single.fails() && single.to_string().ends_with("not judged without several seeds"),
            "{single}"
        );
    }
}
