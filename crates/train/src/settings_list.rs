//! The one list of training settings: name, type, what it means, and what follows where a recipe leaves it open.

use model::scaling::LearningRates;
use serde::{Deserialize, Serialize};

use crate::{
    LearningRateOverrides, OptimizerKind, Precision,
    overrides::{Override, override_of, settings},
};

/// Tokens computed at a time where a recipe leaves it open: activations of more do not fit the caches anyway.
const MICRO_BATCH_TOKENS: usize = 8192;

/// Most minutes of work that a crash may cost, where a recipe leaves it open and saving is fast.
const CHECKPOINT_MINUTES: f64 = 10.0;

settings! {
    |derived|
    first {
        /// Optimizer steps.
        steps: u64 = derived.steps,
        /// Rows of one optimizer step.
        batch_rows: usize = derived.batch_rows,
        /// Rows computed at a time; the rest of a batch is accumulated. Changes memory, not what is computed, up to
        /// rounding.
        micro_batch_rows: usize = derived.batch_rows.min((MICRO_BATCH_TOKENS / derived.seq_len.max(1)).max(1)),
        /// Tokens of a row.
        seq_len: usize = derived.seq_len,
        /// What activations are held in.
        dtype: Precision = Precision::default(),
        /// Whether the backward computes activations again instead of keeping them.
        recompute_activations: bool = false,
        /// Optimizer of the matrices.
        optimizer: OptimizerKind = OptimizerKind::default(),
    }
    then {
        /// Steps of linear rise from 0.
        warmup_steps: u64 = (derived.steps / 50).clamp(1, 500),
        /// Last steps, of linear fall to `final_lr_fraction`.
        decay_steps: u64 = derived.steps / 5 * 2 + derived.steps % 5 * 2 / 5,
        /// Learning rate at the end, as a part of the peak.
        final_lr_fraction: f64 = 0.0,
        /// Decoupled weight decay of the matrices, multiplied by the learning rate.
        weight_decay: f64 = 0.0,
        /// The same for embedding and head.
        embedding_weight_decay: f64 = 0.0,
        /// Decay of AdamW's first moment.
        beta1: f64 = 0.9,
        /// Decay of AdamW's second moment.
        beta2: f64 = 0.95,
        /// Added to the root of AdamW's second moment.
        adam_eps: f64 = 1e-10,
        /// Decay of Muon's momentum.
        muon_momentum: f64 = 0.95,
        /// Largest norm of the whole gradient; larger ones are scaled down.
        max_grad_norm: f64 = 1.0,
        /// Steps from one validation to the next; the last step is always validated.
        eval_every_steps: u64 = derived.tenth(),
        /// Most tokens of a validation on the way. Where open, ten of a hundredth each, at a third of training's cost, take
        /// 3 % of the run.
        eval_tokens: u64 = (derived.tokens() / 100).clamp(1 << 14, 1 << 20).max(derived.seq_len as u64),
        /// Most tokens of the last validation.
        final_eval_tokens: u64 = (derived.tokens() / 10).clamp(1 << 18, 10 << 20),
        /// Steps from one checkpoint to the next; the last step is always saved.
        checkpoint_every_steps: u64 = derived.tenth(),
        /// Most minutes from one checkpoint to the next. Where it is set, checkpoints go by the clock as well as by steps, and
        /// further apart where saving is slow ([`crate::Cadence`]); else by steps alone. Saving changes no bit of the weights.
        // A tenth of a long run is hours. Whoever fixes the steps alone gets exactly those.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        checkpoint_every_minutes: Option<f64> as Option<f64> =
            (!derived.has_checkpoint_steps).then_some(CHECKPOINT_MINUTES),
        /// How many checkpoints stay; older ones are removed.
        keep_checkpoints: usize = 2,
    }
}

/// What the list derives open settings from.
pub(crate) struct Derived {
    pub(crate) seed: u64,
    pub(crate) steps: u64,
    pub(crate) batch_rows: usize,
    pub(crate) seq_len: usize,
    pub(crate) learning_rates: LearningRates,
    /// Whether the recipe fixes the steps from one checkpoint to the next.
    pub(crate) has_checkpoint_steps: bool,
}

impl Derived {
    /// Tokens of the whole training.
    fn tokens(&self) -> u64 {
        self.steps.saturating_mul(self.batch_rows as u64 * self.seq_len as u64)
    }

    /// A tenth of the training.
    fn tenth(&self) -> u64 {
        self.steps.div_ceil(10).max(1)
    }
}

#[cfg(test)]
mod tests {
    use model::scaling::ModelOverrides;

    use super::*;
    use crate::plan;

    /// Hashes of runs are made from this text: names, order and what follows where a recipe leaves it open.
    #[test]
    fn settings_are_written_in_one_order_for_good() {
        let model = ModelOverrides { d_model: Some(64), ..Default::default() };
        let learning_rates = LearningRateOverrides {
            matrix: Some(0.5),
            embedding: Some(0.25),
            head: Some(0.125),
            gain: Some(0.0625),
        };
        let train = TrainOverrides {
            steps: Some(1003),
            seq_len: Some(128),
            beta2: Some(0.75),
            learning_rates,
            ..Default::default()
        };
        let (_, settings) = plan(None, 512, &model, &train, 7).unwrap();
        let (first, rates, then) = (
            "\"steps\":1003,\"batch_rows\":32,\"micro_batch_rows\":32,\"seq_len\":128,\"dtype\":\"f32\",\
             \"recompute_activations\":false,\"optimizer\":\"muon\",",
            "\"learning_rates\":{\"matrix\":0.5,\"embedding\":0.25,\"head\":0.125,\"gain\":0.0625}",
            "\"warmup_steps\":20,\"decay_steps\":401,\"final_lr_fraction\":0.0,\"weight_decay\":0.0,\
             \"embedding_weight_decay\":0.0,\"beta1\":0.9,\"beta2\":0.75,\"adam_eps\":1e-10,\"muon_momentum\":0.95,\
             \"max_grad_norm\":1.0,\"eval_every_steps\":101,\"eval_tokens\":41082,\"final_eval_tokens\":410828,\
             \"checkpoint_every_steps\":101,\"checkpoint_every_minutes\":10.0,\"keep_checkpoints\":2",
        );
        assert_eq!(
            serde_json::to_string(&settings).unwrap(),
            format!("{{\"seed\":7,{first}{rates},{then}}}")
        );
        let fixed = TrainOverrides::fixed(&settings);
        assert_eq!(serde_json::to_string(&fixed).unwrap(), format!("{{{first}{then},{rates}}}"));
    }

    #[test]
    fn steps_between_checkpoints_that_are_fixed_alone_leave_no_clock() {
        let model = ModelOverrides { d_model: Some(64), ..Default::default() };
        let minutes = |steps: Option<u64>, minutes: Option<f64>| {
            let train = TrainOverrides {
                steps: Some(50),
                checkpoint_every_steps: steps,
                checkpoint_every_minutes: minutes,
                ..Default::default()
            };
            plan(None, 512, &model, &train, 7).unwrap().1.checkpoint_every_minutes
        };
        assert_eq!(minutes(None, None), Some(10.0));
        assert_eq!(minutes(Some(7), None), None);
        assert_eq!(minutes(Some(7), Some(2.5)), Some(2.5));
        assert_eq!(minutes(None, Some(2.5)), Some(2.5));
    }
}
