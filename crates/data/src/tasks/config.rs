//! The tasks as a recipe spells them.

use base::hash::Sha256;
use serde::{Deserialize, Serialize};

use super::TaskDocuments;
use crate::DataError;

/// Generated problems as one more source of the mixture; the `[data.tasks]` table of a recipe.
///
/// They are trained on and never held out, so a validation loss is one of the text alone, and they pass no filter.
///
/// ```
/// let tasks = data::tasks::TasksConfig::new(0.2);
/// assert!(tasks.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TasksConfig {
    /// Share of the training tokens, relative to the weights of the sources.
    pub weight: f64,
    /// Bytes of generated text, less what of them does not hold a whole document. Where the training asks for more,
    /// it comes again, as any source does.
    #[serde(default = "default_bytes")]
    pub bytes: u64,
    /// Chooses the problems. Which of them may be trained on does not depend on it.
    #[serde(default)]
    pub seed: u64,
}

fn default_bytes() -> u64 {
    8_000_000
}

impl TasksConfig {
    /// Name in manifests and reports.
    pub(crate) const NAME: &'static str = "tasks";
    /// Licence in manifests and reports.
    pub(crate) const LICENCE: &'static str = "generated";
    /// Any document fits into the least.
    const BYTES: std::ops::RangeInclusive<u64> = 4096..=1 << 40;

    /// Tasks of this weight with every other setting at its default.
    pub fn new(weight: f64) -> Self {
        Self { weight, bytes: default_bytes(), seed: 0 }
    }

    /// Every rule that the settings must keep.
    ///
    /// # Errors
    /// [`DataError::Setting`] for the first setting out of range.
    pub fn validate(&self) -> Result<(), DataError> {
        let setting = |name, expected, found, hint| Err(DataError::Setting { name, expected, found, hint });
        if !(self.weight.is_finite() && self.weight > 0.0) {
            let hint = "beside one source of weight 1, 0.25 makes a fifth of the tokens; leave `[data.tasks]` out for none";
            return setting("tasks.weight", "a number above 0", self.weight.to_string(), hint);
        }
        if !Self::BYTES.contains(&self.bytes) {
            let hint = "leave it out for 8 MB";
            return setting("tasks.bytes", "between 4096 and 2^40", self.bytes.to_string(), hint);
        }
        Ok(())
    }

    /// Where the text comes from, in place of a path.
    pub(crate) fn origin(&self) -> String {
        format!("generated tasks, seed {}", self.seed)
    }

    /// SHA-256 of the generated text in hex digits: it is generated again each time and not kept.
    pub(crate) fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        TaskDocuments::new(self).for_each(|text| hash.update(text.as_bytes()));
        hash.finish()
    }
}
