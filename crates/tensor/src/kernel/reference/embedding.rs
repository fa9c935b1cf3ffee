//! Rows of a table, chosen by id.

/// `y[r] = table[ids[r]]`. `ids [R]`, `table [V, C]`, `y [R, C]` with `C = y.len()/R`; overwrites `y`.
///
/// # Panics
/// If an id is not below V.
#[track_caller]
pub(crate) fn forward(ids: &[u32], table: &[f64], y: &mut [f64]) {
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
pub(crate) fn backward(ids: &[u32], dy: &[f64], dtable: &mut [f64]) {
    let Some(c) = dy.len().checked_div(ids.len()) else { return };
    for (dy, &id) in dy.chunks_exact(c.max(1)).zip(ids) {
        for (dtable, dy) in dtable[id as usize * c..][..c].iter_mut().zip(dy) {
            *dtable += dy;
        }
    }
}
