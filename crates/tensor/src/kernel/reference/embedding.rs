//! Rows of a table, chosen by id.

use super::{Real, accumulate_all};

/// `y[r] = table[ids[r]]`. `ids [R]`, `table [V, C]`, `y [R, C]` with `C = y.len()/R`; overwrites `y`.
///
/// # Panics
/// If an id is not below V.
#[track_caller]
pub(crate) fn forward<E: Real>(ids: &[u32], table: &[E], y: &mut [E]) {
    let Some(c) = y.len().checked_div(ids.len()) else { return };
    for (y, &id) in y.chunks_exact_mut(c.max(1)).zip(ids) {
        y.copy_from_slice(&table[id as usize * c..][..c]);
    }
}

/// `dtable[ids[r]] += dy[r]`, in ascending order of r. Shapes as in [`forward`]; accumulates into `dtable`.
///
/// # Panics
/// If an id is not below V.
#[track_caller]
pub(crate) fn backward<E: Real>(ids: &[u32], dy: &[E], dtable: &mut [E]) {
    let Some(c) = dy.len().checked_div(ids.len()) else { return };
    accumulate_all(dtable, |dtable| {
        for (dy, &id) in dy.chunks_exact(c.max(1)).zip(ids) {
            for (dtable, dy) in dtable[id as usize * c..][..c].iter_mut().zip(dy) {
                *dtable += dy.to_f64();
            }
        }
    });
}
