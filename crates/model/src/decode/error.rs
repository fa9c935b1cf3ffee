//! Why a request was refused.

use super::{SamplingError, SequenceId};

/// A request that cannot be followed: what was expected, what was found, what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A prompt without a token.
    #[error(
        "expected a prompt of one token or more, found none\nhint: begin with the model's begin-of-text token"
    )]
    EmptyPrompt,
    /// A prompt that the model cannot read.
    #[error(
        "expected a prompt of at most {max_seq_len} tokens, found {n_tokens}\nhint: shorten it: that is the longest sequence of this model"
    )]
    PromptTooLong {
        /// Its length.
        n_tokens: usize,
        /// The model's longest sequence.
        max_seq_len: usize,
    },
    /// A token that the model does not have.
    #[error(
        "expected ids below {vocab_size} in the {place}, found {id}\nhint: use the tokenizer that belongs to this model"
    )]
    UnknownToken {
        /// Where it stands.
        place: &'static str,
        /// The token.
        id: u32,
        /// Tokens of the model.
        vocab_size: usize,
    },
    /// A bias that is no number.
    #[error(
        "expected a finite logit bias of token {id}, found {found}\nhint: -100 bans a token, 100 forces it"
    )]
    Bias {
        /// Which token's.
        id: u32,
        /// What was given.
        found: f64,
    },
    /// A penalty that is no number.
    #[error("expected a finite `{name}`, found {found}\nhint: 0 switches it off; OpenAI's range is -2 to 2")]
    Penalty {
        /// Which.
        name: &'static str,
        /// What was given.
        found: f64,
    },
    /// Images for a model that reads none.
    #[error(
        "expected no image, found {n_images}: this model reads text alone\nhint: use a model that was trained with images"
    )]
    NoEyes {
        /// How many were given.
        n_images: usize,
    },
    /// Whoever asked wants no more.
    #[error("the work was stopped\nhint: the same command begins from the start")]
    Stopped,
    /// Places for images in another number than images.
    #[error(
        "expected {n_patches} placeholders for each of {n_images} images, found {n_placeholders} in the prompt\nhint: write one placeholder for each image that is given"
    )]
    Placeholders {
        /// Of an image.
        n_patches: usize,
        /// How many were given.
        n_images: usize,
        /// How many were found.
        n_placeholders: usize,
    },
    /// Places for images, and no image.
    #[error(
        "expected an image for each placeholder in the prompt, found {n_placeholders} placeholders and no image\nhint: give the images, or leave the placeholders out"
    )]
    NoImages {
        /// How many were found.
        n_placeholders: usize,
    },
    /// An image of another size.
    #[error("expected {expected} numbers of an image, found {found}\nhint: prepare it for this model")]
    ImageSize {
        /// What the model reads.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// A sampling setting outside its range.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// A request that needs more keys and values than there is room for.
    #[error(
        "expected a request of at most {capacity} tokens, found {n_tokens} of prompt and continuation\nhint: ask for fewer tokens, or give the engine more pages"
    )]
    TooLarge {
        /// What it may have to read.
        n_tokens: usize,
        /// What all pages hold.
        capacity: usize,
    },
    /// A sequence that may draw no token at all.
    #[error("expected a set with a token of the model in it, found none\nhint: end the sequence instead")]
    NothingAllowed,
    /// A sequence that has ended, was cancelled or never was.
    #[error("expected a sequence that is being decoded, found {0:?}\nhint: it has ended or was cancelled")]
    UnknownSequence(SequenceId),
}
