//! Moments, and the step that uses them.

use model::{ModelConfig, ParamSpec, Role};
use tensor::{DType, Kernels, Tensor, kernel::Muon};

use crate::{OptimizerKind, TrainSettings};

/// The state of every parameter's optimizer.
#[derive(Debug)]
pub struct Optimizer {
    specs: Vec<ParamSpec>,
    /// By parameter.
    moments: Vec<Moments>,
}

#[derive(Debug)]
enum Moments {
    AdamW { m: Tensor, v: Tensor },
    Muon { momentum: Tensor },
}

impl Optimizer {
    /// Zero moments for every parameter of the model.
    pub fn new(config: &ModelConfig, kind: OptimizerKind) -> Self {
        let specs = config.params();
        let moments = specs
            .iter()
            .map(|spec| {
                let zeros = || Tensor::zeros(&spec.shape, DType::F32);
                if kind == OptimizerKind::Muon && spec.role == Role::Matrix {
                    Moments::Muon { momentum: zeros() }
                } else {
                    Moments::AdamW { m: zeros(), v: zeros() }
                }
            })
            .collect();
        Self { specs, moments }
    }

    /// The norm of the whole gradient.
    pub fn grad_norm(kernels: &dyn Kernels, grads: &[Tensor]) -> f64 {
        grads.iter().map(|grad| kernels.sum_of_squares(grad.slice())).sum::<f64>().sqrt()
    }

    /// Step number `step` (from 1) with gradients multiplied by `scale` and rates by `lr_fraction`.
    #[allow(clippy::too_many_arguments, reason = "a step is made of these, each used once")]
    pub fn step(
        &mut self,
        kernels: &dyn Kernels,
        settings: &TrainSettings,
        params: &mut [Tensor],
        grads: &[Tensor],
        scale: f64,
        lr_fraction: f64,
        step: u64,
    ) {
        let rates = &settings.learning_rates;
        for (((spec, moments), param), grad) in
            self.specs.iter().zip(&mut self.moments).zip(params).zip(grads)
        {
            let (lr, weight_decay) = match spec.role {
                Role::Matrix => (rates.matrix, settings.weight_decay),
                Role::Embedding => (rates.embedding, settings.embedding_weight_decay),
                Role::Head => (rates.head, settings.embedding_weight_decay),
                Role::Gain | Role::Bias => (rates.gain, 0.0),
            };
            let lr = lr * lr_fraction;
            match moments {
                Moments::AdamW { m, v } => {
                    let adamw = settings.adamw(lr, weight_decay, step);
                    kernels.adamw_step(
                        &adamw,
                        scale,
                        grad.slice(),
                        param.slice_mut(),
                        m.slice_mut(),
                        v.slice_mut(),
                    );
                }
                Moments::Muon { momentum } => {
                    let muon = Muon { lr, momentum: settings.muon_momentum, weight_decay };
                    let (rows, cols) = (spec.shape[0], spec.shape[1]);
                    kernels.muon_step(
                        &muon,
                        scale,
                        grad.slice(),
                        param.slice_mut(),
                        momentum.slice_mut(),
                        rows,
                        cols,
                    );
                }
            }
        }
    }

    /// Every moment with a name of its own, for a checkpoint.
    pub fn tensors(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.specs.iter().zip(&self.moments).flat_map(|(spec, moments)| {
            let name = |kind: &str| format!("{kind}.{}", spec.name);
            match moments {
                Moments::AdamW { m, v } => vec![(name("m"), m), (name("v"), v)],
                Moments::Muon { momentum } => vec![(name("momentum"), momentum)],
            }
        })
    }

    /// The same, to be filled from a checkpoint.
    pub fn tensors_mut(&mut self) -> impl Iterator<Item = (String, &mut Tensor)> {
        self.specs.iter().zip(&mut self.moments).flat_map(|(spec, moments)| {
            let name = |kind: &str| format!("{kind}.{}", spec.name);
            match moments {
                Moments::AdamW { m, v } => vec![(name("m"), m), (name("v"), v)],
                Moments::Muon { momentum } => vec![(name("momentum"), momentum)],
            }
        })
    }
}
