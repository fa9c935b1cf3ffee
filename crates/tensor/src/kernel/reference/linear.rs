//! Matrix products with a weight `w [N, K]`; `x [R, K]`, `y [R, N]`. Each costs `2RNK` FLOPs.
//!
//! Several weights are one: their rows lie one below the other, their columns of `y` side by side.

use std::ops::Range;

/// `y = residual + x·wᵀ`. Overwrites `y`; each element is one sum over k in ascending order.
///
/// # Panics
/// If a length disagrees.
#[track_caller]
pub(crate) fn forward(
    x: &[f64],
    w: &[f64],
    residual: Option<&[f64]>,
    y: &mut [f64],
    r: usize,
    n: usize,
    k: usize,
) {
    let n_of_residual = residual.map_or(r * n, <[f64]>::len);
    assert!(
        x.len() == r * k && w.len() == n * k && y.len() == r * n && n_of_residual == r * n,
        "linear: x {}, w {}, residual {n_of_residual}, y {}, want r {r}, n {n}, k {k}",
        x.len(),
        w.len(),
        y.len()
    );
    for i in 0..r {
        for j in 0..n {
            let sum: f64 = (0..k).map(|p| x[i * k + p] * w[j * k + p]).sum();
            y[i * n + j] = residual.map_or(0.0, |residual| residual[i * n + j]) + sum;
        }
    }
}

/// `dx = dy·w`. Overwrites `dx [R, K]`.
///
/// # Panics
/// If a length disagrees.
#[track_caller]
pub(crate) fn backward_input(dy: &[f64], w: &[f64], dx: &mut [f64], r: usize, n: usize, k: usize) {
    assert!(
        dy.len() == r * n && w.len() == n * k && dx.len() == r * k,
        "linear: dy {}, w {}, dx {}, want r {r}, n {n}, k {k}",
        dy.len(),
        w.len(),
        dx.len()
    );
    for i in 0..r {
        for p in 0..k {
            dx[i * k + p] = (0..n).map(|j| dy[i * n + j] * w[j * k + p]).sum();
        }
    }
}

/// `dw += dyᵀ·x` of one weight, whose columns of `dy [R, N]` are `columns`. Accumulates into `dw`.
///
/// # Panics
/// If a length disagrees.
#[track_caller]
pub(crate) fn backward_weight(
    dy: &[f64],
    x: &[f64],
    dw: &mut [f64],
    columns: Range<usize>,
    r: usize,
    n: usize,
    k: usize,
) {
    assert!(
        dy.len() == r * n && x.len() == r * k && dw.len() == columns.len() * k,
        "linear: dy {}, x {}, dw {}, want r {r}, n {n}, k {k}, columns {columns:?}",
        dy.len(),
        x.len(),
        dw.len()
    );
    for (j, column) in columns.enumerate() {
        for p in 0..k {
            dw[j * k + p] += (0..r).map(|i| dy[i * n + column] * x[i * k + p]).sum::<f64>();
        }
    }
}
