//! One step of AdamW; see the file of the same name in `reference/`.

use super::pool::{CHUNK, Pool, Shared};
use crate::{isa::for_each_isa, kernel::AdamW};

#[track_caller]
pub(crate) fn step(
    pool: &Pool,
    settings: &AdamW,
    scale: f64,
    grad: &[f32],
    param: &mut [f32],
    m: &mut [f32],
    v: &mut [f32],
) {
    let n = param.len();
    assert!(grad.len() == n && m.len() == n && v.len() == n, "adamw: lengths differ from {n}");
    let AdamW { lr, beta1, beta2, eps, weight_decay, step } = *settings;
    let power = |beta: f64| libm::pow(beta, step as f64);
    let constants = Constants {
        scale: scale as f32,
        beta1: beta1 as f32,
        one_minus_beta1: (1.0 - beta1) as f32,
        beta2: beta2 as f32,
        one_minus_beta2: (1.0 - beta2) as f32,
        step_size: (lr / (1.0 - power(beta1))) as f32,
        inv_root_correction2: (1.0 / (1.0 - power(beta2)).sqrt()) as f32,
        eps: eps as f32,
        keep: (1.0 - lr * weight_decay) as f32,
    };
    let (param, m, v) = (Shared::new(param), Shared::new(m), Shared::new(v));
    pool.for_each_chunk(n, CHUNK, |start, len| {
        // SAFETY: chunks do not overlap.
        let (param, m, v) = unsafe { (param.part(start, len), m.part(start, len), v.part(start, len)) };
        step_chunk(&constants, &grad[start..][..len], param, m, v);
    });
}

/// What does not change from element to element, computed in f64.
struct Constants {
    scale: f32,
    beta1: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    step_size: f32,
    inv_root_correction2: f32,
    eps: f32,
    keep: f32,
}

for_each_isa! {
    fn step_chunk(constants: &Constants, grad: &[f32], param: &mut [f32], m: &mut [f32], v: &mut [f32]) {
        for ((grad, param), (m, v)) in grad.iter().zip(param).zip(m.iter_mut().zip(v)) {
            let g = constants.scale * grad;
            *m = constants.beta1.mul_add(*m, constants.one_minus_beta1 * g);
            *v = constants.beta2.mul_add(*v, constants.one_minus_beta2 * (g * g));
            let denominator = v.sqrt().mul_add(constants.inv_root_correction2, constants.eps);
            *param = constants.keep.mul_add(*param, -(constants.step_size * (*m / denominator)));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Cpu, Kernels, Reference, Slice,
        kernel::AdamW,
        testing::{Guarded, HOSTILE, check_close, normal_f32},
    };

    /// Worst seen: 0.4 of this bound. A missing bias correction errs by 1e-2.
    const BOUND: f32 = 1e-6;

    #[test]
    fn adamw_agrees_with_the_reference() {
        for n in HOSTILE.into_iter().chain([20_000]) {
            let run = |kernels: &dyn Kernels| {
                let (mut param, mut m) = (Guarded::new(&normal_f32(n, 1)), Guarded::new(&vec![0.0; n]));
                let mut v = Guarded::new(&vec![0.0; n]);
                for step in 1..4 {
                    let settings =
                        AdamW { lr: 1e-2, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, step };
                    let grad = normal_f32(n, 10 + step);
                    kernels.adamw_step(
                        &settings,
                        0.5,
                        Slice::F32(&grad),
                        param.slice_mut(),
                        m.slice_mut(),
                        v.slice_mut(),
                    );
                }
                [param, m, v].map(|buffer| buffer.checked().to_vec())
            };
            let (got, want) = (run(&Cpu::new(2)), run(&Reference));
            for (name, (got, want)) in ["param", "m", "v"].iter().zip(got.iter().zip(&want)) {
                check_close(name, got, want, BOUND);
            }
        }
    }
}
