//! From a recipe's budget and what it fixes to every number of a run.

use crate::{OptimizerKind, TrainError, TrainOverrides, TrainSettings, settings_list::Derived};
use model::{
    ModelConfig,
    scaling::{self, ModelOverrides},
};

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
    let settings = train.resolve(&Derived {
        seed,
        steps,
        batch_rows,
        seq_len,
        learning_rates: scaling::learning_rates(&config, optimizer == OptimizerKind::Muon),
        has_checkpoint_steps: train.checkpoint_every_steps.is_some(),
    });
    config.validate()?;
    settings.validate(&config)?;
    Ok((config, settings))
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
