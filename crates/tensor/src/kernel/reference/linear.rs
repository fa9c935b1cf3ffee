//! Matrix products with a weight `w [N, K]`; `x [R, K]`, `y [R, N]`. Each costs `2RNK` FLOPs.

use super::{Real, accumulate};

/// `y = x·wᵀ`. Overwrites `y`; each element is one sum over k in ascending order.
///
/// # Panics
/// If a length disagrees.
#[track_caller]
pub(crate) fn forward<E: Real>(x: &[E], w: &[E], y: &mut [E], r: usize, n: usize, k: usize) {
    assert!(
        x.len() == r * k && w.len() == n * k && y.len() == r * n,
        "linear: x {}, w {}, y {}, want r {r}, n {n}, k {k}",
        x.len(),
        w.len(),
        y.len()
    );
    for i in 0..r {
        for j in 0..n {
            let sum = (0..k).map(|p| x[i * k + p].to_f64() * w[j * k + p].to_f64()).sum();
            y[i * n + j] = E::from_f64(sum);
        }
    }
}

/// `dx += dy·w`. Accumulates into `dx [R, K]`.
///
/// # Panics
/// If a length disagrees.
#[track_caller]
pub(crate) fn backward_input<E: Real>(dy: &[E], w: &[E], dx: &mut [E], r: usize, n: usize, k: usize) {
    assert!(
        dy.len() == r * n && w.len() == n * k && dx.len() == r * k,
        "linear: dy, w or dx of another length"
    );
    for i in 0..r {
        for p in 0..k {
            let sum = (0..n).map(|j| dy[i * n + j].to_f64() * w[j * k + p].to_f64()).sum();
            accumulate(&mut dx[i * k + p], sum);
        }
    }
}

/// `dw += dyᵀ·x`. Accumulates into `dw [N, K]`.
///
/// # Panics
/// If a length disagrees.
#[track_caller]
pub(crate) fn backward_weight<E: Real>(dy: &[E], x: &[E], dw: &mut [E], r: usize, n: usize, k: usize) {
    assert!(
        dy.len() == r * n && x.len() == r * k && dw.len() == n * k,
        "linear: dy, x or dw of another length"
    );
    for j in 0..n {
        for p in 0..k {
            let sum = (0..r).map(|i| dy[i * n + j].to_f64() * x[i * k + p].to_f64()).sum();
            accumulate(&mut dw[j * k + p], sum);
        }
    }
}
