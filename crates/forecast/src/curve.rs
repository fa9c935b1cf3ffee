//! The whole training-loss curve of a coming run, before it starts.
//!
//! The rungs of a ladder are one recipe at growing budgets, so their curves form a family with one parameter, for which
//! the final loss is taken: at each matching step ([`Alignment`]) the logarithm of the loss follows from the logarithm
//! of the final loss ([`CurveForm`]). The coming run's final loss is the sealed forecast; its curve follows. Which
//! alignment and form are used is decided by leaving one rung out at a time.
//!
//! At block k of the run the logarithm of the mean loss is
//! `ln L_k = μ_k + β_k·δ + s_k·e_k + noise_k`, where
//! δ is the error of the sealed forecast (one number for the run), β_k the curve's sensitivity to it, e a stationary
//! Gaussian process with correlation `exp(−|w − w'|/ℓ)` on the coordinate w = ln(steps + 4) + part of the decay, s_k the
//! spread of curves between runs as the held-out rungs showed it, and noise the mean of independent batch noises.

mod family;
mod fit;
mod schedule;

use serde::{Deserialize, Serialize};

pub use family::CurveForm;
pub use fit::CurveError;
pub use schedule::{Alignment, CurveSchedule};

use crate::stats::quantile::normal_quantile;

/// What fixes a run before it starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunPlan {
    /// N.
    pub n_params: f64,
    /// D.
    pub n_tokens: f64,
    /// C, all of it.
    pub flops: f64,
    /// Tokens of one optimizer step.
    pub batch_tokens: f64,
    /// The learning rate over time.
    pub schedule: CurveSchedule,
}

/// A finished rung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RungCurve {
    /// Its name.
    pub run: String,
    /// What it was to be.
    pub plan: RunPlan,
    /// Validation loss at its end.
    pub final_loss_nats: f64,
    /// Loss of each step's batch before the step.
    pub train_loss_nats: Vec<f64>,
    /// Norm of each step's gradient before clipping; empty where it was not kept.
    #[serde(default)]
    pub grad_norm: Vec<f64>,
}

/// The sealed forecast of the target run's final validation loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinalLoss {
    /// Its median.
    pub median_nats: f64,
    /// Draws from its distribution; their spread becomes the common offset of the curve.
    pub draws_nats: Vec<f64>,
}

/// What is predicted of each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// Training loss in nats.
    Loss,
    /// Norm of the gradient before clipping.
    GradNorm,
}

/// Steps of the target run that are averaged, and what is predicted of their mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurveBlock {
    /// First step, counted from 1.
    pub first_step: u64,
    /// Steps in the block.
    pub n_steps: u64,
    /// w.
    pub coordinate: f64,
    /// μ: median of the mean of ln value.
    pub ln_value: f64,
    /// β: change of `ln_value` by ln of the final loss.
    pub sensitivity: f64,
    /// s: standard deviation between runs that end alike.
    pub shape_sd: f64,
    /// Standard deviation of ln value of one step by the choice of its batch.
    pub step_noise_sd: f64,
    /// Standard deviation of `ln_value` by the batch noise of the rungs that it was read off; independent between blocks.
    pub rung_noise_sd: f64,
}

impl CurveBlock {
    /// Last step, counted from 1.
    pub(crate) fn last_step(&self) -> u64 {
        self.first_step.saturating_add(self.n_steps).saturating_sub(1)
    }

    /// Variance of the distance between the block's mean and `ln_value` that no other block shares.
    pub(crate) fn own_variance(&self) -> f64 {
        self.step_noise_sd.powi(2) / self.n_steps as f64 + self.rung_noise_sd.powi(2)
    }
}

/// One way of predicting, and how far off it was on rungs held out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurveMethod {
    /// How moments are matched.
    pub alignment: Alignment,
    /// How a curve follows from its end.
    pub form: CurveForm,
    /// Root mean square error of ln value, in per cent, over all blocks and held-out rungs, each with its own final loss
    /// known; the largest rung counts twice.
    pub held_out_rms_percent: f64,
}

/// The predicted curve of a coming run; see the module's first lines for the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurveForecast {
    /// What is predicted.
    pub channel: Channel,
    /// Steps of the run.
    pub steps: u64,
    /// The run cut into blocks: single steps first, then ever longer ones, at most a hundredth of the run.
    pub blocks: Vec<CurveBlock>,
    /// Standard deviation of δ.
    pub final_sd: f64,
    /// ℓ.
    pub correlation_length: f64,
    /// Degrees of freedom of the estimate of s².
    pub degrees_of_freedom: f64,
    /// The largest jump, drift and level (as [`Watch`](crate::Watch) tests them) of any rung against its prediction from the
    /// other plans; for the drift also that of each rung of the upper half against its prediction from the lower, times
    /// how much further the target run is.
    pub held_out_statistics: [f64; 3],
    /// The method used first, then the others, best first.
    pub methods: Vec<CurveMethod>,
}

/// The prediction for one step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Part of all steps.
    pub fraction: f64,
    /// The step.
    pub step: u64,
    /// Median of the value: nats for the loss.
    pub median: f64,
    /// Standard deviation of ln value that is common to the whole run: of the sealed forecast.
    pub sd_final: f64,
    /// Standard deviation of ln value between runs that end alike.
    pub sd_shape: f64,
    /// Standard deviation of ln value of this one step by the choice of its batch.
    pub sd_step: f64,
    /// Degrees of freedom of the spread between runs.
    pub degrees_of_freedom: f64,
}

impl CurveForecast {
    /// First step at which the learning rate falls, to a block's accuracy: there the coordinate runs ahead of ln(steps + 4).
    pub(crate) fn first_decaying_step(&self) -> u64 {
        const AHEAD: f64 = 0.02;
        // The coordinate is that of the steps done before the block's middle.
        let done = |block: &CurveBlock| block.first_step as f64 + 0.5 * block.n_steps as f64 - 1.5;
        let falls = |block: &&CurveBlock| block.coordinate > (done(block) + 4.0).ln() + AHEAD;
        self.blocks.iter().find(falls).map_or(self.steps, |block| block.first_step)
    }

    /// The prediction at `fraction` of the run, in (0, 1].
    pub fn at(&self, fraction: f64) -> CurvePoint {
        let place = (fraction.clamp(0.0, 1.0) * self.steps as f64).max(0.5);
        let step = (place.ceil() as u64).max(1);
        // Between the middles of blocks.
        let middle = |block: &CurveBlock| block.first_step as f64 + 0.5 * (block.n_steps as f64 - 1.0);
        let after =
            self.blocks.partition_point(|block| middle(block) < step as f64).min(self.blocks.len() - 1);
        let before = after.saturating_sub(1);
        let (a, b) = (&self.blocks[before], &self.blocks[after]);
        let part = if after == before {
            0.0
        } else {
            ((step as f64 - middle(a)) / (middle(b) - middle(a))).clamp(0.0, 1.0)
        };
        let mix = |value: fn(&CurveBlock) -> f64| value(a) + part * (value(b) - value(a));
        CurvePoint {
            fraction,
            step,
            median: mix(|block| block.ln_value).exp(),
            sd_final: mix(|block| block.sensitivity.abs()) * self.final_sd,
            sd_shape: mix(|block| block.shape_sd),
            sd_step: mix(|block| block.step_noise_sd),
            degrees_of_freedom: self.degrees_of_freedom,
        }
    }
}

impl CurvePoint {
    /// The central interval of probability `level` for the mean of `n_steps` neighbouring steps; `None` is for a curve
    /// without batch noise.
    ///
    /// Student's heavier tails stand in the spread: `s·√(ν/(ν−2))`.
    pub fn interval(&self, level: f64, n_steps: Option<u64>) -> (f64, f64) {
        let heavier = self.degrees_of_freedom / (self.degrees_of_freedom - 2.0).max(1.0);
        let noise = n_steps.map_or(0.0, |n| self.sd_step * self.sd_step / n.max(1) as f64);
        let sd = (self.sd_final.powi(2) + heavier * self.sd_shape.powi(2) + noise).sqrt();
        let reach = normal_quantile(0.5 * (1.0 - level.clamp(0.0, 1.0 - 1e-12))) * sd;
        (self.median * (-reach).exp(), self.median * reach.exp())
    }
}

#[cfg(test)]
pub(crate) mod tests;
