//! The crate's error types.

use std::path::PathBuf;

use base::FileError;
use data::{DataError, tasks::Task};

use crate::sandbox::SandboxError;

/// Why an evaluation was refused: what was expected, what was found, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A setting is outside of its range.
    #[error("`{name}` must be {expected}, found {found}\nhint: {hint}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: String,
        /// What to do.
        hint: &'static str,
    },
    /// A problem does not fit into the model's context.
    #[error(
        "expected problems of at most {max_seq_len} tokens, found {n_tokens} in one of `{task}` at difficulty {difficulty}\nhint: evaluate a model of a longer `max_seq_len`, or leave this difficulty out"
    )]
    TooLong {
        /// What the problem asks for.
        task: Task,
        /// Its difficulty.
        difficulty: u32,
        /// What the model would have to read.
        n_tokens: usize,
        /// What it can read.
        max_seq_len: usize,
    },
    /// A prompt that the model cannot continue.
    #[error(transparent)]
    Decode(model::DecodeError),
    /// Whoever asked wants no more.
    #[error("the evaluation was stopped\nhint: the same command begins from the start")]
    Stopped,
    /// A tokenizer with more ids than the model has.
    #[error(
        "expected a tokenizer of at most {n_rows} tokens, found {n_tokens}\nhint: use the tokenizer.json that lies beside the model"
    )]
    Vocabulary {
        /// Rows of the model's embedding.
        n_rows: usize,
        /// Ids of the tokenizer.
        n_tokens: usize,
    },
}

impl From<model::DecodeError> for EvalError {
    fn from(error: model::DecodeError) -> Self {
        match error {
            model::DecodeError::Stopped => Self::Stopped,
            other => Self::Decode(other),
        }
    }
}

/// Why a benchmark cannot be run: what was expected, what was found, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExamError {
    /// The data cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A task's own file is wrong.
    #[error("expected the file of a task, found {message}\nhint: correct the file")]
    Definition {
        /// What the parser said.
        message: String,
    },
    /// The data are not there.
    #[error(
        "expected the `{split}` data of `{task}` in `{}`, found none of {}\nhint: download them from {source_url} to there; `maquette eval --list --data DIR` says what is there",
        root.display(),
        patterns.join(", ")
    )]
    Missing {
        /// The task.
        task: String,
        /// The split.
        split: String,
        /// Where they were looked for.
        root: PathBuf,
        /// As which files.
        patterns: Vec<String>,
        /// Where they are published.
        source_url: String,
    },
    /// A row is not what it should be.
    #[error("expected {expected} in `{place}`, found {found}\nhint: {hint}")]
    Table {
        /// File and line.
        place: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
        /// What to do.
        hint: String,
    },
    /// Nothing to score, or more than the model can read.
    #[error(
        "expected choices of 1 to {max_seq_len} tokens, found one of {n_scored} in `{place}`\nhint: evaluate a model of a longer context, or correct the row"
    )]
    Continuation {
        /// File and line.
        place: String,
        /// Tokens of the choice.
        n_scored: usize,
        /// What the model can read.
        max_seq_len: usize,
    },
    /// Programs cannot be run.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A setting is outside of its range.
    #[error("`--{name}` must be {expected}, found {found}\nhint: {hint}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: String,
        /// What to do.
        hint: &'static str,
    },
    /// A prompt that the model cannot continue.
    #[error("cannot continue the prompt of `{place}`: {error}")]
    Prompt {
        /// File and line.
        place: String,
        /// Why.
        error: model::DecodeError,
    },
    /// An endpoint gives no answers.
    #[error("expected answers from `{url}`, found {found}\nhint: {hint}")]
    Endpoint {
        /// Its address.
        url: String,
        /// What it gave.
        found: String,
        /// What to do.
        hint: String,
    },
    /// A file of items that was made with something else.
    #[error(
        "expected items of the same model, data and settings in `{}`, found {what}\nhint: choose another folder with --out, or delete the file",
        path.display()
    )]
    Other {
        /// The file.
        path: PathBuf,
        /// In what it differs.
        what: String,
    },
}
