//! What watches a training: each step shows a monitor what happened; it reports, and changes nothing.

mod repetition;
mod spike;
mod stalled;

use model::Gpt;
use serde_json::Value;

pub use repetition::{RepeatedRows, RepetitionDetector};
pub use spike::{Spike, SpikeDetector};
pub(crate) use spike::{grad_norm_spikes, loss_spikes};
pub use stalled::{StalledDetector, StalledParams};

use crate::{Batch, Metric};

/// A step that was taken.
#[derive(Clone, Copy, Debug)]
pub struct StepView<'a> {
    /// Its number, from 1.
    pub step: u64,
    /// Of its batch.
    pub loss_nats: f64,
    /// Of its whole gradient, before clipping.
    pub grad_norm: f64,
    /// What it was computed from.
    pub batch: &'a Batch,
    /// The model after it.
    pub gpt: &'a Gpt,
}

/// Watches a training.
pub trait Monitor: Send {
    /// Its name in a checkpoint.
    fn name(&self) -> &'static str;

    /// Takes in a step; returns what is to be recorded.
    fn step(&mut self, view: &StepView) -> Vec<Metric>;

    /// What it remembers, for a checkpoint.
    fn state(&self) -> Value;

    /// What it remembers beside that, where it is too much for a text.
    fn bytes(&self) -> Option<Vec<u8>> {
        None
    }

    /// Goes on from what a checkpoint holds. What cannot be read is not remembered.
    fn restore(&mut self, state: &Value, bytes: Option<&[u8]>);
}

/// A detector as a checkpoint holds it; a new one where it cannot be read.
fn restored<T: serde::de::DeserializeOwned + Default>(state: &Value) -> T {
    serde_json::from_value(state.clone()).unwrap_or_default()
}

/// A detector for a checkpoint.
fn state_of(detector: &impl serde::Serialize) -> Value {
    serde_json::to_value(detector).expect("plain data is valid JSON")
}
