//! The language-model head fused with its loss.

use crate::IGNORE_TARGET;

/// `losses[r] = ln Σ_j exp(x[r]·w[j]) − x[r]·w[targets[r]]` in nats, 0 where the target is ignored.
///
/// `x [R, C]`, `w [V, C]`, `targets`, `losses` `[R]`; overwrites `losses`. Costs `2RVC` FLOPs.
///
/// # Panics
/// If a length disagrees, or a target is neither below V nor [`IGNORE_TARGET`].
#[track_caller]
pub(crate) fn losses(x: &[f64], w: &[f64], targets: &[u32], losses: &mut [f64], v: usize, c: usize) {
    let r = targets.len();
    assert!(
        x.len() == r * c && w.len() == v * c && losses.len() == r,
        "cross_entropy: x {}, w {}, losses {}, want r {r}, v {v}, c {c}",
        x.len(),
        w.len(),
        losses.len()
    );
    for (r, (loss, &target)) in losses.iter_mut().zip(targets).enumerate() {
        *loss = 0.0;
        if target != IGNORE_TARGET {
            let (logits, lse) = logits(&x[r * c..][..c], w, v);
            *loss = lse - logits[target as usize];
        }
    }
}

/// With `dlogits = scales[r]·(softmax(x·wᵀ) − onehot(target))`, 0 where the target is ignored: `dx = dlogits·w`,
/// `dw += dlogitsᵀ·x`.
///
/// Shapes as in [`losses`]; overwrites `dx`, accumulates into `dw`. Costs `4RVC` FLOPs beside the logits.
///
/// # Panics
/// If a length disagrees, or a target is neither below V nor [`IGNORE_TARGET`].
#[track_caller]
#[allow(clippy::too_many_arguments, reason = "sizes and buffers are arguments")]
pub(crate) fn gradients(
    x: &[f64],
    w: &[f64],
    targets: &[u32],
    scales: &[f64],
    dx: &mut [f64],
    dw: &mut [f64],
    v: usize,
    c: usize,
) {
    assert!(
        dx.len() == targets.len() * c && dw.len() == v * c && scales.len() == targets.len(),
        "cross_entropy: dx {}, dw {}, {} weights of rows, want r {}, v {v}, c {c}",
        dx.len(),
        dw.len(),
        scales.len(),
        targets.len()
    );
    dx.fill(0.0);
    for (r, &target) in targets.iter().enumerate().filter(|(_, target)| **target != IGNORE_TARGET) {
        let (x, dx) = (&x[r * c..][..c], &mut dx[r * c..][..c]);
        let (logits, lse) = logits(x, w, v);
        for (j, logit) in logits.iter().enumerate() {
            let one_hot = if j == target as usize { 1.0 } else { 0.0 };
            let dlogit = scales[r] * ((logit - lse).exp() - one_hot);
            for i in 0..c {
                dx[i] += dlogit * w[j * c + i];
                dw[j * c + i] += dlogit * x[i];
            }
        }
    }
}

/// The logits of one row `x [C]` and the logarithm of their softmax's denominator.
fn logits(x: &[f64], w: &[f64], v: usize) -> (Vec<f64>, f64) {
    let c = x.len();
    let logits: Vec<f64> = (0..v).map(|j| x.iter().zip(&w[j * c..][..c]).map(|(x, w)| x * w).sum()).collect();
    let max = logits.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
    let sum: f64 = logits.iter().map(|l| (l - max).exp()).sum();
    (logits, max + sum.ln())
}
