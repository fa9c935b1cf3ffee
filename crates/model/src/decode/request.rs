//! What a caller asks of the engine, and what it gets.

use super::Sampling;

/// Names a sequence of an engine; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceId(pub(super) u64);

/// One sequence to continue.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Tokens to continue; at least one.
    pub prompt: Vec<u32>,
    /// Most tokens to add.
    pub max_new_tokens: usize,
    /// How each is chosen.
    pub sampling: Sampling,
    /// What the draws depend on: the n-th new token takes the n-th random number of this seed.
    pub seed: u64,
    /// Tokens that end the sequence; the one that does is no part of the result.
    pub stop: Vec<u32>,
    /// Added to the logits of tokens before anything else, in nats.
    pub logit_bias: Vec<(u32, f64)>,
    /// How many of the most likely tokens are listed beside each new one.
    pub n_top: usize,
    /// Whether tokens come with the set that they were drawn from, [`Token::kept`].
    pub lists_kept: bool,
}

impl Request {
    /// The model's own distribution, seed 0, no stop token.
    pub fn new(prompt: Vec<u32>, max_new_tokens: usize) -> Self {
        Self {
            prompt,
            max_new_tokens,
            sampling: Sampling::default(),
            seed: 0,
            stop: Vec::new(),
            logit_bias: Vec::new(),
            n_top: 0,
            lists_kept: false,
        }
    }
}

/// A token that was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Which.
    pub id: u32,
    /// Its log-probability under the model's own distribution (temperature 1, nothing cut, no bias), in nats.
    pub logprob: f32,
    /// Its log-probability under the distribution that it was drawn from, in nats: that of
    /// [`Sampling::distribution`] given the same logits, to the bit.
    pub processed_logprob: f32,
    /// The most likely tokens under the model's own distribution, most likely first, ties by id.
    pub top: Vec<(u32, f32)>,
    /// The tokens that might have been drawn, by id; where the request asks for them.
    pub kept: Option<Vec<u32>>,
}

/// Why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// A stop token came, or the caller had enough.
    Stop,
    /// As many tokens as were asked for.
    Length,
    /// The model's longest sequence is reached.
    ContextFull,
}

/// What happened to a sequence in a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It grew by a token.
    Token {
        /// Which sequence.
        sequence: SequenceId,
        /// The token.
        token: Token,
    },
    /// It ended; its name is no longer known.
    Finished {
        /// Which sequence.
        sequence: SequenceId,
        /// Why.
        finish: Finish,
        /// The stop token that ended it, if one did.
        stop_token: Option<Token>,
    },
}
