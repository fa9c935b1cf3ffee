//! The gated activation of the feed-forward block.

use super::{Real, accumulate};

/// `y = gate·σ(gate)·up` with `σ(x) = 1/(1 + e^−x)`. All `[n]`; overwrites `y`. Memory-bound.
/// Paper: <https://arxiv.org/abs/2002.05202>.
///
/// # Panics
/// If a length differs.
#[track_caller]
pub(crate) fn forward<E: Real>(gate: &[E], up: &[E], y: &mut [E]) {
    assert!(gate.len() == y.len() && up.len() == y.len(), "swiglu: gate {}, up {}", gate.len(), up.len());
    for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
        let gate = gate.to_f64();
        *y = E::from_f64(gate * sigmoid(gate) * up.to_f64());
    }
}

/// `dgate += dy·up·σ·(1 + gate·(1 − σ))`, `dup += dy·gate·σ`. All `[n]`.
///
/// # Panics
/// If a length differs.
#[track_caller]
pub(crate) fn backward<E: Real>(gate: &[E], up: &[E], dy: &[E], dgate: &mut [E], dup: &mut [E]) {
    let n = gate.len();
    assert!(
        up.len() == n && dy.len() == n && dgate.len() == n && dup.len() == n,
        "swiglu: lengths differ from {n}"
    );
    for i in 0..n {
        let (gate, dy) = (gate[i].to_f64(), dy[i].to_f64());
        let sigma = sigmoid(gate);
        accumulate(&mut dgate[i], dy * up[i].to_f64() * sigma * (1.0 + gate * (1.0 - sigma)));
        accumulate(&mut dup[i], dy * gate * sigma);
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
