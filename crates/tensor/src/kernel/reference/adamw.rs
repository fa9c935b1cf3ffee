//! One step of AdamW.

use crate::kernel::AdamW;

/// With `g = scale·grad`: `m = β₁m + (1−β₁)g`, `v = β₂v + (1−β₂)g²`,
/// `param = param·(1 − lr·wd) − lr·m̂/(√v̂ + eps)`, where `m̂ = m/(1−β₁ᵗ)` and `v̂ = v/(1−β₂ᵗ)`.
///
/// All `[n]`; overwrites `param`, `m` and `v`. Memory-bound: reads 4n and writes 3n elements.
/// Paper: <https://arxiv.org/abs/1711.05101>.
///
/// # Panics
/// If a length differs.
#[track_caller]
pub(crate) fn step(
    settings: &AdamW,
    scale: f64,
    grad: &[f64],
    param: &mut [f64],
    m: &mut [f64],
    v: &mut [f64],
) {
    let AdamW { lr, beta1, beta2, eps, weight_decay, step } = *settings;
    let n = param.len();
    assert!(grad.len() == n && m.len() == n && v.len() == n, "adamw: lengths differ from {n}");
    let correction1 = 1.0 - beta1.powi(step as i32);
    let correction2 = 1.0 - beta2.powi(step as i32);
    for i in 0..n {
        let g = scale * grad[i];
        m[i] = beta1 * m[i] + (1.0 - beta1) * g;
        v[i] = beta2 * v[i] + (1.0 - beta2) * g * g;
        let update = m[i] / correction1 / ((v[i] / correction2).sqrt() + eps);
        param[i] = param[i] * (1.0 - lr * weight_decay) - lr * update;
    }
}
