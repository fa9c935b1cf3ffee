//! What to prepare: sources, filters and the validation split, as a recipe spells them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{DataError, Listing, SourceConfig, pictures::PicturesConfig, tasks::TasksConfig};

/// A corpus and how it is split; the `[data]` table of a recipe.
///
/// ```
/// let config = data::DataConfig::new(vec![data::SourceConfig::new("books/*.txt")]);
/// assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Where the documents come from.
    pub sources: Vec<SourceConfig>,
    /// Generated problems to train on beside them; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<TasksConfig>,
    /// Documents of text and pictures to train on beside them; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pictures: Option<PicturesConfig>,
    /// What happens to documents before the split.
    #[serde(default)]
    pub filter: FilterConfig,
    /// What becomes of bytes that are not UTF-8.
    #[serde(default)]
    pub invalid_utf8: InvalidUtf8,
    /// What becomes of rows and files that cannot be read.
    #[serde(default, skip_serializing_if = "OnError::is_stop")]
    pub on_error: OnError,
    /// Which documents are held out.
    #[serde(default)]
    pub validation: ValidationConfig,
    /// A shard is closed before it would exceed this many tokens (one long document may).
    #[serde(default = "default_shard_tokens")]
    pub shard_tokens: u64,
    /// Where the run itself writes: files in it are no documents. Not part of a recipe.
    #[serde(skip)]
    pub own_folder: Option<PathBuf>,
}

fn default_shard_tokens() -> u64 {
    64 << 20
}

/// What happens to documents before the split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilterConfig {
    /// Shorter documents are dropped; empty ones always are.
    pub min_chars: usize,
    /// Of equal texts (128-bit xxh3) only the first is kept; costs about 20 bytes of memory a document.
    pub dedup: bool,
    /// Turns the line ends of Windows, CR LF, into LF.
    pub unix_newlines: bool,
}

impl Default for FilterConfig {
    fn default() -> Self {
        Self { min_chars: 0, dedup: true, unix_newlines: false }
    }
}

/// What becomes of bytes that are not UTF-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InvalidUtf8 {
    /// An error that names file and offset.
    #[default]
    Refuse,
    /// U+FFFD takes their place; the document is counted.
    Replace,
    /// The document is dropped and counted.
    Skip,
}

/// What becomes of rows and files that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The first one is an error that names file and row.
    #[default]
    Stop,
    /// They are left out and counted in the manifest, with the first ones of each file.
    Skip,
}

impl OnError {
    // The signature is serde's.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_stop(&self) -> bool {
        *self == Self::Stop
    }
}

/// Which documents are held out for validation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "lowercase", deny_unknown_fields)]
pub enum ValidationConfig {
    /// What the corpus asks for, as [`crate::settle`] finds out; until it has, a hundredth by hash.
    #[default]
    Auto,
    /// A document is held out when its hash falls in the lowest `fraction` of all hashes: whatever else is in
    /// the corpus and in whatever order.
    Hash {
        /// Expected share of the documents.
        fraction: f64,
    },
    /// The last `fraction` of every document's text is held out, cut between two characters.
    Tail {
        /// Share of each document's bytes.
        fraction: f64,
    },
    /// Separate sources are held out; their weights mean nothing. A training document that is also there is
    /// dropped from training.
    Source {
        /// Where the held-out documents come from.
        sources: Vec<SourceConfig>,
    },
}

impl ValidationConfig {
    /// Share of the documents that is held out where nobody says.
    pub const HASH_FRACTION: f64 = 0.01;

    /// The share that is held out by hash, if the split is by hash.
    pub(crate) fn hash_fraction(&self) -> Option<f64> {
        match self {
            Self::Auto => Some(Self::HASH_FRACTION),
            Self::Hash { fraction } => Some(*fraction),
            _ => None,
        }
    }
}

impl DataConfig {
    /// These sources with every other setting at its default.
    pub fn new(sources: Vec<SourceConfig>) -> Self {
        Self {
            sources,
            tasks: None,
            pictures: None,
            filter: FilterConfig::default(),
            invalid_utf8: InvalidUtf8::default(),
            on_error: OnError::default(),
            validation: ValidationConfig::default(),
            shard_tokens: default_shard_tokens(),
            own_folder: None,
        }
    }

    /// The files of one of the sources, without those in the run's own folder.
    ///
    /// # Errors
    /// If there are none, or, where errors stop the work, if a folder cannot be read.
    pub fn list(&self, source: &SourceConfig) -> Result<Listing, DataError> {
        let mut listing = source.list()?;
        if self.on_error == OnError::Stop && !listing.unreadable.is_empty() {
            return Err(listing.unreadable.remove(0));
        }
        if let Some(folder) = self.own_folder.as_ref().and_then(|folder| folder.canonicalize().ok()) {
            listing.leave_out(&folder);
        }
        match listing.files.is_empty() {
            true => Err(DataError::NoFiles {
                path: source.path.clone(),
                found: format!(
                    "no file that can be used (passed over: {})",
                    listing.passed_over().join("; ")
                ),
            }),
            false => Ok(listing),
        }
    }

    /// Every rule that the settings must keep, checked once; nothing below re-checks it.
    ///
    /// # Errors
    /// [`DataError::Setting`] for the first setting out of range.
    pub fn validate(&self) -> Result<(), DataError> {
        const HINT: &str = "correct the recipe's `data` table";
        let setting =
            |name, expected, found: String| DataError::Setting { name, expected, found, hint: HINT };
        if self.sources.is_empty() {
            return Err(setting("sources", "one source or more", "none".to_owned()));
        }
        for source in &self.sources {
            if !(source.weight.is_finite() && source.weight > 0.0) {
                let found = format!("{} at `{}`", source.weight, source.label());
                return Err(setting("weight", "a number above 0", found));
            }
        }
        if let Some(tasks) = &self.tasks {
            tasks.validate()?;
        }
        if let Some(pictures) = &self.pictures {
            pictures.validate()?;
        }
        match &self.validation {
            ValidationConfig::Auto => {}
            ValidationConfig::Hash { fraction } | ValidationConfig::Tail { fraction } => {
                if !(*fraction > 0.0 && *fraction < 1.0) {
                    return Err(setting("validation.fraction", "between 0 and 1", fraction.to_string()));
                }
            }
            ValidationConfig::Source { sources } => {
                if sources.is_empty() {
                    return Err(setting("validation.sources", "one source or more", "none".to_owned()));
                }
            }
        }
        if self.shard_tokens == 0 {
            return Err(setting("shard_tokens", "at least 1", "0".to_owned()));
        }
        Ok(())
    }
}
