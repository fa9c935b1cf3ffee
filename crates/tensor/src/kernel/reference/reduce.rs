//! Sums over a whole array.

/// `Σ x²` in f64, in ascending order.
pub(crate) fn sum_of_squares(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum()
}
