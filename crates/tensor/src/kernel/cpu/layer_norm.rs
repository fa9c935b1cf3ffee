//! Layer normalisation; see the file of the same name in `reference/`.

use super::{
    pool::{Pool, Shared},
    reduce::lane_sum,
    rmsnorm::{add, rows_per_task, sum_over_tasks},
    round::Element,
};
use crate::isa::for_each_isa;

/// What normed rows are multiplied with and what is added to them.
#[derive(Clone, Copy)]
pub(crate) struct Affine<'a> {
    pub(crate) gain: &'a [f32],
    pub(crate) bias: &'a [f32],
}

#[track_caller]
pub(crate) fn forward<Y: Element>(
    pool: &Pool,
    x: &[f32],
    affine: Affine,
    eps: f32,
    y: &mut [Y],
    stats: &mut [f32],
) {
    let (r, c) = (stats.len() / 2, affine.gain.len());
    assert!(
        0 < c && affine.bias.len() == c && x.len() == r * c && y.len() == r * c && stats.len() == 2 * r,
        "layer_norm: x {}, y {}, bias {}, want [{r}, {c}]",
        x.len(),
        y.len(),
        affine.bias.len()
    );
    let (y, stats) = (Shared::new(y), Shared::new(stats));
    pool.for_each_chunk(r, rows_per_task(c), |row, n| {
        // SAFETY: chunks of rows do not overlap.
        let (y, stats) = unsafe { (y.part(row * c, n * c), stats.part(2 * row, 2 * n)) };
        forward_rows(&x[row * c..][..n * c], affine.gain, affine.bias, eps, y, stats);
    });
}

for_each_isa! {
    fn forward_rows<Y: Element>(
        x: &[f32],
        gain: &[f32],
        bias: &[f32],
        eps: f32,
        y: &mut [Y],
        stats: &mut [f32],
    ) {
        let c = gain.len();
        let bias = &bias[..c];
        for ((x, y), stats) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)).zip(stats.chunks_exact_mut(2)) {
            let mean = lane_sum(c, |i| x[i]) / c as f32;
            let variance = lane_sum(c, |i| (x[i] - mean) * (x[i] - mean)) / c as f32;
            let rstd = (variance + eps).sqrt().recip();
            stats.copy_from_slice(&[mean, rstd]);
            for i in 0..c {
                y[i] = Y::store((x[i] - mean) * rstd * gain[i] + bias[i]);
            }
        }
    }
}

#[allow(clippy::too_many_arguments, reason = "sizes and buffers are arguments: nothing is hidden")]
#[track_caller]
pub(crate) fn backward<Dy: Element>(
    pool: &Pool,
    x: &[f32],
    gain: &[f32],
    stats: &[f32],
    dy: &[Dy],
    dx: &mut [f32],
    dgain: &mut [f32],
    dbias: &mut [f32],
) {
    let (r, c) = (stats.len() / 2, gain.len());
    assert!(
        0 < c
            && x.len() == r * c
            && dy.len() == r * c
            && dx.len() == r * c
            && dgain.len() == c
            && dbias.len() == c,
        "layer_norm: x {}, dy {}, dx {}, dgain {}, dbias {}, want [{r}, {c}]",
        x.len(),
        dy.len(),
        dx.len(),
        dgain.len(),
        dbias.len()
    );
    let dx = Shared::new(dx);
    let task = |row: usize, n: usize, partial: &mut [f32]| {
        let (start, len) = (row * c, n * c);
        // SAFETY: chunks of rows do not overlap.
        let dx = unsafe { dx.part(start, len) };
        let (dgain, dbias) = partial.split_at_mut(c);
        let (x, dy) = (&x[start..][..len], &dy[start..][..len]);
        backward_rows(x, gain, &stats[2 * row..][..2 * n], dy, dx, dgain, dbias);
    };
    sum_over_tasks(pool, r, rows_per_task(c), 2 * c, task, |partial| {
        add(dgain, &partial[..c]);
        add(dbias, &partial[c..]);
    });
}

for_each_isa! {
    fn backward_rows<Dy: Element>(
        x: &[f32],
        gain: &[f32],
        stats: &[f32],
        dy: &[Dy],
        dx: &mut [f32],
        dgain: &mut [f32],
        dbias: &mut [f32],
    ) {
        let c = gain.len();
        let (dgain, dbias) = (&mut dgain[..c], &mut dbias[..c]);
        let rows = x.chunks_exact(c).zip(dy.chunks_exact(c)).zip(dx.chunks_exact_mut(c));
        for (((x, dy), dx), stats) in rows.zip(stats.chunks_exact(2)) {
            let (mean, rstd) = (stats[0], stats[1]);
            let mean_g = lane_sum(c, |i| dy[i].load() * gain[i]) / c as f32;
            let mean_normed = lane_sum(c, |i| dy[i].load() * gain[i] * ((x[i] - mean) * rstd)) / c as f32;
            for i in 0..c {
                let (dy, normed) = (dy[i].load(), (x[i] - mean) * rstd);
                dx[i] += rstd * (dy * gain[i] - mean_g - normed * mean_normed);
                dgain[i] += dy * normed;
                dbias[i] += dy;
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
        Kernels, Reference, Tensor,
        testing::{HOSTILE, normal_f32},
    };

    /// A missing mean term errs by 1e-2.
    const BOUND: f32 = 8e-6;
    /// Sums over up to 1,300 rows. A lost row errs by about 1.
    const BOUND_SUMS: f32 = 4e-5;

    /// y, stats, dx, dgain and dbias, with `y` and `dy` in a dtype; outputs in their own, or all f32.
    fn run(kernels: &dyn Kernels, r: usize, c: usize, dtype: DType, is_exact: bool) -> [Vec<f32>; 5] {
        let (x, gain, bias) = (normal(F32, r * c, 1), normal(F32, c, 2), normal(F32, c, 3));
        let dy = normal(dtype, r * c, 4);
        let mut y = Buffer::new(if is_exact { F32 } else { dtype }, &normal(dtype, r * c, 5));
        let mut stats = Buffer::new(F32, &normal(F32, 2 * r, 6));
        let mut dx = Buffer::new(F32, &normal(F32, r * c, 7));
        let [mut dgain, mut dbias] = [8, 9].map(|stream| Buffer::new(F32, &normal(F32, c, stream)));
        let (gains, biases) = (gain.slice(), bias.slice());
        kernels.layer_norm_forward(x.slice(), gains, biases, 1e-2, y.slice_mut(), stats.slice_mut());
        // The same statistics for all.
        let saved = Tensor::from_f32(&[2 * r], normal_f32(2 * r, 10));
        kernels.layer_norm_backward(
            x.slice(),
            gain.slice(),
            saved.slice(),
            dy.slice(),
            dx.slice_mut(),
            dgain.slice_mut(),
            dbias.slice_mut(),
        );
        [y, stats, dx, dgain, dbias].map(|buffer| buffer.checked())
    }

    #[test]
    fn layer_norm_agrees_with_the_reference() {
        for dtype in [F32, Bf16] {
            for r in HOSTILE.into_iter().chain([1300]) {
                for c in [2, 15, 16, 17, 33, 130, 300] {
                    let got = run(&Cpu::new(2), r, c, dtype, false);
                    let want = run(&Reference, r, c, dtype, true);
                    let outputs = [
                        ("y", dtype, BOUND),
                        ("stats", F32, BOUND),
                        ("dx", F32, BOUND),
                        ("dgain", F32, BOUND_SUMS),
                        ("dbias", F32, BOUND_SUMS),
                    ];
                    for ((name, dtype, bound), (got, want)) in outputs.into_iter().zip(got.iter().zip(&want))
                    {
                        check_rounded(&format!("{name} [{r}, {c}]"), dtype, got, want, bound);
                    }
                    assert_eq!(got, run(&Cpu::new(1), r, c, dtype, false), "threads change no bit");
                }
            }
        }
    }
}
