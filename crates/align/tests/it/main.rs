//! Learning from demonstrations, preferences and rewards, from outside.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod left_out;
mod optimum;
mod preferences;
mod pytorch;
mod reward_model;
mod small;
