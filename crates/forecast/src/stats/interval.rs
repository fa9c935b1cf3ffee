//! Draws in, a median and three central intervals out.

use serde::{Deserialize, Serialize};

/// Median and central 50, 80 and 95 % intervals of a predicted quantity, in its own unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// As likely exceeded as not.
    pub median: f64,
    /// 25 % quantile.
    pub lo50: f64,
    /// 75 % quantile.
    pub hi50: f64,
    /// 10 % quantile.
    pub lo80: f64,
    /// 90 % quantile.
    pub hi80: f64,
    /// 2.5 % quantile.
    pub lo95: f64,
    /// 97.5 % quantile.
    pub hi95: f64,
}

impl Prediction {
    /// The quantiles of `draws`, which need no order.
    ///
    /// # Panics
    /// If there is no draw, or one is not a number.
    #[track_caller]
    pub fn from_draws(draws: &[f64]) -> Self {
        assert!(
            !draws.is_empty() && draws.iter().all(|x| !x.is_nan()),
            "draws: {} of them, NaN among them or none",
            draws.len()
        );
        let mut sorted = draws.to_vec();
        sorted.sort_by(f64::total_cmp);
        let q = |p| quantile(&sorted, p);
        Self {
            median: q(0.5),
            lo50: q(0.25),
            hi50: q(0.75),
            lo80: q(0.1),
            hi80: q(0.9),
            lo95: q(0.025),
            hi95: q(0.975),
        }
    }

    /// Whether `actual` lies inside of the central interval of 50, 80 or 95 %.
    ///
    /// # Panics
    /// At any other percentage.
    #[track_caller]
    pub fn covers(&self, percent: u32, actual: f64) -> bool {
        let (lo, hi) = match percent {
            50 => (self.lo50, self.hi50),
            80 => (self.lo80, self.hi80),
            95 => (self.lo95, self.hi95),
            other => panic!("intervals are 50, 80 or 95 %, not {other} %"),
        };
        (lo..=hi).contains(&actual)
    }
}

/// Quantile `p` of ascending values, linear between neighbours.
///
/// # Panics
/// If there is no value.
pub(crate) fn quantile(sorted: &[f64], p: f64) -> f64 {
    let position = p * (sorted.len() - 1) as f64;
    let (below, share) = (position.floor() as usize, position.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + share * (sorted[above] - sorted[below])
}

/// The middle of `values`; 0 without any.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    if sorted.is_empty() { 0.0 } else { quantile(&sorted, 0.5) }
}
