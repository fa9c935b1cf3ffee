//! One optimizer step: the only place where gradients become weights.

use model::{Gpt, Params};
use tensor::{Kernels, Tensor};

use crate::{MicroBatch, Optimizer, OptimizerKind, TrainSettings};

/// A model with its gradients and its optimizer's moments.
#[derive(Debug)]
pub struct Learner {
    gpt: Gpt,
    optimizer: Optimizer,
    /// Empty where nothing was added yet, which lends their memory to the next forward pass.
    grads: Params<Tensor>,
}

/// Where in a training an update stands.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    /// What all learning rates are multiplied with.
    pub lr_fraction: f64,
    /// Number of the step, from 1.
    pub step: u64,
}

/// What a gradient of norm `norm` is multiplied with so that its norm is at most `max_norm`:
/// `min(1, max/(norm + 1e-6))`, as `torch.nn.utils.clip_grad_norm_` has it.
pub fn clip_coefficient(norm: f64, max_norm: f64) -> f64 {
    (max_norm / (norm + 1e-6)).min(1.0)
}

impl Learner {
    /// A model with zero moments.
    pub fn new(gpt: Gpt, kind: OptimizerKind) -> Self {
        let optimizer = Optimizer::new(gpt.specs(), kind);
        Self::resumed(gpt, optimizer)
    }

    /// A model with the moments of earlier steps.
    pub fn resumed(gpt: Gpt, optimizer: Optimizer) -> Self {
        let grads = gpt.no_gradients();
        Self { gpt, optimizer, grads }
    }

    /// The model as it stands.
    pub fn gpt(&self) -> &Gpt {
        &self.gpt
    }

    /// The model, to be changed from outside of a step.
    pub fn gpt_mut(&mut self) -> &mut Gpt {
        &mut self.gpt
    }

    /// The moments, to be changed from outside of a step.
    pub fn optimizer_mut(&mut self) -> &mut Optimizer {
        &mut self.optimizer
    }

    /// The moments as they stand.
    pub fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// The gradients added up since [`Learner::clear_gradients`]; empty for frozen parameters.
    pub fn grads(&self) -> &Params<Tensor> {
        &self.grads
    }

    /// Begins a batch.
    pub fn clear_gradients(&mut self) {
        self.grads = self.gpt.no_gradients();
    }

    /// Adds the gradients of `scale·Σ weights·losses` of one micro-batch; returns `Σ weights·losses` in nats.
    pub fn add_gradients(&mut self, kernels: &dyn Kernels, batch: &MicroBatch, scale: f64) -> f64 {
        let MicroBatch { tokens, targets, weights, .. } = batch;
        let weights = weights.as_deref();
        let losses = self.gpt.add_gradients(kernels, tokens, targets, scale, weights, &mut self.grads);
        batch.weighted_sum(losses.f32())
    }

    /// The model with the gradients, for a loss that is not a cross-entropy; see [`model::Params::with_slice`].
    pub fn parts_mut(&mut self) -> (&Gpt, &mut Params<Tensor>) {
        (&self.gpt, &mut self.grads)
    }

    /// The norm of the whole gradient.
    pub fn grad_norm(&self, kernels: &dyn Kernels) -> f64 {
        Optimizer::grad_norm(kernels, &self.grads)
    }

    /// Moves the weights by the gradients, clipped by their norm.
    pub fn update(
        &mut self,
        kernels: &dyn Kernels,
        settings: &TrainSettings,
        grad_norm: f64,
        update: Update,
    ) {
        let scale = clip_coefficient(grad_norm, settings.max_grad_norm);
        let Update { lr_fraction, step } = update;
        let params = self.gpt.params_mut();
        self.optimizer.step(kernels, settings, params, &self.grads, scale, lr_fraction, step);
    }
}
