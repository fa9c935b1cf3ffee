//! The language-model head fused with its loss.

use super::{Real, accumulate, accumulate_all};
use crate::IGNORE_TARGET;

/// `losses[r] = ln Σ_j exp(x[r]·w[j]) − x[r]·w[targets[r]]` in nats, 0 where the target is ignored.
///
/// `x [R, C]`, `w [V, C]`, `targets`, `losses` `[R]`; overwrites `losses`.
///
/// # Panics
/// If a target is neither below V nor [`IGNORE_TARGET`].
#[track_caller]
pub(crate) fn losses<E: Real>(x: &[E], w: &[E], targets: &[u32], losses: &mut [E], v: usize, c: usize) {
    for (r, (loss, &target)) in losses.iter_mut().zip(targets).enumerate() {
        *loss = E::from_f64(0.0);
        if target != IGNORE_TARGET {
            let (logits, lse) = logits(&x[r * c..][..c], w, v, c);
            *loss = E::from_f64(lse - logits[target as usize]);
        }
    }
}

/// As [`losses`]; also, with `dlogits = scale·(softmax − onehot(target))`: `dx += dlogits·w`, `dw += dlogitsᵀ·x`.
///
/// # Panics
/// If a target is neither below V nor [`IGNORE_TARGET`].
#[track_caller]
#[allow(clippy::too_many_arguments, reason = "sizes and buffers are arguments")]
pub(crate) fn losses_and_gradients<E: Real>(
    x: &[E],
    w: &[E],
    targets: &[u32],
    losses: &mut [E],
    scale: f64,
    dx: &mut [E],
    dw: &mut [E],
    v: usize,
    c: usize,
) {
    self::losses(x, w, targets, losses, v, c);
    accumulate_all(dw, |dw| {
        for (r, &target) in targets.iter().enumerate().filter(|(_, target)| **target != IGNORE_TARGET) {
            let x = &x[r * c..][..c];
            let (logits, lse) = logits(x, w, v, c);
            let mut dlogits: Vec<f64> = logits.iter().map(|logit| scale * (logit - lse).exp()).collect();
            dlogits[target as usize] -= scale;
            for i in 0..c {
                accumulate(&mut dx[r * c + i], (0..v).map(|j| dlogits[j] * w[j * c + i].to_f64()).sum());
                for j in 0..v {
                    dw[j * c + i] += dlogits[j] * x[i].to_f64();
                }
            }
        }
    });
}

/// The logits of one row and the logarithm of their softmax's denominator.
fn logits<E: Real>(x: &[E], w: &[E], v: usize, c: usize) -> (Vec<f64>, f64) {
    let logits: Vec<f64> =
        (0..v).map(|j| x.iter().zip(&w[j * c..][..c]).map(|(x, w)| x.to_f64() * w.to_f64()).sum()).collect();
    let max = logits.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
    let sum: f64 = logits.iter().map(|l| (l - max).exp()).sum();
    (logits, max + sum.ln())
}
