//! A checkpoint in, an OpenAI-compatible server and a chat page out.
//!
//! [`serve`] answers HTTP with one model. One thread owns the engine and steps it ([`worker`]); requests come to it over a
//! channel and get their events back over one of their own, whose closed end is how a client that has gone is noticed. What a
//! client asks is read by `ask/`, what it gets is written by `reply/`; what cannot be honoured is refused by name.
//!
//! **Invariant:** the text of an answer depends on the request alone: not on what is decoded beside it, nor on whether it is
//! streamed.
//! **Invariant:** no field of a request is ignored: it is followed, known to have no effect on the answer, or refused.
#![forbid(unsafe_code)]

mod api_error;
mod app;
mod ask;
mod choice;
mod connection;
mod error;
mod grammar;
mod guard;
mod metrics;
mod page;
mod random;
mod reply;
mod routes;
mod server;
mod settings;
mod worker;

pub use error::ServeError;
pub use server::{Served, serve};
pub use settings::Settings;
