//! Decoding: prompts in, tokens out, many sequences at a time.
//!
//! [`Engine`] is the one loop. A caller submits [`Request`]s whenever it likes and takes [`Event`]s from
//! [`Engine::step`]; sequences join and leave at any step. Keys and values lie in pages ([`KvCache`]), which sequences
//! with the same beginning share; what the next token is drawn from is a [`Distribution`]. The token that stands for a row of an
//! image is never drawn: no image is there for it.
//!
//! **Invariant:** what a sequence gets are the bits of its solo run, whatever is decoded beside it, in whatever chunks
//! its prompt is read, and whichever pages were there already.

mod cache;
mod complete;
mod distribution;
mod engine;
mod error;
mod images;
mod page_pool;
mod request;
mod sampling;
mod sequence;
mod token_set;

pub use cache::KvCache;
pub use complete::Completion;
pub use distribution::Distribution;
pub use engine::{Engine, EngineSettings, Stats};
pub use error::DecodeError;
pub use request::{Event, Finish, PromptToken, Request, SequenceId, Token};
pub use sampling::{Sampling, SamplingError};
pub use token_set::TokenSet;
