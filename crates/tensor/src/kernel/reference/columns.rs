//! Some columns of a matrix, added to or taken out.

use crate::kernel::Columns;

/// `y[:, at..at+N] += scale·d`: `d [R, N]`, `y [R, width]`.
///
/// # Panics
/// If a length disagrees.
#[track_caller]
pub(crate) fn add(d: &[f64], scale: f64, y: &mut [f64], columns: Columns) {
    columns.check(d.len(), y.len());
    let Columns { at, n, width } = columns;
    for (d, y) in d.chunks_exact(n).zip(y.chunks_exact_mut(width)) {
        for (y, d) in y[at..][..n].iter_mut().zip(d) {
            *y += scale * d;
        }
    }
}

/// `d = scale·dy[:, at..at+N]`: `dy [R, width]`, `d [R, N]`.
///
/// # Panics
/// If a length disagrees.
#[track_caller]
pub(crate) fn take(dy: &[f64], scale: f64, d: &mut [f64], columns: Columns) {
    columns.check(d.len(), dy.len());
    let Columns { at, n, width } = columns;
    for (d, dy) in d.chunks_exact_mut(n).zip(dy.chunks_exact(width)) {
        for (d, dy) in d.iter_mut().zip(&dy[at..][..n]) {
            *d = scale * dy;
        }
    }
}
