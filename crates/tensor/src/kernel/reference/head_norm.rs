//! Root-mean-square normalisation of query and key heads.

use super::rmsnorm;
use crate::kernel::AttentionShape;

/// Each query and key head of `x` by itself: `y = x·rstd·gain`, `rstd = 1/√(mean(x²) + eps)`; values are copied.
///
/// `x`, `y` `[R, (H+2K)·D]`, gains `[D]`, `rstd [R, H+K]`; overwrites `y` and `rstd`. It bounds the scores of
/// attention. Paper: <https://arxiv.org/abs/2010.04245>. Differs: the paper divides by the Euclidean norm and
/// learns one scale for the scores instead of gains.
///
/// # Panics
/// If a length disagrees.
#[track_caller]
pub(crate) fn forward(
    x: &[f64],
    q_gain: &[f64],
    k_gain: &[f64],
    eps: f64,
    shape: AttentionShape,
    y: &mut [f64],
    rstd: &mut [f64],
) {
    check(shape, x.len(), y.len(), rstd.len());
    y.copy_from_slice(x);
    for_each_head(shape, rstd.len(), |at, i, is_query| {
        let gain = if is_query { q_gain } else { k_gain };
        let head = at..at + shape.d_head;
        rmsnorm::forward(&x[head.clone()], gain, eps, &mut y[head], &mut rstd[i..=i]);
    });
}

/// In query and key heads with `x̂ = x·rstd` and `g = dy·gain`: `dx = rstd·(g − x̂·mean(g·x̂))`, and the gradient of
/// a gain `+= Σ dy·x̂` over its heads of all rows. That of values passes.
///
/// Shapes as in [`forward`]. `d` comes in as `dy` and leaves as `dx`; accumulates into `dq_gain` and `dk_gain`.
///
/// # Panics
/// If a length disagrees.
#[track_caller]
#[allow(clippy::too_many_arguments, reason = "sizes and buffers are arguments")]
pub(crate) fn backward(
    x: &[f64],
    q_gain: &[f64],
    k_gain: &[f64],
    rstd: &[f64],
    shape: AttentionShape,
    d: &mut [f64],
    dq_gain: &mut [f64],
    dk_gain: &mut [f64],
) {
    check(shape, x.len(), d.len(), rstd.len());
    for_each_head(shape, rstd.len(), |at, i, is_query| {
        let (gain, dgain) = if is_query { (q_gain, &mut *dq_gain) } else { (k_gain, &mut *dk_gain) };
        let head = at..at + shape.d_head;
        let dy = d[head.clone()].to_vec();
        d[head.clone()].fill(0.0);
        rmsnorm::backward(&x[head.clone()], gain, &rstd[i..=i], &dy, &mut d[head], dgain);
    });
}

#[track_caller]
fn check(shape: AttentionShape, x: usize, y: usize, rstd: usize) {
    let r = rstd / (shape.n_heads + shape.n_kv_heads);
    assert!(
        x == r * shape.qkv_width() && y == x && rstd == r * (shape.n_heads + shape.n_kv_heads),
        "head_norm: x {x}, y {y}, rstd {rstd}, want {r} rows of {shape:?}"
    );
}

/// Calls `f` with every query and key head's first element, its index in `rstd`, and whether it is a query.
fn for_each_head(shape: AttentionShape, n_normed: usize, mut f: impl FnMut(usize, usize, bool)) {
    let per_row = shape.n_heads + shape.n_kv_heads;
    for i in 0..n_normed {
        let (row, h) = (i / per_row, i % per_row);
        f(row * shape.qkv_width() + h * shape.d_head, i, h < shape.n_heads);
    }
}
