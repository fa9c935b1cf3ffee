//! What the sweep says of the learning-rate rule.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{Role, RungResult};

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
        let gain = rule.loss_nats - best.loss_nats;
        let noise = (rule.stderr.powi(2) + best.stderr.powi(2)).sqrt();
        gain > TOLERANCE * rule.loss_nats && gain > 2.0 * noise
    }
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

/// One verdict for each width and length that was swept.
pub(super) fn judge(results: &[RungResult]) -> Vec<Sweep> {
    let mut swept: Vec<(usize, u64, f64)> = results
        .iter()
        .filter(|result| result.role == Role::Sweep)
        .map(|result| (result.config.d_model, result.settings.steps, result.flops))
        .collect();
    swept.sort_by(|a, b| a.2.total_cmp(&b.2));
    swept.dedup();
    swept
        .into_iter()
        .map(|(d_model, steps, flops)| {
            let mut by_factor: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
            for result in results.iter().filter(|r| r.config.d_model == d_model && r.flops == flops) {
                // Factors are positive, so their bits sort as they do.
                by_factor.entry(result.lr_factor.to_bits()).or_default().push(result.loss_nats);
            }
            let points = by_factor.into_iter().map(|(factor, losses)| point(f64::from_bits(factor), &losses));
            Sweep { d_model, steps, flops, points: points.collect() }
        })
        .collect()
}

fn point(lr_factor: f64, losses: &[f64]) -> SweepPoint {
    let n = losses.len() as f64;
    let mean = losses.iter().sum::<f64>() / n;
    let variance = losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    SweepPoint { lr_factor, loss_nats: mean, stderr: (variance / n).sqrt(), n_seeds: losses.len() }
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
}
