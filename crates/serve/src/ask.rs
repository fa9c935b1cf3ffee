//! What a client asks: JSON in, a checked call out.

mod chat;
mod completion;
mod fields;
mod ordered;
mod pictures;
mod sampling;
mod tools;

use model::Request;

use crate::{grammar::Grammar, reply::Form};

pub(crate) use chat::chat;
pub(crate) use completion::completion;
pub(crate) use fields::Fields;
pub(crate) use ordered::{Ordered, TWICE};
pub(crate) use pictures::Eyes;

/// A request that was understood.
#[derive(Debug)]
pub(crate) struct Call {
    /// What is to be decoded: `n` of each prompt, in the order of their choices.
    pub(crate) requests: Vec<Request>,
    /// Whether nothing is wanted but the scores of the prompts.
    pub(crate) is_prompt_only: bool,
    /// What each answer must be; any text where it is not set.
    pub(crate) grammar: Option<Grammar>,
    /// Texts that end an answer.
    pub(crate) stop: Vec<String>,
    /// How it is answered.
    pub(crate) form: Form,
    /// Whether the answer is sent while it is decoded, and whether with the number of tokens at its end.
    pub(crate) stream: Option<Streaming>,
}

/// How an answer is streamed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streaming {
    pub(crate) includes_usage: bool,
}
