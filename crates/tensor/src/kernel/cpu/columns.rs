//! Some columns of a matrix; see the file of the same name in `reference/`.

use super::{
    pool::{Pool, Shared},
    rmsnorm::rows_per_task,
    round::Element,
};
use crate::{isa::for_each_isa, kernel::Columns};

#[track_caller]
pub(crate) fn add<D: Element, Y: Element>(pool: &Pool, d: &[D], scale: f32, y: &mut [Y], columns: Columns) {
    columns.check(d.len(), y.len());
    let Columns { n, width, .. } = columns;
    let (r, y) = (y.len() / width, Shared::new(y));
    pool.for_each_chunk(r, rows_per_task(n), |first, n_rows| {
        let d = &d[first * n..][..n_rows * n];
        // SAFETY: chunks of rows do not overlap.
        add_rows(d, scale, unsafe { y.part(first * width, n_rows * width) }, columns);
    });
}

#[track_caller]
pub(crate) fn take<Y: Element, D: Element>(pool: &Pool, dy: &[Y], scale: f32, d: &mut [D], columns: Columns) {
    columns.check(d.len(), dy.len());
    let Columns { n, width, .. } = columns;
    let (r, d) = (dy.len() / width, Shared::new(d));
    pool.for_each_chunk(r, rows_per_task(n), |first, n_rows| {
        let dy = &dy[first * width..][..n_rows * width];
        // SAFETY: chunks of rows do not overlap.
        take_rows(dy, scale, unsafe { d.part(first * n, n_rows * n) }, columns);
    });
}

for_each_isa! {
    fn add_rows<D: Element, Y: Element>(d: &[D], scale: f32, y: &mut [Y], columns: Columns) {
        let Columns { at, n, width } = columns;
        for (d, y) in d.chunks_exact(n).zip(y.chunks_exact_mut(width)) {
            for (y, d) in y[at..][..n].iter_mut().zip(d) {
                *y = Y::store(d.load().mul_add(scale, y.load()));
            }
        }
    }
}

for_each_isa! {
    fn take_rows<Y: Element, D: Element>(dy: &[Y], scale: f32, d: &mut [D], columns: Columns) {
        let Columns { at, n, width } = columns;
        for (d, dy) in d.chunks_exact_mut(n).zip(dy.chunks_exact(width)) {
            for (d, dy) in d.iter_mut().zip(&dy[at..][..n]) {
                *d = D::store(scale * dy.load());
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
        kernel::Columns,
    };

    /// `y` with columns added, and columns taken out of it.
    fn run(kernels: &dyn Kernels, r: usize, columns: Columns, dtype: DType, is_exact: bool) -> [Vec<f32>; 2] {
        let (d, dy) = (normal(dtype, r * columns.n, 1), normal(dtype, r * columns.width, 2));
        let out = if is_exact { F32 } else { dtype };
        let mut y = Buffer::new(out, &normal(dtype, r * columns.width, 3));
        let mut taken = Buffer::new(out, &normal(dtype, r * columns.n, 4));
        kernels.columns_add(d.slice(), 0.3, y.slice_mut(), columns);
        kernels.columns_take(dy.slice(), 0.3, taken.slice_mut(), columns);
        [y.checked(), taken.checked()]
    }

    #[test]
    fn columns_agree_with_the_reference() {
        for dtype in [F32, Bf16] {
            for r in [0, 1, 7, 1300] {
                for (at, n, width) in [(0, 1, 1), (0, 5, 5), (3, 1, 9), (16, 17, 50)] {
                    let columns = Columns { at, n, width };
                    let (got, want) = (
                        run(&Cpu::new(2), r, columns, dtype, false),
                        run(&Reference, r, columns, dtype, true),
                    );
                    for (got, want) in got.iter().zip(&want) {
                        check_rounded("columns", dtype, got, want, 2.0 * f32::EPSILON);
                    }
                    assert_eq!(got, run(&Cpu::new(1), r, columns, dtype, false), "threads change no bit");
                }
            }
        }
    }
}
