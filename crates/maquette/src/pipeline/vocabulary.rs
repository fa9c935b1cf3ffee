//! How many tokens a vocabulary has where a recipe leaves it open, and what is out of balance where it does not.

use data::Prepared;
use model::{ModelConfig, scaling};
use train::TrainSettings;

use super::{budget, plan::flops, run::Run};

/// Vocabulary that a budget in minutes is measured with before there is one: speed hardly depends on it.
const MEASURED_WITH: usize = 1024;

/// Beyond this many readings a text is worth clearly less than new text (Muennighoff et al. 2023, figure 3,
/// <https://arxiv.org/abs/2305.16264>).
const MAX_PASSES: f64 = 4.0;

impl Run {
    /// What the size of an open vocabulary follows from, beside the text.
    pub(super) fn vocabulary_inputs(&self) -> anyhow::Result<String> {
        let recipe = self.recipe()?;
        Ok(serde_json::to_string(&(&recipe.budget, &recipe.model, &recipe.train))?)
    }

    /// Size of a vocabulary that the recipe leaves open, by the bytes of its text.
    ///
    /// # Errors
    /// If the recipe says neither a budget nor steps and width.
    pub(super) fn open_vocab_size(&self) -> anyhow::Result<impl FnOnce(u64) -> usize> {
        let recipe = self.recipe()?;
        let train_flops = match recipe.budget.minutes {
            Some(minutes) => Some(budget::measured_flops(recipe, &self.kernels(), MEASURED_WITH, minutes)?),
            None => recipe.budget.train_flops,
        };
        let (config, settings) =
            train::plan(train_flops, MEASURED_WITH, &recipe.model, &recipe.train, recipe.seed)?;
        let train_flops = train_flops.unwrap_or_else(|| flops(&config, &settings));
        Ok(move |n_bytes| scaling::vocab_size(train_flops, n_bytes as f64))
    }
}

/// What in a plan works against its own budget, each with what to do; nothing where the rules decided.
pub(super) fn imbalances(config: &ModelConfig, settings: &TrainSettings, prepared: &Prepared) -> Vec<String> {
    let mut found = Vec::new();
    let n_tables = if config.tie_embeddings { 1 } else { 2 };
    let share = (n_tables * config.vocab_size * config.d_model) as f64 / config.n_params() as f64;
    let n_bytes = prepared.n_train_bytes() as f64;
    let by_rule = scaling::vocab_size(flops(config, settings), n_bytes);
    if config.vocab_size > 2 * by_rule && share > 0.5 {
        found.push(format!(
            "{:.0} % of the parameters are embedding and head: a vocabulary of {} is large for this compute; \
             leave `tokenizer.vocab_size` out (about {by_rule} then), or give the run a larger budget",
            100.0 * share,
            config.vocab_size,
        ));
    }
    let passes = (settings.steps * settings.batch_tokens()) as f64 / prepared.n_train_tokens().max(1) as f64;
    if passes > MAX_PASSES {
        found.push(format!(
            "the training text is read {passes:.0} times; beyond {MAX_PASSES:.0} repeated text helps less than new: \
             give more text, or a smaller budget"
        ));
    }
    found
}
