//! Rows of a table; see the file of the same name in `reference/`.

use super::pool::{Pool, Shared};

#[track_caller]
pub(crate) fn forward(ids: &[u32], table: &[f32], y: &mut [f32]) {
    let Some(c) = y.len().checked_div(ids.len()) else { return };
    for (y, &id) in y.chunks_exact_mut(c.max(1)).zip(ids) {
        y.copy_from_slice(&table[id as usize * c..][..c]);
    }
}

/// Each task owns a range of columns and passes over all rows, so that no two add to one element.
#[track_caller]
pub(crate) fn backward(pool: &Pool, ids: &[u32], dy: &[f32], dtable: &mut [f32]) {
    let Some(c) = dy.len().checked_div(ids.len()) else { return };
    let table_len = dtable.len();
    let dtable = Shared::new(dtable);
    pool.for_each_chunk(c, 64, |col, width| {
        for (r, &id) in ids.iter().enumerate() {
            let at = id as usize * c;
            assert!(at + c <= table_len, "id {id} is not in a table of {}", table_len / c);
            // SAFETY: tasks own different columns.
            let row = unsafe { dtable.part(at + col, width) };
            for (sum, dy) in row.iter_mut().zip(&dy[r * c + col..][..width]) {
                *sum += dy;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::{
        Cpu, Kernels, Reference, Rng, Slice,
        testing::{Guarded, check_close, normal_f32},
    };

    #[test]
    fn embedding_agrees_with_the_reference() {
        for (r, v, c) in [(0, 3, 5), (1, 1, 1), (7, 5, 63), (40, 9, 64), (33, 4, 131)] {
            let mut rng = Rng::new(0, 0);
            let ids: Vec<u32> = (0..r).map(|_| rng.below(v as u64) as u32).collect();
            let (table, dy) = (normal_f32(v * c, 1), normal_f32(r * c, 2));
            let run = |kernels: &dyn Kernels| {
                let mut y = Guarded::new(&vec![0.0; r * c]);
                let mut dtable = Guarded::new(&normal_f32(v * c, 3));
                kernels.embedding_forward(&ids, Slice::F32(&table), y.slice_mut());
                kernels.embedding_backward(&ids, Slice::F32(&dy), dtable.slice_mut());
                [y, dtable].map(|buffer| buffer.checked().to_vec())
            };
            let ([y, dtable], [y_ref, dtable_ref]) = (run(&Cpu::new(2)), run(&Reference));
            assert_eq!(y, y_ref);
            // About ten additions; worst seen: 0.3 of this bound.
            check_close("dtable", &dtable, &dtable_ref, 16.0 * f32::EPSILON);
        }
    }
}
