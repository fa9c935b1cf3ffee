//! From a recipe's budget and what it fixes to every number of a run.

use model::{
    ModelConfig,
    scaling::{self, LearningRates, ModelOverrides},
};
use serde::{Deserialize, Serialize};

use crate::{OptimizerKind, Precision, TrainError, TrainSettings};

/// Settings that a recipe fixes; the rest follows from the budget. Fields as in [`TrainSettings`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "each field is the one of TrainSettings")]
pub struct TrainOverrides {
    pub steps: Option<u64>,
    pub batch_rows: Option<usize>,
    pub micro_batch_rows: Option<usize>,
    pub seq_len: Option<usize>,
    pub dtype: Option<Precision>,
    pub recompute_activations: Option<bool>,
    pub optimizer: Option<OptimizerKind>,
    pub warmup_steps: Option<u64>,
    pub decay_steps: Option<u64>,
    pub final_lr_fraction: Option<f64>,
    pub weight_decay: Option<f64>,
    pub embedding_weight_decay: Option<f64>,
    pub beta1: Option<f64>,
    pub beta2: Option<f64>,
    pub adam_eps: Option<f64>,
    pub muon_momentum: Option<f64>,
    pub max_grad_norm: Option<f64>,
    pub eval_every_steps: Option<u64>,
    pub eval_tokens: Option<u64>,
    pub final_eval_tokens: Option<u64>,
    pub checkpoint_every_steps: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_every_minutes: Option<f64>,
    pub keep_checkpoints: Option<usize>,
    pub learning_rates: LearningRateOverrides,
    /// Tokens for each matrix parameter; decides the width that a budget is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_param: Option<f64>,
}

/// Learning rates that a recipe fixes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "each field is the one of LearningRates")]
pub struct LearningRateOverrides {
    pub matrix: Option<f64>,
    pub embedding: Option<f64>,
    pub head: Option<f64>,
    pub gain: Option<f64>,
}

/// Tokens computed at a time where a recipe leaves it open: activations of more do not fit the caches anyway.
const MICRO_BATCH_TOKENS: usize = 8192;

/// Most minutes of work that a crash may cost, where a recipe leaves it open and saving is fast.
const CHECKPOINT_MINUTES: f64 = 10.0;

/// Larger budgets are a slipped digit: GPT-4's is said to be about 2e25.
const MAX_FLOPS: f64 = 1e30;

/// Derives every number of a run from its budget in FLOPs, or from its steps where there is no budget.
///
/// # Errors
/// If neither a budget nor `train.steps` with `model.d_model` is given, or a number is out of range.
pub fn plan(
    train_flops: Option<f64>,
    vocab_size: usize,
    model: &ModelOverrides,
    train: &TrainOverrides,
    seed: u64,
) -> Result<(ModelConfig, TrainSettings), TrainError> {
    let seq_len = train.seq_len.unwrap_or_else(|| train_flops.map_or(256, scaling::seq_len));
    // Before anything is computed from them: no product may overflow.
    model.validate(vocab_size, seq_len)?;
    let sizes = [
        ("seq_len", train.seq_len),
        ("batch_rows", train.batch_rows),
        ("micro_batch_rows", train.micro_batch_rows),
    ];
    for (name, size) in sizes {
        if let Some(size) = size.filter(|size| *size > u32::MAX as usize) {
            return Err(TrainError::Setting { name, expected: "below 2^32", found: size.to_string() });
        }
    }
    let (config, batch_rows, steps) = match (train_flops, train.steps) {
        (Some(flops), _) => {
            if !(flops > 0.0 && flops <= MAX_FLOPS) {
                let (name, expected) = ("train_flops", "positive and at most 1e30");
                return Err(TrainError::Setting { name, expected, found: format!("{flops:e}") });
            }
            let ratio = train.tokens_per_param.unwrap_or(scaling::TOKENS_PER_PARAM);
            if !(1e-3..=1e6).contains(&ratio) {
                let (name, expected) = ("tokens_per_param", "from 0.001 to 1,000,000");
                return Err(TrainError::Setting { name, expected, found: ratio.to_string() });
            }
            let (config, tokens) = scaling::compute_optimal(flops, ratio, vocab_size, seq_len, model);
            let rows = train
                .batch_rows
                .unwrap_or_else(|| scaling::batch_rows(config.n_matrix_params(), tokens, seq_len));
            let steps = (tokens / (rows as f64 * seq_len as f64).max(1.0)).round().max(1.0) as u64;
            (config, rows, train.steps.unwrap_or(steps))
        }
        (None, Some(steps)) if model.d_model.is_some() => {
            let config = model.config(vocab_size, seq_len, 0);
            (config, train.batch_rows.unwrap_or(32), steps)
        }
        (None, _) => {
            return Err(TrainError::Setting {
                name: "budget",
                expected: "`minutes` or `train_flops`, or else `train.steps` and `model.d_model`",
                found: "none".into(),
            });
        }
    };
    let optimizer = train.optimizer.unwrap_or_default();
    let rates = scaling::learning_rates(&config, optimizer == OptimizerKind::Muon);
    let fixed = &train.learning_rates;
    let tokens = steps.saturating_mul(batch_rows as u64 * seq_len as u64);
    let settings = TrainSettings {
        seed,
        steps,
        batch_rows,
        micro_batch_rows: train
            .micro_batch_rows
            .unwrap_or_else(|| batch_rows.min((MICRO_BATCH_TOKENS / seq_len.max(1)).max(1))),
        seq_len,
        dtype: train.dtype.unwrap_or_default(),
        recompute_activations: train.recompute_activations.unwrap_or(false),
        optimizer,
        learning_rates: LearningRates {
            matrix: fixed.matrix.unwrap_or(rates.matrix),
            embedding: fixed.embedding.unwrap_or(rates.embedding),
            head: fixed.head.unwrap_or(rates.head),
            gain: fixed.gain.unwrap_or(rates.gain),
        },
        warmup_steps: train.warmup_steps.unwrap_or((steps / 50).clamp(1, 500)),
        decay_steps: train.decay_steps.unwrap_or(steps / 5 * 2 + steps % 5 * 2 / 5),
        final_lr_fraction: train.final_lr_fraction.unwrap_or(0.0),
        weight_decay: train.weight_decay.unwrap_or(0.0),
        embedding_weight_decay: train.embedding_weight_decay.unwrap_or(0.0),
        beta1: train.beta1.unwrap_or(0.9),
        beta2: train.beta2.unwrap_or(0.95),
        adam_eps: train.adam_eps.unwrap_or(1e-10),
        muon_momentum: train.muon_momentum.unwrap_or(0.95),
        max_grad_norm: train.max_grad_norm.unwrap_or(1.0),
        eval_every_steps: train.eval_every_steps.unwrap_or(steps.div_ceil(10).max(1)),
        // Ten validations of a hundredth each, at a third of training's cost, take 3 % of the run.
        eval_tokens: train
            .eval_tokens
            .unwrap_or_else(|| (tokens / 100).clamp(1 << 14, 1 << 20).max(seq_len as u64)),
        final_eval_tokens: train.final_eval_tokens.unwrap_or_else(|| (tokens / 10).clamp(1 << 18, 10 << 20)),
        checkpoint_every_steps: train.checkpoint_every_steps.unwrap_or(steps.div_ceil(10).max(1)),
        // A tenth of a long run is hours. Whoever fixes the steps alone gets exactly those.
        checkpoint_every_minutes: train
            .checkpoint_every_minutes
            .or(train.checkpoint_every_steps.is_none().then_some(CHECKPOINT_MINUTES)),
        keep_checkpoints: train.keep_checkpoints.unwrap_or(2),
    };
    config.validate()?;
    settings.validate(&config)?;
    Ok((config, settings))
}

impl TrainOverrides {
    /// Everything fixed as it was resolved: what a run's own recipe holds.
    pub fn fixed(settings: &TrainSettings) -> Self {
        let s = settings;
        let LearningRates { matrix, embedding, head, gain } = s.learning_rates;
        Self {
            steps: Some(s.steps),
            batch_rows: Some(s.batch_rows),
            micro_batch_rows: Some(s.micro_batch_rows),
            seq_len: Some(s.seq_len),
            dtype: Some(s.dtype),
            recompute_activations: Some(s.recompute_activations),
            optimizer: Some(s.optimizer),
            warmup_steps: Some(s.warmup_steps),
            decay_steps: Some(s.decay_steps),
            final_lr_fraction: Some(s.final_lr_fraction),
            weight_decay: Some(s.weight_decay),
            embedding_weight_decay: Some(s.embedding_weight_decay),
            beta1: Some(s.beta1),
            beta2: Some(s.beta2),
            adam_eps: Some(s.adam_eps),
            muon_momentum: Some(s.muon_momentum),
            max_grad_norm: Some(s.max_grad_norm),
            eval_every_steps: Some(s.eval_every_steps),
            eval_tokens: Some(s.eval_tokens),
            final_eval_tokens: Some(s.final_eval_tokens),
            checkpoint_every_steps: Some(s.checkpoint_every_steps),
            checkpoint_every_minutes: s.checkpoint_every_minutes,
            keep_checkpoints: Some(s.keep_checkpoints),
            learning_rates: LearningRateOverrides {
                matrix: Some(matrix),
                embedding: Some(embedding),
                head: Some(head),
                gain: Some(gain),
            },
            tokens_per_param: None, // the width is fixed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolved_plan_resolves_to_itself() {
        let plan = |flops, model: &ModelOverrides, train: &TrainOverrides| {
            plan(flops, 4096, model, train, 1).unwrap()
        };
        let (config, settings) = plan(Some(3e13), &ModelOverrides::default(), &TrainOverrides::default());
        let again = plan(None, &ModelOverrides::fixed(&config), &TrainOverrides::fixed(&settings));
        assert_eq!(again, (config, settings));
    }

    #[test]
    fn a_recipe_without_a_budget_is_told_what_it_may_say() {
        let error = plan(None, 4096, &ModelOverrides::default(), &TrainOverrides::default(), 1).unwrap_err();
        assert!(
            error.to_string().starts_with("`budget` must be `minutes` or `train_flops`, or else"),
            "{error}"
        );
    }
}
