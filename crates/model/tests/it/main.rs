//! The crate from outside: ids in, logits, gradients and completions out.

mod fixture;
mod invariants;
mod models;
mod parity;
