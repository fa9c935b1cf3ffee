//! Thresholds, from healthy runs drawn from the model.

use super::tracker::{Loading, Statistics, largest};
use crate::stats::random::Stream;

/// Healthy runs that are drawn: so many that about this many lie above each threshold.
const N_ABOVE: f64 = 50.0;
const MOST_RUNS: usize = 200_000;

/// Parts of the error rate for jump, drift and level: most faults move the level.
const SHARES: Statistics = [0.2, 0.3, 0.5];

/// Standard errors by which each threshold lies on the safe side of its estimate.
const SAFETY: f64 = 2.0;

/// The thresholds that a healthy run passes with probability `rate` in all.
///
/// The largest statistic of each kind is drawn from whole runs; its threshold is the value above which
/// `rate·share − 2·√(rate·share/n)` of n runs lie, so that the error of drawing is on the safe side too.
pub(super) fn thresholds(loadings: &[Loading], degrees_of_freedom: f64, rate: f64) -> Statistics {
    let least_share = SHARES.iter().copied().fold(1.0, f64::min);
    let n_runs = ((N_ABOVE / (rate * least_share)).ceil() as usize).min(MOST_RUNS);
    let mut all_largest: [Vec<f64>; 3] = Default::default();
    for run in 0..n_runs {
        let of_run = largest_of(loadings, degrees_of_freedom, run as u64);
        for (all, value) in all_largest.iter_mut().zip(of_run) {
            all.push(value);
        }
    }
    let mut thresholds = [0.0; 3];
    for ((threshold, values), share) in thresholds.iter_mut().zip(&mut all_largest).zip(SHARES) {
        values.sort_by(|a, b| b.total_cmp(a));
        let expected = rate * share * n_runs as f64;
        let n_above = (expected - SAFETY * expected.sqrt()).max(0.0) as usize;
        *threshold = values[n_above];
    }
    thresholds
}

/// The largest statistic of each kind in one healthy run.
fn largest_of(loadings: &[Loading], degrees_of_freedom: f64, run: u64) -> Statistics {
    let mut rng = Stream::new(0x0077_a7c4, run);
    // The scale of the spread was estimated: λ ~ ν/χ²_ν.
    let scale = (degrees_of_freedom / rng.chi_squared(degrees_of_freedom)).sqrt();
    let delta = scale * rng.normal();
    let mut wander = rng.normal();
    let means = loadings.iter().map(|loading| {
        wander = loading.rho * wander + (1.0 - loading.rho * loading.rho).sqrt() * rng.normal();
        let common = loading.final_sd * delta + loading.shape_sd * scale * wander;
        common + loading.noise.sqrt() * rng.normal()
    });
    largest(loadings, means)
}
