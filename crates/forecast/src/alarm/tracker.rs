//! The statistics of one run: a Kalman filter over what its blocks have in common.

use serde::{Deserialize, Serialize};

use crate::curve::{CurveBlock, CurveForecast};

/// Distance on the curve's coordinate between two tests of the level.
const GRID: f64 = 0.15;

/// Windows of innovations that are summed.
const WINDOWS: [usize; 5] = [2, 4, 8, 16, 32];
const LONGEST_WINDOW: usize = 32;

/// Jump, drift and level of one block, each in standard deviations; 0 where it is not tested.
pub(crate) type Statistics = [f64; 3];
/// Position of the drift among them.
pub(crate) const DRIFT: usize = 1;

/// How a block hangs on what is common to the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loading {
    /// Standard deviation by the forecast's own error δ.
    pub(crate) final_sd: f64,
    /// Standard deviation by the wandering e.
    pub(crate) shape_sd: f64,
    /// Variance of the block's mean by the choice of batches, the rungs' included.
    pub(crate) noise: f64,
    /// Correlation of e with its value at the block before; 0 at the first.
    pub(crate) rho: f64,
    pub(crate) coordinate: f64,
}

/// What the blocks so far say of δ and e, and what the tests remember.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tracker {
    n_blocks: usize,
    /// Means of (δ, e), in units of their standard deviation before the run.
    state: [f64; 2],
    /// Variance of δ, covariance, variance of e.
    covariance: [f64; 3],
    /// The last innovations, oldest first.
    innovations: Vec<f64>,
    /// Coordinate from which the level is tested next.
    next_level: f64,
}

impl Loading {
    /// The loadings of all blocks.
    pub(crate) fn of(forecast: &CurveForecast) -> Vec<Self> {
        let blocks = &forecast.blocks;
        (0..blocks.len())
            .map(|k| {
                Self::new(forecast, &blocks[k], k.checked_sub(1).map(|before| blocks[before].coordinate))
            })
            .collect()
    }

    /// The loading of `block`, which follows one at the coordinate `before`.
    pub(crate) fn new(forecast: &CurveForecast, block: &CurveBlock, before: Option<f64>) -> Self {
        let distance = before.map(|before| (block.coordinate - before).abs());
        Self {
            final_sd: block.sensitivity * forecast.final_sd,
            shape_sd: block.shape_sd,
            noise: block.own_variance(),
            rho: distance.map_or(0.0, |distance| (-distance / forecast.correlation_length).exp()),
            coordinate: block.coordinate,
        }
    }

    /// Variance of the parts that are common to neighbouring blocks.
    pub(crate) fn common_variance(&self) -> f64 {
        self.final_sd * self.final_sd + self.shape_sd * self.shape_sd
    }
}

/// The largest statistic of each kind, in size, of a run whose blocks lie `means` above their forecast.
pub(crate) fn largest(loadings: &[Loading], means: impl IntoIterator<Item = f64>) -> Statistics {
    let mut tracker = Tracker::default();
    let mut largest = [0f64; 3];
    for (loading, mean) in loadings.iter().zip(means) {
        for (most, value) in largest.iter_mut().zip(tracker.take(loading, mean)) {
            *most = most.max(value.abs());
        }
    }
    largest
}

impl Default for Tracker {
    fn default() -> Self {
        Self {
            n_blocks: 0,
            state: [0.0; 2],
            covariance: [1.0, 0.0, 1.0],
            innovations: Vec::new(),
            next_level: 0.0,
        }
    }
}

impl Tracker {
    /// δ as the blocks so far say it: mean and standard deviation, in units of its spread before the run.
    pub(crate) fn final_error(&self) -> (f64, f64) {
        (self.state[0], self.covariance[0].max(0.0).sqrt())
    }

    /// Takes in a block whose mean lies `mean` above its forecast, and tests it.
    pub(crate) fn take(&mut self, loading: &Loading, mean: f64) -> Statistics {
        let (rho, a, b) = (loading.rho, loading.final_sd, loading.shape_sd);
        self.state[1] *= rho;
        self.covariance[1] *= rho;
        self.covariance[2] = 1.0 - rho * rho * (1.0 - self.covariance[2]);
        let [c00, c01, c11] = self.covariance;
        let gain = [c00 * a + c01 * b, c01 * a + c11 * b];
        let variance = (a * gain[0] + b * gain[1] + loading.noise).max(1e-18);
        let innovation = mean - a * self.state[0] - b * self.state[1];
        let jump = innovation / variance.sqrt();

        let shift = innovation / variance;
        self.state[0] += gain[0] * shift;
        self.state[1] += gain[1] * shift;
        self.covariance = [
            c00 - gain[0] * gain[0] / variance,
            c01 - gain[0] * gain[1] / variance,
            c11 - gain[1] * gain[1] / variance,
        ];

        if self.innovations.len() == LONGEST_WINDOW {
            self.innovations.remove(0);
        }
        self.innovations.push(jump);
        self.n_blocks += 1;
        let mut drift = 0f64;
        for window in WINDOWS {
            // Full windows, at every half of one.
            if self.n_blocks >= window && self.n_blocks.is_multiple_of(window / 2) {
                let last = &self.innovations[self.innovations.len() - window..];
                let sum = last.iter().sum::<f64>() / (window as f64).sqrt();
                if sum.abs() > drift.abs() {
                    drift = sum;
                }
            }
        }
        let mut level = 0.0;
        if loading.coordinate >= self.next_level {
            self.next_level = loading.coordinate + GRID;
            level = mean / (loading.common_variance() + loading.noise).sqrt().max(1e-9);
        }
        [jump, drift, level]
    }
}
