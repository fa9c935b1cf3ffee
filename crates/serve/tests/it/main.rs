//! The server from outside: a tiny random model behind a port of its own.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

mod attacks;
mod cancelled;
mod chats;
mod client;
mod completions;
mod described;
mod hostile;
mod limits;
mod penalties;
mod pictures;
mod scene;
mod stopping;
mod tools;
