//! Rows put in the place of others; see the file of the same name in `reference/`. Copies of a few rows: one thread.

use crate::kernel::reference::rows_width;

#[track_caller]
pub(crate) fn place(rows: &[f32], at: &[u32], y: &mut [f32]) {
    let Some(c) = rows_width(at, rows.len(), y.len()) else { return };
    for (row, &at) in rows.chunks_exact(c).zip(at) {
        y[at as usize * c..][..c].copy_from_slice(row);
    }
}

#[track_caller]
pub(crate) fn take(at: &[u32], dy: &mut [f32], drows: &mut [f32]) {
    let Some(c) = rows_width(at, drows.len(), dy.len()) else { return };
    for (row, &at) in drows.chunks_exact_mut(c).zip(at) {
        let dy = &mut dy[at as usize * c..][..c];
        row.copy_from_slice(dy);
        dy.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::super::round::testing::{Buffer, normal};
    use crate::{Cpu, DType::F32, Kernels, Reference};

    #[test]
    fn rows_agree_with_the_reference() {
        let cases: [(&[u32], usize, usize); 5] =
            [(&[], 3, 4), (&[0], 1, 1), (&[0, 2], 3, 5), (&[1, 2, 3], 9, 33), (&[6], 7, 16)];
        for (at, r, c) in cases {
            let run = |kernels: &dyn Kernels| {
                let rows = normal(F32, at.len() * c, 1);
                let mut y = Buffer::new(F32, &normal(F32, r * c, 2));
                let mut dy = Buffer::new(F32, &normal(F32, r * c, 3));
                let mut drows = Buffer::new(F32, &normal(F32, at.len() * c, 4));
                kernels.rows_place(rows.slice(), at, y.slice_mut());
                kernels.rows_take(at, dy.slice_mut(), drows.slice_mut());
                [y, dy, drows].map(|buffer| buffer.checked())
            };
            assert_eq!(run(&Cpu::new(2)), run(&Reference), "{at:?} [{r}, {c}]");
        }
    }

    #[test]
    #[should_panic(expected = "place 3 of 6 numbers, rows of 2")]
    fn a_place_past_the_end_is_refused() {
        super::place(&[0.0; 4], &[0, 3], &mut [0.0; 6]);
    }
}
