//! Rows put in the place of others.

/// `y[at[i]] = rows[i]`: `rows [N, C]`, `y [R, C]`, `at` ascends below R. Memory-bound.
///
/// # Panics
/// If a length disagrees, or `at` does not ascend below R.
#[track_caller]
pub(crate) fn place(rows: &[f64], at: &[u32], y: &mut [f64]) {
    let Some(c) = width(at, rows.len(), y.len()) else { return };
    for (row, &at) in rows.chunks_exact(c).zip(at) {
        y[at as usize * c..][..c].copy_from_slice(row);
    }
}

/// `drows[i] = dy[at[i]]`, overwritten; those rows of `dy` become 0, since what stood there was replaced.
///
/// # Panics
/// As [`place`].
#[track_caller]
pub(crate) fn take(at: &[u32], dy: &mut [f64], drows: &mut [f64]) {
    let Some(c) = width(at, drows.len(), dy.len()) else { return };
    for (row, &at) in drows.chunks_exact_mut(c).zip(at) {
        let dy = &mut dy[at as usize * c..][..c];
        row.copy_from_slice(dy);
        dy.fill(0.0);
    }
}

/// C, if there is any row to place, after checking every length and place.
#[track_caller]
pub(crate) fn width(at: &[u32], n_rows: usize, n_wide: usize) -> Option<usize> {
    let c = n_rows.checked_div(at.len()).unwrap_or(0);
    assert!(n_rows == c * at.len(), "rows: {n_rows} numbers for {} places", at.len());
    let last = *at.last().filter(|_| c > 0)? as usize;
    assert!(at.windows(2).all(|pair| pair[0] < pair[1]), "rows: places do not ascend");
    assert!(
        n_wide.is_multiple_of(c) && last < n_wide / c,
        "rows: place {last} of {n_wide} numbers, rows of {c}"
    );
    Some(c)
}
