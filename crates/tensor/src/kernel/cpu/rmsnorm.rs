//! Root-mean-square normalisation; see the file of the same name in `reference/`.

use super::{
    pool::{Pool, Shared},
    reduce::lane_sum,
    round::Element,
};
use crate::isa::for_each_isa;

/// Rows per task, and per partial sum of `dgain`: fixed, so that the order of that sum is.
const ROWS: usize = 64;

#[track_caller]
pub(crate) fn forward<X: Element, Y: Element>(
    pool: &Pool,
    x: &[X],
    gain: &[f32],
    eps: f32,
    y: &mut [Y],
    rstd: &mut [f32],
) {
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

/// Narrow rows come in larger groups. A multiple of [`ROWS`].
pub(super) fn rows_per_task(c: usize) -> usize {
    ROWS * (256 / c).max(1)
}

for_each_isa! {
    /// Statistics of a row are f32, whatever it is stored as.
    pub(super) fn forward_rows<X: Element, Y: Element>(
        x: &[X],
        gain: &[f32],
        eps: f32,
        y: &mut [Y],
        rstd: &mut [f32],
    ) {
        let c = gain.len();
        for ((x, y), rstd) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)).zip(rstd) {
            let sum_sq = lane_sum(c, |i| x[i].load() * x[i].load());
            *rstd = (sum_sq / c as f32 + eps).sqrt().recip();
            for ((y, x), gain) in y.iter_mut().zip(x).zip(gain) {
                *y = Y::store(x.load() * *rstd * gain);
            }
        }
    }
}

#[track_caller]
pub(crate) fn backward<X: Element, Dy: Element, Dx: Element>(
    pool: &Pool,
    x: &[X],
    gain: &[f32],
    rstd: &[f32],
    dy: &[Dy],
    dx: &mut [Dx],
    dgain: &mut [f32],
) {
    let (r, c) = (rstd.len(), gain.len());
    assert!(
        0 < c && x.len() == r * c && dy.len() == r * c && dx.len() == r * c && dgain.len() == c,
        "rmsnorm: x {}, dy {}, dx {}, dgain {}, want [{r}, {c}]",
        x.len(),
        dy.len(),
        dx.len(),
        dgain.len()
    );
    let dx = Shared::new(dx);
    let task = |row: usize, n: usize, partial: &mut [f32]| {
        let (start, len) = (row * c, n * c);
        // SAFETY: chunks of rows do not overlap.
        let dx = unsafe { dx.part(start, len) };
        backward_rows(&x[start..][..len], gain, &rstd[row..][..n], &dy[start..][..len], dx, partial);
    };
    sum_over_tasks(pool, r, rows_per_task(c), c, task, |partial| add(dgain, partial));
}

/// Calls `task(row, n, partial)` for chunks of `0..r`, with `c` zeros each to add to, then `join(partial)` for each in
/// ascending order of rows.
pub(super) fn sum_over_tasks(
    pool: &Pool,
    r: usize,
    rows_per_task: usize,
    c: usize,
    task: impl Fn(usize, usize, &mut [f32]) + Sync,
    join: impl FnMut(&[f32]),
) {
    pool.with_scratch(r.div_ceil(rows_per_task) * c, |partials| {
        let shared = Shared::new(partials);
        pool.for_each_chunk(r, rows_per_task, |row, n| {
            // SAFETY: each chunk has a partial sum of its own.
            let partial = unsafe { shared.part(row / rows_per_task * c, c) };
            partial.fill(0.0);
            task(row, n, partial);
        });
        partials.chunks_exact(c).for_each(join);
    });
}

/// Adds a partial sum.
pub(super) fn add(sums: &mut [f32], partial: &[f32]) {
    for (sum, partial) in sums.iter_mut().zip(partial) {
        *sum += partial;
    }
}

for_each_isa! {
    fn backward_rows<X: Element, Dy: Element, Dx: Element>(
        x: &[X],
        gain: &[f32],
        rstd: &[f32],
        dy: &[Dy],
        dx: &mut [Dx],
        dgain: &mut [f32],
    ) {
        let c = gain.len();
        let dgain = &mut dgain[..c];
        let rows = x.chunks_exact(c).zip(dy.chunks_exact(c)).zip(dx.chunks_exact_mut(c));
        for (((x, dy), dx), &rstd) in rows.zip(rstd) {
            let mean = lane_sum(c, |i| dy[i].load() * gain[i] * (x[i].load() * rstd)) / c as f32;
            for i in 0..c {
                let (dy, normed) = (dy[i].load(), x[i].load() * rstd);
                dx[i] = Dx::store(dx[i].load() + rstd * (dy * gain[i] - normed * mean));
                dgain[i] += dy * normed;
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

    /// Worst seen: 0.3 of this, for dx. A missing mean term errs by 1e-2.
    const BOUND: f32 = 4e-6;
    /// Sums over up to 1,300 rows; worst seen: 0.4 of this. A lost row errs by about 1.
    const BOUND_DGAIN: f32 = 4e-5;

    /// y, rstd, dx and dgain of `x` in one dtype and `y`, `dy` in another; outputs in their own, or all f32.
    fn run(kernels: &dyn Kernels, r: usize, c: usize, [x, y]: [DType; 2], is_exact: bool) -> [Vec<f32>; 4] {
        let (x_in, gain, dy) = (normal(x, r * c, 1), normal(F32, c, 2), normal(y, r * c, 3));
        let out = |dtype| if is_exact { F32 } else { dtype };
        let mut rstd = Buffer::new(F32, &normal(F32, r, 6));
        let mut dgain = Buffer::new(F32, &normal(F32, c, 5));
        let mut dx = Buffer::new(out(x), &normal(x, r * c, 4));
        let mut y = Buffer::new(out(y), &normal(y, r * c, 7));
        kernels.rmsnorm_forward(x_in.slice(), gain.slice(), 1e-3, y.slice_mut(), rstd.slice_mut());
        // The same statistics for all, of many sizes.
        let saved = normal(F32, r, 8);
        kernels.rmsnorm_backward(
            x_in.slice(),
            gain.slice(),
            saved.slice(),
            dy.slice(),
            dx.slice_mut(),
            dgain.slice_mut(),
        );
        [y, rstd, dx, dgain].map(|buffer| buffer.checked())
    }

    #[test]
    fn rmsnorm_agrees_with_the_reference() {
        for dtypes @ [x, y] in [[F32, F32], [F32, Bf16], [Bf16, Bf16]] {
            for r in HOSTILE.into_iter().chain([1300]) {
                for c in [1, 2, 15, 16, 17, 33, 130, 300] {
                    let got = run(&Cpu::new(2), r, c, dtypes, false);
                    let want = run(&Reference, r, c, dtypes, true);
                    let outputs = [
                        ("y", y, BOUND),
                        ("rstd", F32, BOUND),
                        ("dx", x, BOUND),
                        ("dgain", F32, BOUND_DGAIN),
                    ];
                    for ((name, dtype, bound), (got, want)) in outputs.into_iter().zip(got.iter().zip(&want))
                    {
                        check_rounded(&format!("{name} [{r}, {c}]"), dtype, got, want, bound);
                    }
                    assert_eq!(got, run(&Cpu::new(1), r, c, dtypes, false), "threads change no bit");
                }
            }
        }
    }
}
