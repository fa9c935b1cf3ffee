//! The logarithm of a softmax's denominator.

/// `y[r] = ln Σᵢ exp(x[r, i])` of `x [R, n]`.
///
/// # Panics
/// If a length disagrees.
#[track_caller]
pub(crate) fn forward(x: &[f64], y: &mut [f64], n: usize) {
    assert!(x.len() == y.len() * n, "log-sum-exp: x {}, y {}, n {n}", x.len(), y.len());
    for (y, x) in y.iter_mut().zip(x.chunks_exact(n)) {
        let max = x.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
        *y = max + x.iter().map(|x| (x - max).exp()).sum::<f64>().ln();
    }
}
