//! The plan of a run: a recipe with nothing left open.

use forecast::{CurveSchedule, RunPlan, Target};
use model::ModelConfig;
use train::TrainSettings;

use crate::{recipe::Recipe, run_dir::Identity};

/// Every number of a run.
pub(crate) struct Plan {
    /// Nothing in it is left open.
    pub(super) recipe: Recipe,
    /// Shape and training of the run that the ladder predicts.
    pub(super) big: (ModelConfig, TrainSettings),
    /// Hashes of what the training is made from.
    pub(super) identity: Identity,
}

impl Plan {
    pub(super) fn config(&self) -> &ModelConfig {
        &self.big.0
    }

    pub(super) fn settings(&self) -> &TrainSettings {
        &self.big.1
    }

    /// Hash of everything that the training is made from.
    pub(super) fn inputs(&self) -> &str {
        &self.identity.inputs
    }

    /// FLOPs of the whole training.
    pub(super) fn flops(&self) -> f64 {
        flops(self.config(), self.settings())
    }

    /// What is to be forecast.
    pub(super) fn target(&self) -> anyhow::Result<Target> {
        let plan = run_plan(self.config(), self.settings());
        let shape = Target::at_shape(plan.n_params, plan.n_tokens)?;
        // With the model's own FLOPs: attention's are in them, which 6·N·D leaves out.
        Ok(Target { flops: plan.flops, ..shape })
    }
}

/// FLOPs of a whole training.
pub(super) fn flops(config: &ModelConfig, settings: &TrainSettings) -> f64 {
    let tokens = settings.steps * settings.batch_tokens();
    tokens as f64 * config.train_flops_per_token(settings.seq_len)
}

/// A training, as the forecast of curves reads it.
pub(super) fn run_plan(config: &ModelConfig, settings: &TrainSettings) -> RunPlan {
    RunPlan {
        n_params: config.n_matrix_params() as f64,
        n_tokens: (settings.steps * settings.batch_tokens()) as f64,
        flops: flops(config, settings),
        batch_tokens: settings.batch_tokens() as f64,
        schedule: CurveSchedule {
            steps: settings.steps,
            warmup_steps: settings.warmup_steps,
            decay_steps: settings.decay_steps,
            final_lr_fraction: settings.final_lr_fraction,
        },
    }
}
