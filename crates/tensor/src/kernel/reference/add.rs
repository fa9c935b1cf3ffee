//! Sums of two arrays.

/// `dx += scale·dy`. Both `[n]`; accumulates into `dx`. Memory-bound: reads 2n and writes n elements.
///
/// # Panics
/// If a length differs.
#[track_caller]
pub(crate) fn scaled(dy: &[f64], scale: f64, dx: &mut [f64]) {
    assert!(dy.len() == dx.len(), "add_scaled: dy {}, dx {}", dy.len(), dx.len());
    for (dx, dy) in dx.iter_mut().zip(dy) {
        *dx += scale * dy;
    }
}
