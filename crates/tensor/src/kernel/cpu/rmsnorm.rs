//! Root-mean-square normalisation; see the file of the same name in `reference/`.

use super::{
    pool::{Pool, Shared},
    reduce::lane_sum,
};
use crate::isa::for_each_isa;

/// Rows per task, and per partial sum of `dgain`: fixed, so that the order of that sum is.
const ROWS: usize = 64;

#[track_caller]
pub(crate) fn forward(pool: &Pool, x: &[f32], gain: &[f32], eps: f32, y: &mut [f32], rstd: &mut [f32]) {
    let (r, c) = (rstd.len(), gain.len());
    assert!(
        0 < c && x.len() == r * c && y.len() == r * c,
        "rmsnorm: x {}, y {}, want [{r}, {c}]",
        x.len(),
        y.len()
    );
    let (y, rstd) = (Shared::new(y), Shared::new(rstd));
    pool.for_each_chunk(r, rows_per_task(c), |row, n| {
        // SAFETY: chunks of rows do not overlap.
        let (y, rstd) = unsafe { (y.part(row * c, n * c), rstd.part(row, n)) };
        forward_rows(&x[row * c..][..n * c], gain, eps, y, rstd);
    });
}

/// Narrow rows (heads) come in larger groups. A multiple of [`ROWS`].
fn rows_per_task(c: usize) -> usize {
    ROWS * (256 / c).max(1)
}

for_each_isa! {
    fn forward_rows(x: &[f32], gain: &[f32], eps: f32, y: &mut [f32], rstd: &mut [f32]) {
        let c = gain.len();
        for ((x, y), rstd) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)).zip(rstd) {
            let sum_sq = lane_sum(c, |i| x[i] * x[i]);
            *rstd = (sum_sq / c as f32 + eps).sqrt().recip();
            for ((y, x), gain) in y.iter_mut().zip(x).zip(gain) {
                *y = x * *rstd * gain;
            }
        }
    }
}

#[track_caller]
pub(crate) fn backward(
    pool: &Pool,
    x: &[f32],
    gain: &[f32],
    rstd: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    dgain: &mut [f32],
) {
    let (r, c) = (rstd.len(), gain.len());
    assert!(
        x.len() == r * c && dy.len() == r * c && dx.len() == r * c && dgain.len() == c,
        "rmsnorm: x {}, dy {}, dx {}, dgain {}, want [{r}, {c}]",
        x.len(),
        dy.len(),
        dx.len(),
        dgain.len()
    );
    let rows = rows_per_task(c);
    let n_partial = r.div_ceil(rows);
    let dx = Shared::new(dx);
    pool.with_scratch(n_partial * c, |partial| {
        let shared = Shared::new(partial);
        pool.for_each_chunk(r, rows, |row, n| {
            let (start, len) = (row * c, n * c);
            // SAFETY: chunks of rows do not overlap; each has a partial sum of its own.
            let (dx, partial) = unsafe { (dx.part(start, len), shared.part(row / rows * c, c)) };
            partial.fill(0.0);
            backward_rows(&x[start..][..len], gain, &rstd[row..][..n], &dy[start..][..len], dx, partial);
        });
        for partial in partial.chunks_exact(c) {
            for (dgain, partial) in dgain.iter_mut().zip(partial) {
                *dgain += partial;
            }
        }
    });
}

for_each_isa! {
    fn backward_rows(x: &[f32], gain: &[f32], rstd: &[f32], dy: &[f32], dx: &mut [f32], dgain: &mut [f32]) {
        let c = gain.len();
        for (((x, dy), dx), rstd) in
            x.chunks_exact(c).zip(dy.chunks_exact(c)).zip(dx.chunks_exact_mut(c)).zip(rstd)
        {
            let rstd = *rstd;
            let mean = lane_sum(c, |i| dy[i] * gain[i] * (x[i] * rstd)) / c as f32;
            for i in 0..c {
                let normed = x[i] * rstd;
                dx[i] += rstd * (dy[i] * gain[i] - normed * mean);
                dgain[i] += dy[i] * normed;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Cpu, Kernels, Reference, Slice,
        testing::{Guarded, HOSTILE, check_close, normal_f32},
    };

    /// Worst seen: 0.4 of this, for `dgain` over 1,300 rows. A missing mean term errs by 1e-2.
    const BOUND: f32 = 4e-5;

    #[test]
    fn rmsnorm_agrees_with_the_reference() {
        for r in HOSTILE.into_iter().chain([1300]) {
            for c in [1, 2, 15, 16, 17, 33, 130, 300] {
                let (x, gain, dy) = (normal_f32(r * c, 1), normal_f32(c, 2), normal_f32(r * c, 3));
                let run = |kernels: &dyn Kernels| {
                    let mut y = Guarded::new(&vec![0.0; r * c]);
                    let mut rstd = Guarded::new(&vec![0.0; r]);
                    let mut dx = Guarded::new(&normal_f32(r * c, 4));
                    let mut dgain = Guarded::new(&normal_f32(c, 5));
                    let (x, gain, dy) = (Slice::F32(&x), Slice::F32(&gain), Slice::F32(&dy));
                    kernels.rmsnorm_forward(x, gain, 1e-3, y.slice_mut(), rstd.slice_mut());
                    let saved = rstd.checked().to_vec();
                    kernels.rmsnorm_backward(
                        x,
                        gain,
                        Slice::F32(&saved),
                        dy,
                        dx.slice_mut(),
                        dgain.slice_mut(),
                    );
                    [y, rstd, dx, dgain].map(|buffer| buffer.checked().to_vec())
                };
                let (got, want) = (run(&Cpu::new(2)), run(&Reference));
                for (name, (got, want)) in ["y", "rstd", "dx", "dgain"].iter().zip(got.iter().zip(&want)) {
                    check_close(&format!("{name} [{r}, {c}]"), got, want, BOUND);
                }
            }
        }
    }
}
