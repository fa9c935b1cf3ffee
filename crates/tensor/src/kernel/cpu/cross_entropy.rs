//! Head and cross-entropy; see the file of the same name in `reference/`.
//!
//! Rows pass in chunks: their logits are one product, become gradients of logits in place, and two more products
//! add them to `dx` and `dw`.

use super::{
    exp::exp,
    gemm::{self, Strided, Target},
    linear,
    pool::{Pool, Shared},
    reduce::lane_sum,
};
use crate::{IGNORE_TARGET, isa::for_each_isa, kernel::Weight};

/// Logits held at a time: 8 MiB.
const MAX_LOGITS: usize = 2 << 20;

#[track_caller]
#[allow(clippy::too_many_arguments, reason = "sizes and buffers are arguments")]
pub(crate) fn forward(
    pool: &Pool,
    x: &[f32],
    w: Weight,
    targets: &[u32],
    losses: &mut [f32],
    mut grads: Option<(f32, &mut [f32], &mut [f32])>,
    v: usize,
    c: usize,
) {
    let r = targets.len();
    assert!(
        x.len() == r * c && w.values.len() == v * c && losses.len() == r,
        "cross_entropy: x {}, w {}, losses {}, want r {r}, v {v}, c {c}",
        x.len(),
        w.values.len(),
        losses.len()
    );
    assert!(
        targets.iter().all(|&target| target == IGNORE_TARGET || (target as usize) < v),
        "cross_entropy: a target is not below {v}"
    );
    let chunk = (MAX_LOGITS / v.max(1)).clamp(16, 1024).min(r.max(1));
    // What `dx` multiplies with: w as it is, where the forward multiplies with its transpose.
    let direct_len = if grads.is_some() { gemm::packed_len(v, c) } else { 0 };
    linear::with_packed(pool, w, v, c, |packed| {
        pool.with_scratch(chunk * v + direct_len + gemm::packed_len(chunk, c), |scratch| {
            let (logits, rest) = scratch.split_at_mut(chunk * v);
            let (direct, packed_x) = rest.split_at_mut(direct_len);
            if grads.is_some() {
                gemm::pack(pool, Strided::rows(w.values.f32(), c), v, c, direct);
            }
            for start in (0..r).step_by(chunk) {
                let rows = chunk.min(r - start);
                let x = &x[start * c..][..rows * c];
                let logits = &mut logits[..rows * v];
                let target = Target { values: &mut *logits, row_stride: v, accumulate: false };
                gemm::gemm(pool, rows, v, c, Strided::rows(x, c), packed, target);
                let scale = grads.as_ref().map(|(scale, ..)| *scale);
                softmax(pool, logits, &targets[start..][..rows], &mut losses[start..][..rows], scale, v);
                if let Some((_, dx, dw)) = &mut grads {
                    let dx = &mut dx[start * c..][..rows * c];
                    let target = Target { values: dx, row_stride: c, accumulate: true };
                    gemm::gemm(pool, rows, c, v, Strided::rows(logits, v), direct, target);
                    let packed_x = &mut packed_x[..gemm::packed_len(rows, c)];
                    gemm::pack(pool, Strided::rows(x, c), rows, c, packed_x);
                    let target = Target { values: dw, row_stride: c, accumulate: true };
                    gemm::gemm(pool, v, c, rows, Strided::transposed(logits, v), packed_x, target);
                }
            }
        });
    });
}

/// Fills in the losses of some rows; with `scale`, logits become their gradients.
fn softmax(
    pool: &Pool,
    logits: &mut [f32],
    targets: &[u32],
    losses: &mut [f32],
    scale: Option<f32>,
    v: usize,
) {
    let (logits, losses) = (Shared::new(logits), Shared::new(losses));
    pool.for_each_chunk(targets.len(), 16, |first, n| {
        for (row, &target) in targets.iter().enumerate().skip(first).take(n) {
            // SAFETY: rows do not overlap.
            let (logits, loss) = unsafe { (logits.part(row * v, v), losses.part(row, 1)) };
            loss[0] = match (target, scale) {
                (IGNORE_TARGET, None) => 0.0,
                (IGNORE_TARGET, Some(_)) => {
                    logits.fill(0.0);
                    0.0
                }
                (target, None) => loss_of_row(logits, target as usize),
                (target, Some(scale)) => loss_and_gradient_of_row(logits, target as usize, scale),
            };
        }
    });
}

for_each_isa! {
    fn loss_of_row(logits: &mut [f32], target: usize) -> f32 {
        let max = max_of(logits);
        let sum = lane_sum(logits.len(), |i| exp(logits[i] - max));
        libm::logf(sum) + (max - logits[target])
    }
}

for_each_isa! {
    /// Overwrites the logits with `scale·(softmax − onehot(target))`.
    fn loss_and_gradient_of_row(logits: &mut [f32], target: usize, scale: f32) -> f32 {
        let max = max_of(logits);
        let below_max = max - logits[target];
        for logit in logits.iter_mut() {
            *logit = exp(*logit - max);
        }
        let sum = lane_sum(logits.len(), |i| logits[i]);
        let factor = scale / sum;
        for logit in logits.iter_mut() {
            *logit *= factor;
        }
        logits[target] -= scale;
        libm::logf(sum) + below_max
    }
}

#[inline(always)]
fn max_of(x: &[f32]) -> f32 {
    let mut max = [f32::NEG_INFINITY; 16];
    for chunk in x.chunks(16) {
        for (max, x) in max.iter_mut().zip(chunk) {
            *max = max.max(*x);
        }
    }
    max.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b))
}

#[cfg(test)]
mod tests {
    use crate::{
        Cpu, IGNORE_TARGET, Kernels, Reference, Slice,
        kernel::Weight,
        testing::{Guarded, check_close, normal_f32},
    };

    /// Worst seen: 0.2 of this bound. A target off by one errs by about 1.
    const BOUND: f32 = 4e-6;

    #[test]
    fn cross_entropy_agrees_with_the_reference() {
        // The last case passes in several chunks of rows.
        for (r, v, c) in [(0, 3, 2), (1, 1, 1), (5, 33, 7), (17, 130, 31), (9, 2, 65), (1100, 3, 2)] {
            let (x, w) = (normal_f32(r * c, 1), normal_f32(v * c, 2));
            let mut targets: Vec<u32> = (0..r).map(|i| (i * 7 % v) as u32).collect();
            if r > 3 {
                targets[2] = IGNORE_TARGET;
            }
            let run = |kernels: &dyn Kernels, with_grads: bool| {
                let mut losses = Guarded::new(&vec![9.0; r]);
                let (mut dx, mut dw) =
                    (Guarded::new(&normal_f32(r * c, 3)), Guarded::new(&normal_f32(v * c, 4)));
                let weight = Weight { values: Slice::F32(&w), packed: None };
                let grads = with_grads.then(|| (0.25, dx.slice_mut(), dw.slice_mut()));
                kernels.cross_entropy(Slice::F32(&x), weight, &targets, losses.slice_mut(), grads, v, c);
                [losses, dx, dw].map(|buffer| buffer.checked().to_vec())
            };
            let (got, want) = (run(&Cpu::new(2), true), run(&Reference, true));
            for (name, (got, want)) in ["losses", "dx", "dw"].iter().zip(got.iter().zip(&want)) {
                check_close(&format!("{name} r {r} v {v} c {c}"), got, want, BOUND);
            }
            assert_eq!(run(&Cpu::new(2), false)[0], got[0], "losses are the same without gradients");
        }
    }
}
