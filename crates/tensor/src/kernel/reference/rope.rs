//! Rotary position embedding.

use super::{Real, accumulate};

/// Turns the pair `(i, i + D/2)` of every head by its row's angle: `y₁ = x₁·cos − x₂·sin`, `y₂ = x₂·cos + x₁·sin`.
///
/// `x`, `y` `[R, H·D]`, `positions [R]`, `cos`, `sin` `[P, D/2]`; overwrites `y`.
/// Paper: <https://arxiv.org/abs/2104.09864>. Differs: the paper pairs neighbouring channels.
///
/// # Panics
/// If a position is not below P, or a length disagrees.
#[track_caller]
pub(crate) fn forward<E: Real>(x: &[E], positions: &[u32], cos: &[E], sin: &[E], y: &mut [E], d_head: usize) {
    for (i, value) in turned(x, positions, cos, sin, d_head, 1.0) {
        y[i] = E::from_f64(value);
    }
}

/// The inverse turn of `dy`, accumulated into `dx`. Shapes as in [`forward`].
///
/// # Panics
/// If a position is not below P, or a length disagrees.
#[track_caller]
pub(crate) fn backward<E: Real>(
    dy: &[E],
    positions: &[u32],
    cos: &[E],
    sin: &[E],
    dx: &mut [E],
    d_head: usize,
) {
    for (i, value) in turned(dy, positions, cos, sin, d_head, -1.0) {
        accumulate(&mut dx[i], value);
    }
}

/// Every element's index and its value after a turn in the direction `sign`.
fn turned<E: Real>(
    x: &[E],
    positions: &[u32],
    cos: &[E],
    sin: &[E],
    d_head: usize,
    sign: f64,
) -> impl Iterator<Item = (usize, f64)> {
    let half = d_head / 2;
    let per_row = x.len().checked_div(positions.len()).unwrap_or(0);
    (0..x.len()).map(move |at| {
        let (i, angle) = (at % d_head, positions[at / per_row] as usize * half + at % d_head % half);
        let (cos, sin) = (cos[angle].to_f64(), sign * sin[angle].to_f64());
        let here = x[at].to_f64();
        let turned = if i < half {
            here * cos - x[at + half].to_f64() * sin
        } else {
            here * cos + x[at - half].to_f64() * sin
        };
        (at, turned)
    })
}
