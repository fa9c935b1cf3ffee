//! Moments, and the step that uses them.

use model::{ParamSpec, Params, Role};
use tensor::{DType, Kernels, Tensor, kernel::Muon};

use crate::{OptimizerKind, TrainSettings};

/// The state of every trained parameter's optimizer.
#[derive(Debug)]
pub struct Optimizer {
    /// Of each parameter; frozen ones have none.
    params: Params<Option<Param>>,
}

#[derive(Debug)]
struct Param {
    spec: ParamSpec,
    moments: Moments,
}

#[derive(Debug)]
enum Moments {
    AdamW { m: Tensor, v: Tensor },
    Muon { momentum: Tensor },
}

impl Optimizer {
    /// Zero moments for every parameter that is trained.
    pub fn new(specs: &Params<ParamSpec>, kind: OptimizerKind) -> Self {
        let params = specs.clone().map(|spec| {
            let zeros = || Tensor::zeros(&spec.shape, DType::F32);
            let is_muon = kind == OptimizerKind::Muon && spec.role == Role::Matrix;
            let moments = match is_muon {
                _ if !spec.is_trained => return None,
                true => Moments::Muon { momentum: zeros() },
                false => Moments::AdamW { m: zeros(), v: zeros() },
            };
            Some(Param { spec, moments })
        });
        Self { params }
    }

    /// The norm of the whole gradient.
    pub fn grad_norm(kernels: &dyn Kernels, grads: &Params<Tensor>) -> f64 {
        grads.iter().map(|grad| kernels.sum_of_squares(grad.slice())).sum::<f64>().sqrt()
    }

    /// Step number `step` (from 1) with gradients multiplied by `scale` and rates by `lr_fraction`.
    #[allow(clippy::too_many_arguments, reason = "a step is made of these, each used once")]
    pub fn step(
        &mut self,
        kernels: &dyn Kernels,
        settings: &TrainSettings,
        params: &mut Params<Tensor>,
        grads: &Params<Tensor>,
        scale: f64,
        lr_fraction: f64,
        step: u64,
    ) {
        let rates = &settings.learning_rates;
        for ((own, param), grad) in self.params.iter_mut().zip(params).zip(grads) {
            let Some(Param { spec, moments }) = own else { continue };
            // Nothing of the batch went through it, as through eyes where no image was.
            if grad.is_empty() {
                continue;
            }
            let (lr, weight_decay) = match spec.role {
                Role::Matrix | Role::Adapter => (rates.matrix, settings.weight_decay),
                Role::Embedding => (rates.embedding, settings.embedding_weight_decay),
                Role::Head => (rates.head, settings.embedding_weight_decay),
                Role::Gain | Role::Bias => (rates.gain, 0.0),
            };
            let lr = lr * lr_fraction * spec.rate;
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
        self.params.iter().flatten().flat_map(|Param { spec, moments }| {
            let name = |kind: &str| format!("{kind}.{}", spec.name);
            match moments {
                Moments::AdamW { m, v } => vec![(name("m"), m), (name("v"), v)],
                Moments::Muon { momentum } => vec![(name("momentum"), momentum)],
            }
        })
    }

    /// The same, to be filled from a checkpoint.
    pub fn tensors_mut(&mut self) -> impl Iterator<Item = (String, &mut Tensor)> {
        self.params.iter_mut().flatten().flat_map(|Param { spec, moments }| {
            let name = |kind: &str| format!("{kind}.{}", spec.name);
            match moments {
                Moments::AdamW { m, v } => vec![(name("m"), m), (name("v"), v)],
                Moments::Muon { momentum } => vec![(name("momentum"), momentum)],
            }
        })
    }
}
