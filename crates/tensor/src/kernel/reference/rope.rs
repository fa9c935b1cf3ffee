//! Rotary position embedding.

use crate::kernel::AttentionShape;

/// In place, turns the pair `(i, i + D/2)` of every query and key head by its row's angle: `x₁·cos − x₂·sin`,
/// `x₂·cos + x₁·sin`. Values stay.
///
/// `x [R, (H+2K)·D]`, `positions [R]`, `cos`, `sin` `[P, D/2]`.
/// Paper: <https://arxiv.org/abs/2104.09864>. Differs: the paper pairs neighbouring channels.
///
/// # Panics
/// If a position is not below P, or a length disagrees.
#[track_caller]
pub(crate) fn forward(x: &mut [f64], positions: &[u32], cos: &[f64], sin: &[f64], shape: AttentionShape) {
    turn(x, positions, cos, sin, shape, 1.0);
}

/// The inverse turn, in place: a rotation's transpose is its inverse. Shapes as in [`forward`].
///
/// # Panics
/// If a position is not below P, or a length disagrees.
#[track_caller]
pub(crate) fn backward(d: &mut [f64], positions: &[u32], cos: &[f64], sin: &[f64], shape: AttentionShape) {
    turn(d, positions, cos, sin, shape, -1.0);
}

/// Turns in the direction `sign`.
#[track_caller]
fn turn(x: &mut [f64], positions: &[u32], cos: &[f64], sin: &[f64], shape: AttentionShape, sign: f64) {
    let (r, half) = (positions.len(), shape.d_head / 2);
    assert!(
        x.len() == r * shape.qkv_width() && shape.d_head == 2 * half && cos.len() == sin.len(),
        "rope: x {}, want {r} rows of {shape:?}; cos {}, sin {}",
        x.len(),
        cos.len(),
        sin.len()
    );
    for (row, &position) in x.chunks_exact_mut(shape.qkv_width()).zip(positions) {
        let at = position as usize * half;
        let (cos, sin) = (&cos[at..][..half], &sin[at..][..half]);
        let (queries_and_keys, _) = row.split_at_mut(shape.q_width() + shape.kv_width());
        for head in queries_and_keys.chunks_exact_mut(shape.d_head) {
            for i in 0..half {
                let (x1, x2) = (head[i], head[i + half]);
                head[i] = x1 * cos[i] - x2 * sign * sin[i];
                head[i + half] = x2 * cos[i] + x1 * sign * sin[i];
            }
        }
    }
}
