//! Causal attention with grouped queries, inside document boundaries.

use super::{Real, accumulate};
use crate::kernel::{AttentionShape, Segment};

/// `y = softmax(q·kᵀ/√D)·v` over the keys that each query sees, and `lse = ln Σ exp(q·kᵀ/√D)`.
///
/// `q`, `y` `[R, H·D]`, `k`, `v` `[S, K·D]`, `lse [R, H]`; overwrites the rows of `y` and `lse` that belong to a
/// segment and leaves the others. Head `h` reads key/value head `h / (H/K)`.
/// Paper: <https://arxiv.org/abs/1706.03762>.
///
/// # Panics
/// If a segment reaches past the rows.
pub(crate) fn forward<E: Real>(
    q: &[E],
    k: &[E],
    v: &[E],
    segments: &[Segment],
    shape: AttentionShape,
    y: &mut [E],
    lse: &mut [E],
) {
    let AttentionShape { n_heads, n_kv_heads, d_head } = shape;
    for_each_query(segments, shape, |segment, i, h| {
        let row = segment.q_start + i;
        let at_q = (row * n_heads + h) * d_head;
        let at_kv = |j: usize| ((segment.k_start + j) * n_kv_heads + h / (n_heads / n_kv_heads)) * d_head;
        let n = segment.n_visible(i);
        let scores: Vec<f64> =
            (0..n).map(|j| dot(&q[at_q..], &k[at_kv(j)..], d_head) * scale(d_head)).collect();
        let max = scores.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
        let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
        lse[row * n_heads + h] = E::from_f64(max + sum.ln());
        for d in 0..d_head {
            let mixed: f64 = (0..n).map(|j| (scores[j] - max).exp() / sum * v[at_kv(j) + d].to_f64()).sum();
            y[at_q + d] = E::from_f64(mixed);
        }
    });
}

/// With `p = exp(q·kᵀ/√D − lse)` and `δ = Σ dy·y`: `dv += pᵀ·dy`, `ds = p·(dy·vᵀ − δ)/√D`, `dq += ds·k`,
/// `dk += dsᵀ·q`. Shapes as in [`forward`]; accumulates into `dq`, `dk` and `dv`.
///
/// # Panics
/// If a segment reaches past the rows.
#[allow(clippy::too_many_arguments, reason = "sizes and buffers are arguments")]
pub(crate) fn backward<E: Real>(
    q: &[E],
    k: &[E],
    v: &[E],
    y: &[E],
    lse: &[E],
    dy: &[E],
    segments: &[Segment],
    shape: AttentionShape,
    dq: &mut [E],
    dk: &mut [E],
    dv: &mut [E],
) {
    let AttentionShape { n_heads, n_kv_heads, d_head } = shape;
    let mut sums = [vec![0.0; dq.len()], vec![0.0; dk.len()], vec![0.0; dv.len()]];
    let [dq_sum, dk_sum, dv_sum] = &mut sums;
    for_each_query(segments, shape, |segment, i, h| {
        let row = segment.q_start + i;
        let at_q = (row * n_heads + h) * d_head;
        let delta = dot(&dy[at_q..], &y[at_q..], d_head);
        for j in 0..segment.n_visible(i) {
            let at_kv = ((segment.k_start + j) * n_kv_heads + h / (n_heads / n_kv_heads)) * d_head;
            let score = dot(&q[at_q..], &k[at_kv..], d_head) * scale(d_head);
            let p = (score - lse[row * n_heads + h].to_f64()).exp();
            let ds = p * (dot(&dy[at_q..], &v[at_kv..], d_head) - delta) * scale(d_head);
            for d in 0..d_head {
                dv_sum[at_kv + d] += p * dy[at_q + d].to_f64();
                dq_sum[at_q + d] += ds * k[at_kv + d].to_f64();
                dk_sum[at_kv + d] += ds * q[at_q + d].to_f64();
            }
        }
    });
    for (x, sums) in [dq, dk, dv].into_iter().zip(sums) {
        x.iter_mut().zip(sums).for_each(|(x, sum)| accumulate(x, sum));
    }
}

fn for_each_query(segments: &[Segment], shape: AttentionShape, mut f: impl FnMut(&Segment, usize, usize)) {
    for segment in segments {
        for i in 0..segment.n_queries {
            for h in 0..shape.n_heads {
                f(segment, i, h);
            }
        }
    }
}

fn scale(d_head: usize) -> f64 {
    (d_head as f64).sqrt().recip()
}

fn dot<E: Real>(a: &[E], b: &[E], len: usize) -> f64 {
    a[..len].iter().zip(&b[..len]).map(|(a, b)| a.to_f64() * b.to_f64()).sum()
}
