//! A model behind an interface like OpenAI's, examined as one in a file is.
//!
//! Choices are scored through `/v1/completions` with `echo` and `logprobs`; answers are written through
//! `/v1/chat/completions` where a task asks for a conversation, through `/v1/completions` elsewhere. What goes wrong is a
//! [`Failure`], written down for its item and never scored.

mod answer;
mod client;
mod examine;
mod failure;
mod likelihood;
#[cfg(test)]
mod tests;

pub use answer::Answer;
pub(crate) use answer::deterministic;
pub use client::{Endpoint, EndpointOptions, EndpointSettings, MAX_PARALLEL};
pub use examine::examine_endpoint;
pub use failure::Failure;
