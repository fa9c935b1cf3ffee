//! A checkpoint in, scores with intervals out. Knows neither the trainer nor the forecast.
//!
//! [`capability`] says how likely a model is to solve each of a list of graded problems, [`summarise`] what that
//! makes for each task and difficulty.

#![forbid(unsafe_code)]

mod capability;
mod error;
mod sampled;
mod score;
#[cfg(test)]
mod tests;

pub use capability::{CapabilitySettings, capability};
pub use error::EvalError;
pub use score::{LevelSummary, Outcome, Score, summarise};
