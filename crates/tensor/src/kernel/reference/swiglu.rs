//! The gated activation of the feed-forward block.

/// `y = gate·σ(gate)·up` with `σ(x) = 1/(1 + e^−x)`, of rows `[gate | up]`.
///
/// `gate_up [R, 2F]`, `y [R, F]`; overwrites `y`. Memory-bound. Paper: <https://arxiv.org/abs/2002.05202>.
///
/// # Panics
/// If a length disagrees.
#[track_caller]
pub(crate) fn forward(gate_up: &[f64], y: &mut [f64], f: usize) {
    check(gate_up.len(), y.len(), f);
    for (at, y) in y.iter_mut().enumerate() {
        let (gate, up) = pair(gate_up, at, f);
        *y = gate * sigmoid(gate) * up;
    }
}

/// `dgate = dy·up·σ·(1 + gate·(1 − σ))`, `dup = dy·gate·σ`, and `y` as [`forward`] makes it.
///
/// `gate_up`, `d_gate_up` `[R, 2F]`, `dy`, `y` `[R, F]`; overwrites `d_gate_up` and `y`. Memory-bound.
///
/// # Panics
/// If a length disagrees.
#[track_caller]
pub(crate) fn backward(gate_up: &[f64], dy: &[f64], d_gate_up: &mut [f64], y: &mut [f64], f: usize) {
    check(gate_up.len(), dy.len(), f);
    check(d_gate_up.len(), y.len(), f);
    forward(gate_up, y, f);
    for (at, dy) in dy.iter().enumerate() {
        let (gate, up) = pair(gate_up, at, f);
        let sigma = sigmoid(gate);
        let at_gate = at / f * 2 * f + at % f;
        d_gate_up[at_gate] = dy * up * sigma * (1.0 + gate * (1.0 - sigma));
        d_gate_up[at_gate + f] = dy * gate * sigma;
    }
}

/// The gate and the up value of element `at` of `[R, F]`.
fn pair(gate_up: &[f64], at: usize, f: usize) -> (f64, f64) {
    let at_gate = at / f * 2 * f + at % f;
    (gate_up[at_gate], gate_up[at_gate + f])
}

#[track_caller]
fn check(gate_up: usize, y: usize, f: usize) {
    assert!(gate_up == 2 * y && y.is_multiple_of(f), "swiglu: gate_up {gate_up}, y {y}, f {f}");
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
