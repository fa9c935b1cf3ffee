//! Rows of a table; see the file of the same name in `reference/`.

use super::pool::{CHUNK, Pool, Shared};
use crate::isa::for_each_isa;

#[track_caller]
pub(crate) fn forward(pool: &Pool, ids: &[u32], table: &[f32], y: &mut [f32]) {
    let Some(c) = width(ids, y.len(), table.len()) else { return };
    let y = Shared::new(y);
    pool.for_each_chunk(ids.len(), CHUNK.div_ceil(c), |row, n| {
        // SAFETY: chunks of rows do not overlap.
        let y = unsafe { y.part(row * c, n * c) };
        for (y, &id) in y.chunks_exact_mut(c).zip(&ids[row..][..n]) {
            y.copy_from_slice(&table[id as usize * c..][..c]);
        }
    });
}

/// C, if there is anything to do, after checking every length and id.
#[track_caller]
fn width(ids: &[u32], len: usize, table: usize) -> Option<usize> {
    let c = len.checked_div(ids.len()).filter(|c| *c > 0)?;
    assert!(
        len == ids.len() * c && table.is_multiple_of(c),
        "embedding: {len} numbers for {} ids, table of {table}",
        ids.len()
    );
    let (v, largest) = (table / c, ids.iter().max()?);
    assert!((*largest as usize) < v, "id {largest} is not in a table of {v}");
    Some(c)
}

/// Each task owns a share of the vocabulary and passes over all ids, so that no two add to one row, and each row is
/// added to in ascending order of r.
#[track_caller]
pub(crate) fn backward(pool: &Pool, ids: &[u32], dy: &[f32], dtable: &mut [f32]) {
    let Some(c) = width(ids, dy.len(), dtable.len()) else { return };
    let n_tasks = match pool.n_threads() {
        1 => 1,
        n => (4 * n).min(dy.len().div_ceil(CHUNK)),
    };
    let dtable = Shared::new(dtable);
    pool.for_each(n_tasks, |task| {
        for (dy, &id) in dy.chunks_exact(c).zip(ids) {
            if owner(id, n_tasks) == task {
                // SAFETY: an id has one owner.
                add(dy, unsafe { dtable.part(id as usize * c, c) });
            }
        }
    });
}

/// Which task owns an id: multiplied by 2³²/φ, near ids fall far apart, so that frequent ones are shared out.
fn owner(id: u32, n_tasks: usize) -> usize {
    let spread = id.wrapping_mul(0x9e37_79b9);
    ((u64::from(spread) * n_tasks as u64) >> 32) as usize
}

for_each_isa! {
    fn add(dy: &[f32], sums: &mut [f32]) {
        for (sum, dy) in sums.iter_mut().zip(dy) {
            *sum += dy;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::round::testing::{Buffer, normal};
    use base::Rng;

    use crate::{Cpu, DType::F32, Kernels, Reference, testing::check_close};

    /// y and dtable.
    fn run(kernels: &dyn Kernels, r: usize, v: usize, c: usize) -> [Vec<f32>; 2] {
        let mut rng = Rng::new(0, 0);
        let ids: Vec<u32> = (0..r).map(|_| rng.below(v as u64) as u32).collect();
        let (table, dy) = (normal(F32, v * c, 1), normal(F32, r * c, 2));
        let mut y = Buffer::new(F32, &normal(F32, r * c, 3));
        let mut dtable = Buffer::new(F32, &normal(F32, v * c, 4));
        kernels.embedding_forward(&ids, table.slice(), y.slice_mut());
        kernels.embedding_backward(&ids, dy.slice(), dtable.slice_mut());
        [y, dtable].map(|buffer| buffer.checked())
    }

    #[test]
    fn embedding_agrees_with_the_reference() {
        // The last two are cut in several tasks.
        for (r, v, c) in
            [(0, 3, 5), (1, 1, 1), (7, 5, 63), (40, 9, 64), (33, 4, 131), (900, 90, 97), (70, 1, 700)]
        {
            let [y, dtable] = run(&Cpu::new(3), r, v, c);
            let [y_ref, dtable_ref] = run(&Reference, r, v, c);
            assert_eq!(y, y_ref);
            // Up to seventy additions; worst seen: 0.4 of this bound. A lost one errs by about 1.
            check_close("dtable", &dtable, &dtable_ref, 8e-6);
            assert_eq!([y, dtable], run(&Cpu::new(1), r, v, c), "threads change no bit");
        }
    }

    #[test]
    #[should_panic(expected = "id 3 is not in a table of 3")]
    fn an_id_beyond_the_table_is_refused() {
        let mut dtable = vec![0.0; 6];
        super::backward(&super::Pool::new(1), &[0, 3], &[0.0; 4], &mut dtable);
    }
}
