//! The plan of a run: a recipe with nothing left open.

use std::fs;

use data::{Prepared, Tokenizer};
use forecast::{CurveSchedule, RunPlan, Target};
use model::{ModelConfig, checkpoint};
use train::TrainSettings;

use super::{
    run::{Run, once},
    stage::hash,
};
use crate::{
    recipe::Recipe,
    run_dir::{INPUTS, Identity},
};

/// Every number of a run.
pub(crate) struct Plan {
    /// Nothing in it is left open.
    pub(super) recipe: Recipe,
    /// Shape and training of the run that the ladder predicts.
    pub(super) big: (ModelConfig, TrainSettings),
    /// Hashes of what the training is made from.
    pub(super) identity: Identity,
}

impl Run {
    /// The plan of the run, from an earlier start in this folder or derived now.
    pub(super) fn plan(&self) -> anyhow::Result<&Plan> {
        once(&self.plan, || {
            let (tokenizer, prepared) = (self.tokenizer()?, self.prepared()?);
            let (recipe, config, settings) = self.resolve(tokenizer, prepared)?;
            let mut inputs = inputs(&config, &settings, tokenizer, prepared)?;
            if let Some(from) = &recipe.model.from {
                inputs = hash(&[&inputs, &checkpoint::sha256_of(&from.join("model.safetensors"))?]);
            }
            let (tokenizer, data) = (tokenizer.fingerprint().into(), prepared.fingerprint().into());
            Ok(Plan { recipe, big: (config, settings), identity: Identity { inputs, tokenizer, data } })
        })
    }

    /// Whether a training stands there; a crash right at its beginning leaves a folder with none.
    pub(super) fn is_begun(&self) -> bool {
        self.dir.join(INPUTS).exists() || self.dir.join("pretrain/checkpoints").exists()
    }

    /// Whether the training there was begun from this plan; where the file that says so is lost, its checkpoints show it.
    pub(super) fn is_begun_from(&self, plan: &Plan) -> bool {
        match fs::read_to_string(self.dir.join(INPUTS)) {
            Ok(begun) if begun.len() == plan.inputs().len() => begun == plan.inputs(),
            _ => {
                let checkpoints = self.dir.join("pretrain/checkpoints");
                train::holds_run(&checkpoints, plan.config(), plan.settings(), &plan.identity.data)
            }
        }
    }
}

/// Hash of everything that a training is made from.
fn inputs(
    config: &ModelConfig,
    settings: &TrainSettings,
    tokenizer: &Tokenizer,
    prepared: &Prepared,
) -> anyhow::Result<String> {
    let plan = serde_json::to_string(&(config, settings))?;
    Ok(hash(&[&plan, tokenizer.fingerprint(), prepared.fingerprint()]))
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
