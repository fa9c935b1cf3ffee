//! A row added to every row.

/// `y[r, :] += [b₀; b₁; …]`: the biases lie side by side in the columns of `y [R, ΣN]`. Memory-bound: reads and writes
/// every element once.
///
/// # Panics
/// If `y` is not whole rows.
#[track_caller]
pub(crate) fn forward(biases: &[&[f64]], y: &mut [f64]) {
    let row: Vec<f64> = biases.concat();
    assert!(
        !row.is_empty() && y.len().is_multiple_of(row.len()),
        "bias: y {}, rows of {}",
        y.len(),
        row.len()
    );
    for y in y.chunks_exact_mut(row.len()) {
        for (y, b) in y.iter_mut().zip(&row) {
            *y += b;
        }
    }
}

/// `dbᵢ += Σᵣ dy[r, columns of i]`.
///
/// # Panics
/// If `dy` is not whole rows.
#[track_caller]
pub(crate) fn backward(dy: &[f64], dbiases: &mut [&mut [f64]]) {
    let n: usize = dbiases.iter().map(|db| db.len()).sum();
    assert!(n > 0 && dy.len().is_multiple_of(n), "bias: dy {}, rows of {n}", dy.len());
    for dy in dy.chunks_exact(n) {
        let mut dy = dy;
        for db in &mut *dbiases {
            let (own, others) = dy.split_at(db.len());
            for (db, dy) in db.iter_mut().zip(own) {
                *db += dy;
            }
            dy = others;
        }
    }
}
