//! Why a run stopped.

use std::path::PathBuf;

use data::DataError;
use model::{ConfigError, checkpoint::CheckpointError};

/// Why a run could not begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The operating system refused.
    #[error("cannot {action} `{path}`: {source}\nhint: {}", match source.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::FileTooLarge =>
            "free some space, then give the same command again: the run continues from its last checkpoint",
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem =>
            "choose a folder that you may write to, with --out",
        _ => "check the disk and the path, then give the same command again",
    })]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// A setting outside its range.
    #[error("`{name}` must be {expected}, found {found}\nhint: set it in the recipe's [train] table")]
    Setting {
        /// Which.
        name: &'static str,
        /// Its range.
        expected: &'static str,
        /// Its value.
        found: String,
    },
    /// The loss or a gradient is not a number.
    #[error(
        "step {step}: {what} is {value}, expected a finite number; batch at {cursor}\n\
         hint: lower the learning rates in [train], or look at that batch; the checkpoint before it is kept"
    )]
    NotFinite {
        /// The optimizer step that would have been taken.
        step: u64,
        /// What diverged.
        what: &'static str,
        /// Its value.
        value: f64,
        /// Where the data stood before the batch.
        cursor: String,
    },
    /// An example that cannot be learned from.
    #[error("example {index} of the {side} set {problem}\nhint: leave it out, or shorten it")]
    Example {
        /// Which set.
        side: &'static str,
        /// From 0.
        index: usize,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// The vocabulary of the tokenizer is not the model's.
    #[error(
        "the tokenizer has {tokenizer} tokens, the model {model}\nhint: leave `vocab_size` to the tokenizer"
    )]
    Vocabulary {
        /// The tokenizer's.
        tokenizer: usize,
        /// The model's.
        model: usize,
    },
    /// A checkpoint of other settings or data.
    #[error(
        "`{path}` was written with {what} {found}, this run has {expected}\nhint: give the run that wrote it, or another --out"
    )]
    OtherRun {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// Its value there.
        found: String,
        /// Its value here.
        expected: String,
    },
    /// The data refuse.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The checkpoint refuses.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint to begin with is of another shape.
    #[error(
        "expected a model of the recipe's shape at `{path}`, found another\nhint: set no sizes in [model] beside `from`"
    )]
    Start {
        /// The checkpoint.
        path: std::path::PathBuf,
    },
    /// What an objective of another crate learns from failed.
    #[error(transparent)]
    Objective(Box<dyn std::error::Error + Send + Sync>),
    /// A shape that cannot be built.
    #[error(transparent)]
    Config(#[from] ConfigError),
}
