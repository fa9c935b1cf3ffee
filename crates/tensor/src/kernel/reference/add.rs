//! Sums of two arrays.

use super::{Real, accumulate};

/// `y = a + b`. All `[n]`; overwrites `y`. Memory-bound: reads 2n, writes n elements.
///
/// # Panics
/// If a length differs.
#[track_caller]
pub(crate) fn forward<E: Real>(a: &[E], b: &[E], y: &mut [E]) {
    assert!(a.len() == y.len() && b.len() == y.len(), "add: a {}, b {}, y {}", a.len(), b.len(), y.len());
    for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
        *y = E::from_f64(a.to_f64() + b.to_f64());
    }
}

/// `dx += scale·dy`. Both `[n]`; accumulates into `dx`.
///
/// # Panics
/// If a length differs.
#[track_caller]
pub(crate) fn scaled<E: Real>(dy: &[E], scale: f64, dx: &mut [E]) {
    assert!(dy.len() == dx.len(), "add_scaled: dy {}, dx {}", dy.len(), dx.len());
    for (dx, dy) in dx.iter_mut().zip(dy) {
        accumulate(dx, scale * dy.to_f64());
    }
}
