//! Sums over a whole array.

use super::Real;

/// `Σ x²` in f64, in ascending order.
pub(crate) fn sum_of_squares<E: Real>(x: &[E]) -> f64 {
    x.iter().map(|x| x.to_f64() * x.to_f64()).sum()
}
