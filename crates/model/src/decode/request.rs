//! What a caller asks of the engine, and what it gets.

use super::Sampling;
use crate::Picture;

/// Names a sequence of an engine; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceId(pub(super) u64);

/// One sequence to continue.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Tokens to continue; at least one.
    pub prompt: Vec<u32>,
    /// Images in the order of their placeholders: as many in a row for each as it has patches.
    pub images: Vec<Picture>,
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
    /// Taken from the logit of a token for each time that it was added, in nats; together with `logit_bias`, before the
    /// sampling. OpenAI's formula; tokens of the prompt do not count.
    pub frequency_penalty: f64,
    /// Taken from the logit of a token that was added once or more, in nats.
    pub presence_penalty: f64,
    /// How many of the most likely tokens are listed beside each new one.
    pub n_top: usize,
    /// Where set, the tokens of the prompt are listed with their log-probabilities, and this many of the most likely
    /// beside each ([`Event::Prompt`]). All of the prompt is then read, whatever pages hold of it.
    pub prompt_top: Option<usize>,
    /// Whether tokens come with the set that they were drawn from, [`Token::kept`].
    pub lists_kept: bool,
}

impl Request {
    /// The model's own distribution, seed 0, no stop token.
    pub fn new(prompt: Vec<u32>, max_new_tokens: usize) -> Self {
        Self {
            prompt,
            images: Vec::new(),
            max_new_tokens,
            sampling: Sampling::default(),
            seed: 0,
            stop: Vec::new(),
            logit_bias: Vec::new(),
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            n_top: 0,
            prompt_top: None,
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

/// A token of a prompt behind the first, and how likely it was there.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptToken {
    /// Which.
    pub id: u32,
    /// Its log-probability under the model's own distribution, in nats.
    pub logprob: f32,
    /// The most likely tokens there, most likely first, ties by id.
    pub top: Vec<(u32, f32)>,
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
    /// Its prompt was read. Comes once, before the first token; never where no token is asked for.
    Prompt {
        /// Which sequence.
        sequence: SequenceId,
        /// How many tokens of the prompt were found in pages, and not read again.
        n_reused: usize,
        /// Those behind the first, where the request asks for them.
        tokens: Vec<PromptToken>,
    },
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
