//! The plan of a run, and where its curve stands against another run's.

use serde::{Deserialize, Serialize};

/// Warmup, stable, decay: a linear rise to the peak learning rate, a plateau, a linear fall.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurveSchedule {
    /// Steps in all.
    pub steps: u64,
    /// Steps of rise.
    pub warmup_steps: u64,
    /// Steps of fall.
    pub decay_steps: u64,
    /// Where the fall ends, as a part of the peak.
    pub final_lr_fraction: f64,
}

/// How a step of one run is matched in another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alignment {
    /// At the same part of all steps: the collapse of Qiu et al. 2025, <https://arxiv.org/abs/2507.02119>.
    Fraction,
    /// At the same summed learning rate while little has been learned, at the same part of the logarithm of that sum
    /// up to the decay, and at the same part of the decay. A batch that is b times larger makes each step count
    /// `b^batch_exponent` times at first.
    LearningRateSum {
        /// 0 if only steps count, 1 if only tokens do.
        batch_exponent: f64,
    },
}

/// Up to this many steps' worth of peak learning rate, runs of any length learn in the same time.
const COMMON_SUM: f64 = 16.0;

impl CurveSchedule {
    /// The step after which the rate falls.
    pub(crate) fn decay_start(&self) -> f64 {
        self.steps.saturating_sub(self.decay_steps) as f64
    }

    /// `Σ rate/peak` over the first `done` steps, none of them in the decay.
    fn sum(&self, done: f64) -> f64 {
        let warmup = self.warmup_steps as f64;
        if done <= warmup { done * (done + 1.0) / (2.0 * warmup) } else { done - (warmup - 1.0) / 2.0 }
    }

    /// The number of steps whose [`sum`](Self::sum) is `sum`.
    fn steps_of_sum(&self, sum: f64) -> f64 {
        let warmup = self.warmup_steps as f64;
        if sum <= (warmup + 1.0) / 2.0 {
            ((1.0 + 8.0 * warmup * sum).sqrt() - 1.0) / 2.0
        } else {
            sum + (warmup - 1.0) / 2.0
        }
    }

    /// Where along the run `done` steps stand, on the scale on which curves change evenly: the logarithm of steps,
    /// plus the part of the decay that is over.
    pub(crate) fn coordinate(&self, done: f64) -> f64 {
        let decayed = (done - self.decay_start()).max(0.0) / (self.decay_steps as f64).max(1.0);
        (done + 4.0).ln() + decayed
    }

    /// The step of `other` that matches `done` steps of this run, whose batch is `batch_ratio` times the other's.
    pub(crate) fn matching(&self, done: f64, other: &Self, batch_ratio: f64, alignment: Alignment) -> f64 {
        let by_fraction = done * other.steps as f64 / self.steps as f64;
        match alignment {
            Alignment::Fraction => by_fraction,
            Alignment::LearningRateSum { .. } if done >= self.decay_start() => {
                let part = (done - self.decay_start()) / (self.decay_steps as f64).max(1.0);
                other.decay_start() + part * other.decay_steps as f64
            }
            Alignment::LearningRateSum { batch_exponent } => {
                let (mine, theirs) = (self.sum(self.decay_start()), other.sum(other.decay_start()));
                let faster = batch_ratio.powf(batch_exponent);
                let common = COMMON_SUM.min(mine / 4.0).min(theirs / (4.0 * faster));
                let sum = self.sum(done);
                let matched = if sum <= common {
                    sum * faster
                } else {
                    let stretch = (theirs / (common * faster)).ln() / (mine / common).ln();
                    common * faster * ((sum / common).ln() * stretch).exp()
                };
                other.steps_of_sum(matched)
            }
        }
    }
}

/// A noisy series, one value a step, that can be averaged between any two moments.
pub(crate) struct Series {
    values: Vec<f64>,
    /// Integral of the values' linear interpolation from the first to each.
    integral: Vec<f64>,
}

impl Series {
    /// The series of `values`, of which there is at least one; value `i` stands after `i` steps.
    pub(crate) fn new(values: Vec<f64>) -> Self {
        let mut sum = 0.0;
        let integral = std::iter::once(0.0)
            .chain(values.windows(2).map(|pair| {
                sum += 0.5 * (pair[0] + pair[1]);
                sum
            }))
            .collect();
        Self { values, integral }
    }

    fn split(&self, step: f64) -> (usize, f64) {
        let step = step.clamp(0.0, (self.values.len() - 1) as f64);
        let idx = (step as usize).min(self.values.len().saturating_sub(2));
        (idx, step - idx as f64)
    }

    fn at(&self, step: f64) -> f64 {
        let (i, part) = self.split(step);
        let next = self.values[(i + 1).min(self.values.len() - 1)];
        self.values[i] + part * (next - self.values[i])
    }

    fn integral_to(&self, step: f64) -> f64 {
        let (i, part) = self.split(step);
        self.integral[i] + part * 0.5 * (self.values[i] + self.at(step))
    }

    /// Mean of the linear interpolation from `from` to `to`.
    pub(crate) fn mean(&self, from: f64, to: f64) -> f64 {
        let last = (self.values.len() - 1) as f64;
        let (from, to) = (from.clamp(0.0, last), to.clamp(0.0, last));
        if to - from < 1e-6 {
            return self.at(0.5 * (from + to));
        }
        (self.integral_to(to) - self.integral_to(from)) / (to - from)
    }

    /// Variance of the noise of one step around a step, from second differences, which a smooth curve leaves small:
    /// `mean((x_i − (x_{i−1} + x_{i+1})/2)²)/1.5` over a tenth of the way so far, and at least nine steps.
    pub(crate) fn noise_variance(&self, from: f64, to: f64) -> f64 {
        let n = self.values.len();
        let margin = (0.05 * to).max(4.0);
        let first = ((from - margin).max(1.0) as usize).min(n.saturating_sub(2));
        let end = ((to + margin).ceil() as usize + 1).clamp(first + 1, (n - 1).max(first + 1));
        let squares = (first..end.min(n - 1)).map(|i| {
            let gap = self.values[i] - 0.5 * (self.values[i - 1] + self.values[i + 1]);
            gap * gap / 1.5
        });
        let count = squares.len().max(1) as f64;
        squares.sum::<f64>() / count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: Alignment = Alignment::LearningRateSum { batch_exponent: 0.0 };
    const SHORT: CurveSchedule =
        CurveSchedule { steps: 600, warmup_steps: 12, decay_steps: 240, final_lr_fraction: 0.0 };
    const LONG: CurveSchedule =
        CurveSchedule { steps: 5000, warmup_steps: 100, decay_steps: 2000, final_lr_fraction: 0.0 };

    #[test]
    fn matching_is_monotone_and_meets_both_ends() {
        for alignment in [Alignment::Fraction, SUM, Alignment::LearningRateSum { batch_exponent: 0.5 }] {
            let mut before = -1.0;
            for done in 0..=5000 {
                let there = LONG.matching(f64::from(done), &SHORT, 4.0, alignment);
                assert!(there > before, "{alignment:?} at {done}: {there} after {before}");
                before = there;
            }
            assert!((before - 600.0).abs() < 1e-9);
            assert!(LONG.matching(0.0, &SHORT, 4.0, alignment).abs() < 1e-9);
            assert!((LONG.matching(3000.0, &SHORT, 4.0, alignment) - 360.0).abs() < 1e-6);
        }
    }

    #[test]
    fn early_moments_match_by_summed_rate() {
        // 3.0 peaks' worth: 8 steps of a warmup of 12 (8·9/24), and 24 of one of 100 (24·25/200).
        assert!((LONG.matching(24.0, &SHORT, 4.0, SUM) - 8.0).abs() < 1e-9);
    }

    #[test]
    fn means_are_exact_on_straight_lines() {
        let series = Series::new((0..50).map(|i| 3.0 - 0.1 * f64::from(i)).collect());
        for (from, to) in [(0.0, 49.0), (2.25, 2.5), (7.0, 7.0), (3.5, 41.75)] {
            assert!((series.mean(from, to) - (3.0 - 0.05 * (from + to))).abs() < 1e-12);
        }
        assert!(series.noise_variance(10.0, 20.0) < 1e-24);
    }
}
