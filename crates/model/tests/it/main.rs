//! The crate from outside: ids in, logits, gradients and completions out.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod adapters;
mod fixture;
mod images;
mod invariants;
mod models;
mod parity;
mod schedules;
