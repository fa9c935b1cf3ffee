//! Is the run leaving its band? A sequential test whose false-alarm rate is stated before the run starts.
//!
//! **Model of a healthy run.** By [`CurveForecast`], the mean of ln value over block k is `μ_k + β_k·δ + s_k·e_k + noise_k`,
//! jointly Gaussian once the scale of the spread between runs is known. That scale was estimated from few rungs, with ν
//! degrees of freedom: the true covariance between runs is λ times the estimated one, `λ ~ ν/χ²_ν`.
//!
//! **Statistics.** A Kalman filter over (δ, e) turns the blocks, one at a time, into standardised innovations `z_k`: how
//! far a block lies from what the run's own past and the forecast say together. Tested are each `z_k`; sums of the last
//! 2, 4 … 32 of them over the root of their number, whenever half a window has passed; and, each time the coordinate has
//! moved by `GRID`, the block's whole distance from the forecast over its standard deviation. The first sees a jump, the
//! second a drift, the third a level; all are two-sided, because a loss that is too low is repeated or leaked data.
//! Each is a fixed linear function of the blocks and standard normal under the model, and their number M is known before
//! the run.
//!
//! **Error rate.** The rate α is split: `α·SCALE_SHARE` for the scale, the rest for the statistics. All are computed with the
//! covariance at λ*, which λ exceeds with probability `α·SCALE_SHARE`. At λ = λ* a union bound gives
//! `P(any |statistic| > a) ≤ M·2·P(Z > a) = α·(1 − SCALE_SHARE)`. At λ < λ* the covariance is smaller, and the region without
//! alarm, `{|each linear statistic| ≤ a}`, is convex and symmetric, so its probability is no smaller (Anderson 1955,
//! <https://doi.org/10.1090/S0002-9939-1955-0069229-1>). So `P(any alarm | healthy) ≤ α` over the whole run, whatever the
//! correlation between the statistics, as far as the model holds.
//!
//! **Beyond the model.** Each step is clipped at `CLIP` standard deviations, so one wild batch cannot alarm by itself once
//! blocks hold several steps; and where batches are noisier than predicted, which the run's own second differences show,
//! the noise is widened up to twofold in standard deviation. Both only make alarms rarer.

use serde::{Deserialize, Serialize};

use crate::{
    curve::{Channel, CurveBlock, CurveForecast},
    quantile::{chi_squared_quantile, normal_quantile},
};

/// Part of the error rate that is spent on the spread between runs being larger than estimated: few degrees of freedom cost
/// more there than the tail of a normal does.
const SCALE_SHARE: f64 = 0.8;

/// Distance on the curve's coordinate between two tests of the level.
const GRID: f64 = 0.15;

/// A step counts for no more than this many standard deviations.
const CLIP: f64 = 8.0;

/// Windows of innovations that are summed.
const WINDOWS: [usize; 5] = [2, 4, 8, 16, 32];
const LONGEST_WINDOW: usize = 32;

/// Steps over which the run's own batch noise is averaged.
const NOISE_MEMORY: f64 = 50.0;

/// What left its band.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// A value that is no positive number.
    NotANumber,
    /// A block against the run's own past.
    Jump,
    /// Several blocks in a row against the run's own past.
    Drift,
    /// A block against the forecast made before the run.
    Level,
}

/// The run has left its band.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// Loss or gradient norm.
    pub channel: Channel,
    /// What left.
    pub kind: AlarmKind,
    /// Last step seen.
    pub step: u64,
    /// Part of the run that was over.
    pub fraction: f64,
    /// The block's geometric mean; none if the value is no positive number.
    pub observed: Option<f64>,
    /// Its forecast before the run.
    pub forecast: f64,
    /// The statistic, in standard deviations, its sign that of the deviation; none if the value is no positive number.
    pub statistic: Option<f64>,
    /// What it would have had to stay below.
    pub threshold: f64,
    /// Cause to look for first, in words.
    pub meaning: String,
}

/// Why an observation was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AlarmError {
    /// A step was left out or came twice.
    #[error(
        "expected step {expected}, found step {found}\nhint: on resuming, restore the watch that was saved with the checkpoint"
    )]
    OutOfOrder {
        /// The step that is next.
        expected: u64,
        /// The step that came.
        found: u64,
    },
    /// A rate that is none.
    #[error(
        "expected a false-alarm rate above 0 and at most 0.5, found {found}\nhint: 0.01 is one healthy run in a hundred"
    )]
    Rate {
        /// What was given.
        found: String,
    },
}

/// The test on one channel; everything it knows is in these fields, so that a run resumed with a saved watch decides as the
/// run that was never stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    forecast: CurveForecast,
    false_alarm_rate: f64,
    /// √λ*.
    scale: f64,
    /// a.
    threshold: f64,
    n_seen: u64,
    /// Block that is being filled, and its sums.
    block_idx: usize,
    sum: f64,
    n_in_block: u64,
    /// Means and covariance of (δ, e), both in units of their prior standard deviation.
    state: [f64; 2],
    covariance: [f64; 3],
    /// The last innovations, oldest first.
    innovations: Vec<f64>,
    /// Coordinate from which the level is tested next.
    next_level: f64,
    /// The last two residuals, and the run's mean squared second difference over the predicted.
    last_residuals: Vec<f64>,
    noise_ratio: f64,
    alarm: Option<Alarm>,
}

impl Watch {
    /// Begins to watch the run of `forecast`; at most `false_alarm_rate` of healthy runs will alarm.
    ///
    /// # Errors
    /// If the rate does not lie in (0, 0.5].
    pub fn new(forecast: CurveForecast, false_alarm_rate: f64) -> Result<Self, AlarmError> {
        if !(false_alarm_rate > 0.0 && false_alarm_rate <= 0.5) {
            return Err(AlarmError::Rate { found: false_alarm_rate.to_string() });
        }
        let nu = forecast.degrees_of_freedom;
        let scale = (nu / chi_squared_quantile(nu, false_alarm_rate * SCALE_SHARE)).sqrt().max(1.0);
        let n_tests = n_tests(&forecast.blocks) as f64;
        let threshold = normal_quantile(false_alarm_rate * (1.0 - SCALE_SHARE) / (2.0 * n_tests));
        Ok(Self {
            forecast,
            false_alarm_rate,
            scale,
            threshold,
            n_seen: 0,
            block_idx: 0,
            sum: 0.0,
            n_in_block: 0,
            state: [0.0; 2],
            covariance: [1.0, 0.0, 1.0],
            innovations: Vec::new(),
            next_level: 0.0,
            last_residuals: Vec::new(),
            noise_ratio: 1.0,
            alarm: None,
        })
    }

    /// The first alarm, if there was one.
    pub fn alarm(&self) -> Option<&Alarm> {
        self.alarm.as_ref()
    }

    /// Steps seen.
    pub fn n_seen(&self) -> u64 {
        self.n_seen
    }

    /// The stated rate.
    pub fn false_alarm_rate(&self) -> f64 {
        self.false_alarm_rate
    }

    /// The forecast that the run is held against.
    pub fn forecast(&self) -> &CurveForecast {
        &self.forecast
    }

    /// Takes in the value of one step, counted from 1; returns the alarm when it is raised, once. O(1).
    ///
    /// Steps past the plan are not tested.
    ///
    /// # Errors
    /// If `step` is not the one after the last.
    pub fn observe(&mut self, step: u64, value: f64) -> Result<Option<&Alarm>, AlarmError> {
        if step != self.n_seen + 1 {
            return Err(AlarmError::OutOfOrder { expected: self.n_seen + 1, found: step });
        }
        self.n_seen = step;
        let Some(block) = self.forecast.blocks.get(self.block_idx).cloned() else { return Ok(None) };
        let had_alarm = self.alarm.is_some();
        if value > 0.0 && value.is_finite() {
            self.take(&block, value.ln());
        } else {
            self.raise(AlarmKind::NotANumber, &block, None);
        }
        Ok(self.alarm.as_ref().filter(|_| !had_alarm))
    }

    fn take(&mut self, block: &CurveBlock, ln_value: f64) {
        let residual = ln_value - block.ln_value;
        let loading = self.loading(block);
        let prior_variance = loading[0] * loading[0] + loading[1] * loading[1];
        let reach = CLIP * (prior_variance + block.step_noise_sd * block.step_noise_sd).sqrt()
            + self.move_within(block);
        let clipped = residual.clamp(-reach, reach);
        if let [a, b] = self.last_residuals[..] {
            let second = (b - 0.5 * (a + clipped)).powi(2) / 1.5;
            let ratio = second / (block.step_noise_sd * block.step_noise_sd).max(1e-18);
            self.noise_ratio += (ratio.min(CLIP * CLIP) - self.noise_ratio) / NOISE_MEMORY;
            self.last_residuals.remove(0);
        }
        self.last_residuals.push(clipped);
        self.sum += clipped;
        self.n_in_block += 1;
        if self.n_in_block == block.n_steps {
            let mean = self.sum / self.n_in_block as f64;
            (self.sum, self.n_in_block) = (0.0, 0);
            self.close(block, mean, loading);
            self.block_idx += 1;
        }
    }

    /// How far the predicted curve moves between the middle of a block and its ends.
    fn move_within(&self, block: &CurveBlock) -> f64 {
        let blocks = &self.forecast.blocks;
        let before = &blocks[self.block_idx.saturating_sub(1)];
        let after = &blocks[(self.block_idx + 1).min(blocks.len() - 1)];
        (block.ln_value - before.ln_value).abs().max((after.ln_value - block.ln_value).abs())
    }

    /// Standard deviations of the block's two parts that are common to neighbours, at λ*.
    fn loading(&self, block: &CurveBlock) -> [f64; 2] {
        [block.sensitivity * self.forecast.final_sd * self.scale, block.shape_sd * self.scale]
    }

    /// Tests a finished block with mean residual `mean`, then learns from it.
    fn close(&mut self, block: &CurveBlock, mean: f64, loading: [f64; 2]) {
        if let Some(before) = self.block_idx.checked_sub(1).map(|idx| self.forecast.blocks[idx].coordinate) {
            let rho = (-(block.coordinate - before).abs() / self.forecast.correlation_length).exp();
            self.state[1] *= rho;
            self.covariance[1] *= rho;
            self.covariance[2] = 1.0 - rho * rho * (1.0 - self.covariance[2]);
        }
        let noise = block.step_noise_sd.powi(2) / block.n_steps as f64 * self.noise_ratio.clamp(1.0, 4.0);
        let [c00, c01, c11] = self.covariance;
        let gain = [c00 * loading[0] + c01 * loading[1], c01 * loading[0] + c11 * loading[1]];
        let variance = (loading[0] * gain[0] + loading[1] * gain[1] + noise).max(1e-18);
        let innovation = mean - loading[0] * self.state[0] - loading[1] * self.state[1];
        let z = innovation / variance.sqrt();

        if self.innovations.len() == LONGEST_WINDOW {
            self.innovations.remove(0);
        }
        self.innovations.push(z);
        let observed = (block.ln_value + mean).exp();
        if z.abs() > self.threshold {
            self.raise(AlarmKind::Jump, block, Some((observed, z)));
        }
        for window in windows_due(self.block_idx + 1) {
            let last = &self.innovations[self.innovations.len() - window..];
            let sum = last.iter().sum::<f64>() / (window as f64).sqrt();
            if sum.abs() > self.threshold {
                self.raise(AlarmKind::Drift, block, Some((observed, sum)));
            }
        }
        if block.coordinate >= self.next_level {
            self.next_level = block.coordinate + GRID;
            let sd = (loading[0] * loading[0] + loading[1] * loading[1] + noise).sqrt();
            let level = mean / sd.max(1e-9);
            if level.abs() > self.threshold {
                self.raise(AlarmKind::Level, block, Some((observed, level)));
            }
        }

        let shift = innovation / variance;
        self.state[0] += gain[0] * shift;
        self.state[1] += gain[1] * shift;
        self.covariance = [
            c00 - gain[0] * gain[0] / variance,
            c01 - gain[0] * gain[1] / variance,
            c11 - gain[1] * gain[1] / variance,
        ];
    }

    fn raise(&mut self, kind: AlarmKind, block: &CurveBlock, found: Option<(f64, f64)>) {
        if self.alarm.is_some() {
            return;
        }
        self.alarm = Some(Alarm {
            channel: self.forecast.channel,
            kind,
            step: self.n_seen,
            fraction: self.n_seen as f64 / self.forecast.steps as f64,
            observed: found.map(|(observed, _)| observed),
            forecast: block.ln_value.exp(),
            statistic: found.map(|(_, statistic)| statistic),
            threshold: self.threshold,
            meaning: meaning(
                self.forecast.channel,
                kind,
                found.is_some_and(|(_, statistic)| statistic > 0.0),
            )
            .to_owned(),
        });
    }
}

/// Windows whose sum is tested after `n_blocks` blocks: full ones, at every half window.
fn windows_due(n_blocks: usize) -> impl Iterator<Item = usize> {
    WINDOWS.into_iter().filter(move |window| n_blocks >= *window && n_blocks.is_multiple_of(window / 2))
}

/// M: every statistic that is compared with the threshold in a whole run.
fn n_tests(blocks: &[CurveBlock]) -> usize {
    let mut next_level = 0.0;
    let levels = blocks
        .iter()
        .filter(|block| {
            let is_due = block.coordinate >= next_level;
            if is_due {
                next_level = block.coordinate + GRID;
            }
            is_due
        })
        .count();
    blocks.len() + levels + (1..=blocks.len()).map(|n| windows_due(n).count()).sum::<usize>()
}

fn meaning(channel: Channel, kind: AlarmKind, is_above: bool) -> &'static str {
    match (channel, kind, is_above) {
        (_, AlarmKind::NotANumber, _) => "the value is no positive number: the run has diverged",
        (Channel::Loss, _, true) => {
            "the loss is above its band: look at the learning rate, the warmup, labels and the data's order"
        }
        (Channel::Loss, _, false) => {
            "the loss is below its band: look for repeated or leaked data before being glad"
        }
        (Channel::GradNorm, _, true) => {
            "gradients are larger than in the rungs: look at the learning rate and the labels"
        }
        (Channel::GradNorm, _, false) => {
            "gradients are smaller than in the rungs: look for frozen layers and repeated data"
        }
    }
}

#[cfg(test)]
mod tests;
