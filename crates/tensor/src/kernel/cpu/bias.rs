//! A row added to every row; see the file of the same name in `reference/`.

use super::{
    pool::{Pool, Shared},
    rmsnorm::{add, rows_per_task, sum_over_tasks},
    round::Element,
};
use crate::isa::for_each_isa;

#[track_caller]
pub(crate) fn forward<Y: Element>(pool: &Pool, biases: &[&[f32]], y: &mut [Y]) {
    let row: Vec<f32> = biases.concat();
    let n = row.len();
    assert!(n > 0 && y.len().is_multiple_of(n), "bias: y {}, rows of {n}", y.len());
    let (r, y) = (y.len() / n, Shared::new(y));
    pool.for_each_chunk(r, rows_per_task(n), |first, n_rows| {
        // SAFETY: chunks of rows do not overlap.
        forward_rows(&row, unsafe { y.part(first * n, n_rows * n) });
    });
}

#[track_caller]
pub(crate) fn backward<Dy: Element>(pool: &Pool, dy: &[Dy], dbiases: &mut [&mut [f32]]) {
    let n: usize = dbiases.iter().map(|db| db.len()).sum();
    assert!(n > 0 && dy.len().is_multiple_of(n), "bias: dy {}, rows of {n}", dy.len());
    let r = dy.len() / n;
    let task = |row: usize, n_rows: usize, partial: &mut [f32]| {
        backward_rows(&dy[row * n..][..n_rows * n], partial);
    };
    sum_over_tasks(pool, r, rows_per_task(n), n, task, |partial| {
        let mut partial = partial;
        for db in &mut *dbiases {
            let (own, others) = partial.split_at(db.len());
            add(db, own);
            partial = others;
        }
    });
}

for_each_isa! {
    fn forward_rows<Y: Element>(row: &[f32], y: &mut [Y]) {
        for y in y.chunks_exact_mut(row.len()) {
            for (y, b) in y.iter_mut().zip(row) {
                *y = Y::store(y.load() + b);
            }
        }
    }
}

for_each_isa! {
    fn backward_rows<Dy: Element>(dy: &[Dy], sums: &mut [f32]) {
        for dy in dy.chunks_exact(sums.len()) {
            for (sum, dy) in sums.iter_mut().zip(dy) {
                *sum += dy.load();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::round::testing::{Buffer, check_rounded, normal};
    use crate::{
        Cpu,
        DType::{self, Bf16, F32},
        Kernels, Reference,
        testing::HOSTILE,
    };

    /// y and the gradients of two biases, with `y` in `dtype` or exact.
    fn run(kernels: &dyn Kernels, r: usize, ns: [usize; 2], dtype: DType, is_exact: bool) -> [Vec<f32>; 3] {
        let n = ns[0] + ns[1];
        let dy = normal(dtype, r * n, 3);
        let biases = [normal(F32, ns[0], 1), normal(F32, ns[1], 2)];
        let mut y = Buffer::new(if is_exact { F32 } else { dtype }, &normal(dtype, r * n, 4));
        let mut dbiases =
            [Buffer::new(F32, &normal(F32, ns[0], 5)), Buffer::new(F32, &normal(F32, ns[1], 6))];
        kernels.bias_forward(&[biases[0].slice(), biases[1].slice()], y.slice_mut());
        let [first, second] = &mut dbiases;
        kernels.bias_backward(dy.slice(), &mut [first.slice_mut(), second.slice_mut()]);
        let [first, second] = dbiases;
        [y, first, second].map(|buffer| buffer.checked())
    }

    #[test]
    fn bias_agrees_with_the_reference() {
        for dtype in [F32, Bf16] {
            for r in HOSTILE.into_iter().chain([1300]) {
                for ns in [[1, 1], [15, 2], [16, 33], [130, 300]] {
                    let got = run(&Cpu::new(2), r, ns, dtype, false);
                    let want = run(&Reference, r, ns, dtype, true);
                    check_rounded("y", dtype, &got[0], &want[0], 2.0 * f32::EPSILON);
                    for i in [1, 2] {
                        // Sums over up to 1,300 rows of size 1; a lost row errs by about 1.
                        check_rounded("db", F32, &got[i], &want[i], 4e-5);
                    }
                    assert_eq!(got, run(&Cpu::new(1), r, ns, dtype, false), "threads change no bit");
                }
            }
        }
    }
}
