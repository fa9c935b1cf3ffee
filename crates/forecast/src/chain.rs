//! The second of two steps: from a model's loss to its pass rate.

use serde::{Deserialize, Serialize};

/// `p = lo + (hi − lo)·σ(slope·(x − midpoint))`, with the ends given and two numbers fitted.
///
/// On x = −L it is the second step of OLMo's model ladder, <https://arxiv.org/abs/2412.04403>; on x = ln C it predicts a
/// pass rate directly. Differs: there the ends are fitted too, to thousands of checkpoints.
///
/// ```
/// let step = forecast::Sigmoid { lo: 0.25, hi: 1.0, slope: 2.0, midpoint: -3.0 };
/// assert_eq!(step.at(-3.0), 0.625);
/// assert!((step.inverse(step.at(-2.2)) + 2.2).abs() < 1e-12);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sigmoid {
    /// Pass rate of a model that knows nothing: 0, or 1/choices.
    pub lo: f64,
    /// Pass rate of a perfect model.
    pub hi: f64,
    /// Steepness per unit of x.
    pub slope: f64,
    /// Where half of the way from `lo` to `hi` is done.
    pub midpoint: f64,
}

impl Sigmoid {
    /// The pass rate at `x`.
    pub fn at(&self, x: f64) -> f64 {
        self.lo + (self.hi - self.lo) / (1.0 + (-self.slope * (x - self.midpoint)).exp())
    }

    /// The x with pass rate `p`, which lies strictly between the ends.
    pub fn inverse(&self, p: f64) -> f64 {
        let part = (p - self.lo) / (self.hi - self.lo);
        self.midpoint + logit(part) / self.slope
    }
}

/// `ln(p/(1 − p))`, of a `p` that is kept a billionth away from both ends.
pub(crate) fn logit(p: f64) -> f64 {
    let p = p.clamp(1e-9, 1.0 - 1e-9);
    (p / (1.0 - p)).ln()
}

/// Pass rates of one draw of the loss each: uncertainty of the loss goes through both steps.
pub fn chained(step: &Sigmoid, loss_draws_nats: &[f64]) -> Vec<f64> {
    loss_draws_nats.iter().map(|loss| step.at(-loss)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Prediction;

    #[test]
    fn an_interval_of_the_loss_passes_through() {
        let step = Sigmoid { lo: 0.0, hi: 1.0, slope: 3.0, midpoint: -2.5 };
        let losses: Vec<f64> = (0..=1000).map(|i| 2.0 + f64::from(i) / 1000.0).collect();
        let prediction = Prediction::from_draws(&chained(&step, &losses));
        assert!((prediction.median - step.at(-2.5)).abs() < 1e-9);
        // A monotone map carries quantiles: the 10 % quantile of pass rates is that of the 90 % quantile of losses.
        assert!(
            (prediction.lo80 - step.at(-2.9)).abs() < 1e-3 && (prediction.hi80 - step.at(-2.1)).abs() < 1e-3
        );
    }
}
