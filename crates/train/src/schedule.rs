//! The learning rate over time.

use serde::{Deserialize, Serialize};

/// Warmup, stable, decay: a linear rise, a plateau, a linear fall.
///
/// The plateau lets one run be continued or decayed at any horizon. Paper: <https://arxiv.org/abs/2404.06395>;
/// linear decay: <https://arxiv.org/abs/2405.18392>.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Steps in all.
    pub steps: u64,
    /// Steps of rise.
    pub warmup_steps: u64,
    /// Steps of fall.
    pub decay_steps: u64,
    /// Where the fall ends, as a part of the peak.
    pub final_fraction: f64,
}

impl Schedule {
    /// The part of the peak rate for step `step`, counted from 1.
    ///
    /// ```
    /// let schedule = train::Schedule { steps: 100, warmup_steps: 10, decay_steps: 40, final_fraction: 0.0 };
    /// assert_eq!([1, 10, 60, 80, 100].map(|step| schedule.fraction(step)), [0.1, 1.0, 1.0, 0.525, 0.025]);
    /// ```
    pub fn fraction(&self, step: u64) -> f64 {
        if step <= self.warmup_steps {
            return step as f64 / self.warmup_steps as f64;
        }
        // The last step still moves: the fall would reach its end one step later.
        let left = (self.steps + 1).saturating_sub(step);
        if left > self.decay_steps {
            return 1.0;
        }
        let height = left as f64 / self.decay_steps as f64;
        self.final_fraction + (1.0 - self.final_fraction) * height
    }
}
