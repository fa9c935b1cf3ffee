//! What a training minimises: an objective gives batches, adds their gradients and says where its data stand.

mod masked;
mod pictures;
mod pretraining;
mod replay;
mod shuffled;

use std::collections::BTreeMap;

use model::{Gpt, Tokens};
use serde_json::Value;
use tensor::Kernels;

pub use masked::{Example, Eyes, Masked};
pub use pictures::{PictureExample, PictureReader, WithPictures};
pub use pretraining::Pretraining;
pub use replay::{ReplaySettings, WithReplay};
pub use shuffled::Shuffled;

use crate::{Learner, Monitor, StalledParams, TrainError, Validation, monitor};

/// What a training minimises. The trainer turns any of them into weights, with checkpoints, metrics and exact resumption.
pub trait Objective: Send {
    /// Hash of the data; a checkpoint of other data is refused.
    fn fingerprint(&self) -> &str;

    /// Called before each [`Objective::next`], with the model as it stands: one that learns from what the model itself writes
    /// lets it write here.
    ///
    /// # Errors
    /// If there is nothing to go on with.
    fn prepare(&mut self, learner: &mut Learner, kernels: &dyn Kernels) -> Result<Readiness, TrainError> {
        let _ = (learner, kernels);
        Ok(Readiness::Ready)
    }

    /// The next batch.
    fn next(&mut self) -> Batch;

    /// Adds the gradients of `scale·Σ weights·losses` of a micro-batch; returns what it came to. `scale` is one over the
    /// batch's denominator, so that shares of micro-batches add up.
    fn add_gradients(
        &mut self,
        learner: &mut Learner,
        kernels: &dyn Kernels,
        batch: &MicroBatch,
        scale: f64,
    ) -> Scalars {
        Scalars { loss_nats: scale * learner.add_gradients(kernels, batch, scale), ..Scalars::default() }
    }

    /// Where the next batch begins, for a checkpoint.
    fn cursor(&self) -> Value;

    /// Goes to where a cursor was taken.
    ///
    /// # Errors
    /// If it was taken from other data, or is damaged.
    fn seek(&mut self, cursor: &Value) -> Result<(), TrainError>;

    /// The loss on text that is not trained on; `is_last` at the end of the run.
    ///
    /// # Errors
    /// If it cannot be computed.
    fn validate(&self, gpt: &Gpt, kernels: &dyn Kernels, is_last: bool) -> Result<Validation, TrainError>;

    /// Losses of parts of what is validated, each by its name, for the record.
    fn validate_parts(&self, _: &Gpt, _: &dyn Kernels) -> Vec<(&'static str, Validation)> {
        Vec::new()
    }

    /// What watches the run, in the order of its notices.
    fn monitors(&self) -> Vec<Box<dyn Monitor>> {
        vec![monitor::loss_spikes(), monitor::grad_norm_spikes(), Box::new(StalledParams::default())]
    }
}

/// Whether a training goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// There is a next batch.
    Ready,
    /// It ends here, before its last step.
    Enough,
}

/// Sequences that pass through the model together.
#[derive(Clone, Debug)]
pub struct MicroBatch {
    /// Inputs, one sequence after another.
    pub tokens: Tokens,
    /// `[R]`; see [`tensor::IGNORE_TARGET`].
    pub targets: Vec<u32>,
    /// Of each target's loss; 1 where there are none.
    pub weights: Option<Vec<f32>>,
    /// Numbers of the examples in it, for an objective that has to know them again.
    pub examples: Vec<usize>,
}

impl MicroBatch {
    /// Every target counts alike.
    pub fn new(tokens: Tokens, targets: Vec<u32>) -> Self {
        Self { tokens, targets, weights: None, examples: Vec::new() }
    }

    /// `Σ weights·losses` of given losses, in nats.
    pub fn weighted_sum(&self, losses: &[f32]) -> f64 {
        match &self.weights {
            None => losses.iter().map(|&loss| f64::from(loss)).sum(),
            Some(weights) => losses.iter().zip(weights).map(|(&l, &w)| f64::from(l) * f64::from(w)).sum(),
        }
    }
}

/// What one optimizer step is computed from.
#[derive(Clone, Debug)]
pub struct Batch {
    /// In this order.
    pub micro_batches: Vec<MicroBatch>,
    /// What the sum of weighted losses is divided by: any split into micro-batches gives the same gradient.
    pub denominator: f64,
    /// Tokens that pass through the model.
    pub n_tokens: u64,
}

/// Means over a batch, micro-batch by micro-batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scalars {
    /// What is minimised, in nats.
    pub loss_nats: f64,
    /// What else is recorded with the step.
    pub others: BTreeMap<&'static str, f64>,
}

impl Scalars {
    /// Adds the share of a micro-batch.
    pub fn add(&mut self, share: Self) {
        self.loss_nats += share.loss_nats;
        for (name, value) in share.others {
            *self.others.entry(name).or_default() += value;
        }
    }
}

/// The cursor of an objective, as its checkpoint holds it.
///
/// # Errors
/// If it is another's.
pub fn read_cursor<T: serde::de::DeserializeOwned>(cursor: &Value) -> Result<T, TrainError> {
    serde_json::from_value(cursor.clone()).map_err(|error| not_a_cursor(error.to_string()))
}

/// What a cursor that cannot be used is answered with.
pub fn not_a_cursor(found: String) -> TrainError {
    data::DataError::Cursor { expected: "a place in the data".into(), found }.into()
}
