//! Text of the pretraining beside what is learned.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use data::Prepared;
use train::{Objective, ReplaySettings, TrainSettings, WithReplay};

use super::Base;

/// Text that a fine-tuning reads beside its own data.
#[derive(Debug, clap::Args)]
pub(crate) struct ReplayOptions {
    /// A run's folder whose training text is read on beside, so that the model does not forget it
    #[arg(long, value_name = "RUN")]
    pub(crate) replay: Option<PathBuf>,
    /// Rows of `--seq-len` tokens of that text in each step
    #[arg(long, value_name = "N", default_value_t = 4, requires = "replay")]
    replay_rows: usize,
    /// Weight of its mean loss beside what is learned
    #[arg(long, value_name = "W", default_value_t = 1.0, requires = "replay")]
    replay_weight: f64,
}

impl ReplayOptions {
    /// What is learned, with the text beside it where there is some.
    ///
    /// # Errors
    /// If the run has no prepared text, or its tokens are not those of the model.
    pub(crate) fn beside(
        &self,
        own: Box<dyn Objective>,
        base: &Base,
        settings: &TrainSettings,
    ) -> anyhow::Result<Box<dyn Objective>> {
        let Some(run) = &self.replay else { return Ok(own) };
        let data = prepared_text(run, &base.tokenizer)?;
        let replay = ReplaySettings { rows: self.replay_rows, weight: self.replay_weight };
        Ok(Box::new(WithReplay::new(own, data, replay, settings, base.tokenizer.token_bytes())?))
    }
}

/// The text that a run prepared, in the tokens of `tokenizer`.
///
/// # Errors
/// If there is none, or it is in other tokens.
pub(crate) fn prepared_text(
    run: &std::path::Path,
    tokenizer: &data::Tokenizer,
) -> anyhow::Result<Arc<Prepared>> {
    let prepared = Prepared::open(&run.join("data"), tokenizer).with_context(|| {
        format!("expected a run with prepared text in the model's tokens at `{}`", run.display())
    })?;
    Ok(Arc::new(prepared))
}
