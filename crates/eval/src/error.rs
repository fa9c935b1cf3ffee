//! The crate's one error type.

use data::tasks::Task;

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
    Decode(#[from] model::DecodeError),
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
