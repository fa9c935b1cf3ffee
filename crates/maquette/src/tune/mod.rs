//! Fine-tuning of a checkpoint in a folder of its own: what `sft` and `dpo` share.
//!
//! The folder holds `tuning.json` (what it was made from), `checkpoints/`, `metrics.jsonl`, `summary.json`, and with adapters
//! `merged/`, the model with them added to its weights. The same command goes on where it was stopped.

mod changed;
mod folder;
mod held_out;
mod options;
mod pairs;
mod replay;
mod training;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use data::{ChatTemplate, Tokenizer};
use model::{ModelConfig, checkpoint};

use crate::open_model;

pub(crate) use folder::{Made, Tuned};
pub(crate) use held_out::split;
pub(crate) use options::{TrainingOptions, TuneOptions};
pub(crate) use pairs::preferences;
pub(crate) use replay::{ReplayOptions, prepared_text};
pub(crate) use training::{Finished, Shown, finished, steps, train, with_margin};

/// The model that is tuned.
pub(crate) struct Base {
    pub(crate) dir: PathBuf,
    pub(crate) config: ModelConfig,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) template: ChatTemplate,
    /// Hash of its weights.
    pub(crate) weights: String,
}

impl Base {
    /// The checkpoint that `path` means.
    ///
    /// # Errors
    /// If there is none, or it has no chat template and no tokens of one.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let dir = open_model::locate(path)?;
        let config = checkpoint::read_config(&dir)?;
        let tokenizer = open_model::tokenizer_of(&dir, config.vocab_size)?;
        let template = ChatTemplate::load(&dir, &tokenizer)
            .with_context(|| format!("`{}` cannot be taught to chat as it is", dir.display()))?;
        let weights = checkpoint::sha256_of(&dir.join("model.safetensors"))?;
        Ok(Self { dir, config, tokenizer, template, weights })
    }
}
