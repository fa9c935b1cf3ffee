//! Is the run leaving its band? A sequential test whose false-alarm rate is stated before the run starts.
//!
//! **Model of a healthy run.** By [`CurveForecast`], the mean of ln value over block k is `μ_k + β_k·δ + s_k·e_k + noise_k`,
//! jointly Gaussian once the scale of the spread between runs is known. That scale was estimated from few rungs, with ν
//! degrees of freedom: the true covariance between runs is λ times the estimated one, `λ ~ ν/χ²_ν`.
//!
//! **Statistics.** A Kalman filter over (δ, e) turns the blocks, one at a time, into standardised innovations: how far a
//! block lies from what the run's own past and the forecast say together. Tested are each innovation (*jump*); sums of the
//! last 2, 4 … 32 of them over the root of their number, whenever half a window has passed (*drift*); and, each time the
//! coordinate has moved by 0.15, the block's whole distance from the forecast over its standard deviation (*level*). Jump
//! and level are two-sided, because a loss that is too low may be repeated or leaked data.
//!
//! **Error rate.** Before the run, thousands of healthy runs are drawn from the model, λ among what is drawn, and sent through
//! the same filter; each kind's threshold is what its largest statistic of a whole run passes with that kind's share of the
//! rate α, put on the safe side by two standard errors of the drawing. So `P(any alarm | healthy) ≤ α` over the whole run by a
//! union over three kinds alone: correlation between blocks costs nothing, and the tails are Student's where the spread
//! between runs dominates and normal where batch noise does. It holds as far as the model does; because the rungs show where
//! the curve's form is systematically off, no threshold is lower than what any held-out, healthy rung reached.
//!
//! Curves also change with scale as no form knows: large runs fall faster than the rungs say. So a loss that drifts
//! *downwards* is no alarm, and one that jumps or lies below its band is one only if it lies below all that is predicted for the
//! next three times as many steps, too, up to where the learning rate falls; repeated data, which it could mean, show in the
//! rows themselves.
//! Upwards the rungs say how much drift is theirs: see [`CurveForecast::held_out_statistics`].
//!
//! Measured: of 1,500 healthy runs of the model 7 alarmed at α = 1 % and 36 at 5 %; of 300 runs whose curves were of another
//! form, each with a ladder of its own, 24 % alarmed at α = 20 %.
//!
//! **Beyond the model.** Each step is clipped at eight standard deviations, so one wild batch cannot alarm by itself once
//! blocks hold several steps; and where batches are noisier than predicted, which the run's own second differences show,
//! the noise is widened up to twofold in standard deviation. Both only make alarms rarer.

mod calibrate;
pub(crate) mod tracker;

use serde::{Deserialize, Serialize};

use crate::{
    curve::{Channel, CurveBlock, CurveForecast},
    stats::quantile::normal_quantile,
};
use tracker::{Loading, Tracker};

/// A step counts for no more than this many standard deviations.
const CLIP: f64 = 8.0;

/// A loss this many times ahead of its forecast, in steps, is no fault: batches of a run a thousand times as large hold a hundred
/// times as many rows as those of its rungs, and take it further with each of the early steps.
const HEAD_START: u64 = 4;

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
    /// What it would have had to stay below, in size.
    pub threshold: Option<f64>,
    /// Cause to look for first, in words.
    pub meaning: String,
}

/// Why an observation was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AlarmError {
    /// A step was left out or given twice.
    #[error(
        "expected step {expected}, found step {found}\nhint: on resuming, restore the watch that was saved with the checkpoint"
    )]
    OutOfOrder {
        /// The step that is next.
        expected: u64,
        /// The step that was given.
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
    /// Of jump, drift and level.
    thresholds: [f64; 3],
    n_seen: u64,
    /// Block that is being filled, and its sums.
    block_idx: usize,
    sum: f64,
    n_in_block: u64,
    tracker: Tracker,
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
        let mut thresholds =
            calibrate::thresholds(&Loading::of(&forecast), forecast.degrees_of_freedom, false_alarm_rate);
        for (threshold, held_out) in thresholds.iter_mut().zip(forecast.held_out_statistics) {
            *threshold = threshold.max(held_out);
        }
        Ok(Self {
            forecast,
            false_alarm_rate,
            thresholds,
            n_seen: 0,
            block_idx: 0,
            sum: 0.0,
            n_in_block: 0,
            tracker: Tracker::default(),
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

    /// The forecast that the run is compared with.
    pub fn forecast(&self) -> &CurveForecast {
        &self.forecast
    }

    /// The final loss as the run so far revises it: median and 80 % interval, in the unit of `median`, the sealed forecast.
    ///
    /// What the blocks say of δ, the error of the sealed forecast, by the filter that tests them. It is no forecast made
    /// before the run, and no verdict counts it.
    pub fn revised(&self, median: f64) -> (f64, f64, f64) {
        let (mean, sd) = self.tracker.final_error();
        let at = |z: f64| median * (self.forecast.final_sd * (mean + z * sd)).exp();
        let z80 = normal_quantile(0.1);
        (at(0.0), at(-z80), at(z80))
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
        let reach = CLIP * (loading.common_variance() + block.step_noise_sd * block.step_noise_sd).sqrt()
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
            self.close(block, mean, &loading);
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

    fn loading(&self, block: &CurveBlock) -> Loading {
        let before = self.block_idx.checked_sub(1).map(|idx| self.forecast.blocks[idx].coordinate);
        Loading::new(&self.forecast, block, before)
    }

    /// Tests a finished block with mean residual `mean`.
    fn close(&mut self, block: &CurveBlock, mean: f64, loading: &Loading) {
        let noise = loading.noise * self.noise_ratio.clamp(1.0, 4.0);
        let statistics = self.tracker.take(&Loading { noise, ..*loading }, mean);
        let observed = (block.ln_value + mean).exp();
        let kinds = [AlarmKind::Jump, AlarmKind::Drift, AlarmKind::Level];
        for ((kind, statistic), threshold) in kinds.into_iter().zip(statistics).zip(self.thresholds) {
            // Larger runs fall faster than smaller ones say, a little more with every doubling.
            let is_expected = || {
                statistic < 0.0
                    && self.forecast.channel == Channel::Loss
                    && (kind == AlarmKind::Drift || block.ln_value + mean > self.ahead(block))
            };
            if statistic.abs() > threshold && !is_expected() {
                self.raise(kind, block, Some((observed, statistic, threshold)));
            }
        }
    }

    /// ln of the value that is predicted for [`HEAD_START`] times the steps of `block`, or for the last before the learning rate
    /// falls: a run that is only ahead of its forecast has not come below that.
    fn ahead(&self, block: &CurveBlock) -> f64 {
        let reached = HEAD_START.saturating_mul(block.last_step());
        let decay = self.forecast.first_decaying_step();
        let is_reached = |later: &&CurveBlock| later.first_step <= reached && later.first_step < decay;
        let later = self.forecast.blocks.iter().filter(is_reached);
        later.map(|later| later.ln_value).fold(block.ln_value, f64::min)
    }

    fn raise(&mut self, kind: AlarmKind, block: &CurveBlock, found: Option<(f64, f64, f64)>) {
        if self.alarm.is_some() {
            return;
        }
        self.alarm = Some(Alarm {
            channel: self.forecast.channel,
            kind,
            step: self.n_seen,
            fraction: self.n_seen as f64 / self.forecast.steps as f64,
            observed: found.map(|(observed, ..)| observed),
            forecast: block.ln_value.exp(),
            statistic: found.map(|(_, statistic, _)| statistic),
            threshold: found.map(|(.., threshold)| threshold),
            meaning: meaning(
                self.forecast.channel,
                kind,
                found.is_some_and(|(_, statistic, _)| statistic > 0.0),
            )
            .to_owned(),
        });
    }
}

fn meaning(channel: Channel, kind: AlarmKind, is_above: bool) -> &'static str {
    match (channel, kind, is_above) {
        (_, AlarmKind::NotANumber, _) => "the value is not a positive number: the run has diverged",
        (Channel::Loss, _, true) => {
            "the loss is above its band: look at the learning rate, the warmup, labels and the data's order"
        }
        (Channel::Loss, _, false) => {
            "the loss is below its band: in the first steps a learning rate far too high does that; later look for repeated or leaked data"
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
