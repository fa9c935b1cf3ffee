//! Head and cross-entropy; see the file of the same name in `reference/`.
//!
//! Rows pass in chunks: their logits are one product, become gradients of logits in place, and two more products
//! add them to `dx` and `dw`.

use half::bf16;

use super::{
    exp::exp,
    gemm::{self, Format, Operand, Panels, Product, Target},
    linear,
    pool::{Pool, Shared},
    reduce::{lane_sum, max_of},
    round::Element,
};
use crate::{
    DType, IGNORE_TARGET, Slice, SliceMut,
    arena::Buffer,
    isa::for_each_isa,
    kernel::{CrossEntropyGrads, Weight},
};

/// Logits held at a time: 64 MiB. Fewer rows would mean more passes over the head's gradient.
const MAX_LOGITS: usize = 16 << 20;
/// Rows of a chunk: even, so that pairs of bf16 do not lie across chunks.
const MAX_ROWS: usize = 1024;

#[track_caller]
pub(crate) fn forward(
    pool: &Pool,
    x: Slice,
    w: Weight,
    targets: &[u32],
    losses: &mut [f32],
    grads: Option<CrossEntropyGrads>,
    c: usize,
) {
    let (r, v) = (targets.len(), w.n);
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
    let format = Format::of(x.dtype());
    let chunk = (MAX_LOGITS / v.max(1)).next_multiple_of(2).clamp(16, MAX_ROWS).min(r.max(1));
    let stride = gemm::row_stride(v);
    let mut logits = Buffer::<f32>::unspecified(chunk * stride);
    let packed = linear::packed(pool, &w, c, x.dtype());
    let mut backward = grads.map(|grads| {
        let dw_len = grads.dw.as_ref().map_or(v * c, |dw| dw.values.len());
        let n_weights = grads.row_weights.map_or(r, <[f32]>::len);
        assert!(
            grads.dx.len() == r * c && dw_len == v * c && n_weights == r,
            "cross_entropy: dx {}, dw {dw_len}, {n_weights} weights of rows",
            grads.dx.len()
        );
        Backward::new(pool, format, grads, &w, chunk, c)
    });
    if let (Some(Backward { dw: Some(dw), accumulates: false, .. }), 0) = (&mut backward, r) {
        dw.fill(0.0);
    }
    for start in (0..r).step_by(chunk) {
        let rows = chunk.min(r - start);
        let x = x.from(start * c);
        let logits = &mut logits[..rows * stride];
        let (targets, losses) = (&targets[start..][..rows], &mut losses[start..][..rows]);
        let panels = [Panels::new(format, &packed.words, c, v)];
        let product = Product { format, m: rows, k: c };
        gemm::gemm(pool, product, Operand::depth(x, c), &panels, Target::f32(logits, stride));
        match &mut backward {
            None => losses_of(pool, logits, targets, losses, v),
            Some(backward) => {
                losses_and_gradients(pool, format, logits, targets, losses, backward.scales(start, rows), v);
                backward.add(pool, logits, x, start, rows);
            }
        }
    }
}

/// The gradients' side: buffers that live as long as the chunks pass.
struct Backward<'a> {
    format: Format,
    scale: f32,
    row_weights: Option<&'a [f32]>,
    dx: SliceMut<'a>,
    /// None where it is frozen.
    dw: Option<&'a mut [f32]>,
    /// Whether `dw` holds sums that go on: from the second chunk on it does.
    accumulates: bool,
    v: usize,
    c: usize,
    /// `w` as `dx` multiplies with it, where the forward multiplies with its transpose.
    packed_w: Buffer<u32>,
    packed_x: Buffer<u32>,
    /// `dx` of a chunk before it is rounded to bf16.
    sums: Buffer<f32>,
}

impl<'a> Backward<'a> {
    fn new(
        pool: &Pool,
        format: Format,
        grads: CrossEntropyGrads<'a>,
        w: &Weight,
        chunk: usize,
        c: usize,
    ) -> Self {
        let CrossEntropyGrads { scale, row_weights, dx, dw } = grads;
        let (v, accumulates) = (w.n, dw.as_ref().is_some_and(|dw| dw.accumulates));
        let (scale, dw) = (scale as f32, dw.map(|dw| dw.values.f32()));
        let mut packed_w = Buffer::unspecified(format.packed_len(v, c));
        gemm::pack(pool, format, Operand::outer(w.values, c), v, c, &mut packed_w);
        let packed_x = Buffer::unspecified(if dw.is_some() { format.packed_len(chunk, c) } else { 0 });
        let sums = Buffer::unspecified(if dx.dtype() == DType::Bf16 { chunk * c } else { 0 });
        Self { format, scale, row_weights, dx, dw, accumulates, v, c, packed_w, packed_x, sums }
    }

    /// What the gradients of some rows are multiplied by.
    fn scales(&self, start: usize, rows: usize) -> Scales<'a> {
        Scales { scale: self.scale, row_weights: self.row_weights.map(|weights| &weights[start..][..rows]) }
    }

    /// The share of the rows from `start` on; `logits` holds their gradients by now.
    fn add(&mut self, pool: &Pool, logits: &[f32], x: Slice, start: usize, rows: usize) {
        let Self { format, v, c, .. } = *self;
        // In bf16, each row's gradients fill the front half of what was its row of logits.
        let (dlogits, stride) = match format {
            Format::F32 => (Slice::F32(logits), gemm::row_stride(v)),
            Format::Bf16 => (Slice::Bf16(as_bf16(logits)), 2 * gemm::row_stride(v)),
        };
        let panels = [Panels::new(format, &self.packed_w, v, c)];
        let product = Product { format, m: rows, k: v };
        let sums = match &mut self.dx {
            SliceMut::F32(dx) => &mut dx[start * c..][..rows * c],
            _ => &mut self.sums[..rows * c],
        };
        gemm::gemm(pool, product, Operand::depth(dlogits, stride), &panels, Target::f32(sums, c));
        if let SliceMut::Bf16(dx) = &mut self.dx {
            round(pool, &self.sums[..rows * c], &mut dx[start * c..][..rows * c]);
        }
        let Some(dw) = &mut self.dw else { return };
        let packed_x = &mut self.packed_x[..format.packed_len(rows, c)];
        gemm::pack(pool, format, Operand::outer(x, c), rows, c, packed_x);
        let panels = [Panels::new(format, packed_x, rows, c)];
        let product = Product { format, m: v, k: rows };
        gemm::gemm(
            pool,
            product,
            Operand::outer(dlogits, stride),
            &panels,
            Target::sum(dw, c, self.accumulates),
        );
        self.accumulates = true;
    }
}

/// What the gradients of rows are multiplied by.
#[derive(Clone, Copy)]
struct Scales<'a> {
    scale: f32,
    row_weights: Option<&'a [f32]>,
}

impl Scales<'_> {
    fn of(self, row: usize) -> f32 {
        self.row_weights.map_or(self.scale, |weights| self.scale * weights[row])
    }
}

/// The same memory, read as twice as many numbers of half the size.
fn as_bf16(x: &[f32]) -> &[bf16] {
    // SAFETY: same bytes, lesser alignment, and every pattern of bits is a number.
    unsafe { std::slice::from_raw_parts(x.as_ptr().cast(), 2 * x.len()) }
}

fn round(pool: &Pool, sums: &[f32], dx: &mut [bf16]) {
    let (n, dx) = (dx.len(), Shared::new(dx));
    pool.for_each_chunk(n, super::pool::CHUNK, |start, len| {
        // SAFETY: chunks do not overlap.
        round_chunk(&sums[start..][..len], unsafe { dx.part(start, len) });
    });
}

for_each_isa! {
    fn round_chunk(x: &[f32], y: &mut [bf16]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = bf16::store(*x);
        }
    }
}

/// Rows that one task takes: about 32K logits.
fn rows_per_task(v: usize) -> usize {
    (32_768 / v.max(1)).max(1)
}

fn losses_of(pool: &Pool, logits: &mut [f32], targets: &[u32], losses: &mut [f32], v: usize) {
    let (logits, losses) = (&*logits, Shared::new(losses));
    pool.for_each_chunk(targets.len(), rows_per_task(v), |first, n| {
        for (row, &target) in targets.iter().enumerate().skip(first).take(n) {
            // SAFETY: rows do not overlap.
            let loss = unsafe { losses.part(row, 1) };
            let logits = &logits[row * gemm::row_stride(v)..][..v];
            loss[0] = if target == IGNORE_TARGET { 0.0 } else { loss_of_row(logits, target as usize) };
        }
    });
}

/// Fills in the losses of some rows and turns their logits into gradients, rounded to the products' format.
fn losses_and_gradients(
    pool: &Pool,
    format: Format,
    logits: &mut [f32],
    targets: &[u32],
    losses: &mut [f32],
    scales: Scales,
    v: usize,
) {
    let (logits, losses) = (Shared::new(logits), Shared::new(losses));
    pool.for_each_chunk(targets.len(), rows_per_task(v), |first, n| {
        for (row, &target) in targets.iter().enumerate().skip(first).take(n) {
            // SAFETY: rows do not overlap.
            let (logits, loss) = unsafe { (logits.part(row * gemm::row_stride(v), v), losses.part(row, 1)) };
            if target == IGNORE_TARGET {
                logits.fill(0.0); // the same bits in both formats
                loss[0] = 0.0;
                continue;
            }
            let scale = scales.of(row);
            loss[0] = match format {
                Format::F32 => loss_and_gradient_of_row(logits, target as usize, scale),
                Format::Bf16 => loss_and_gradient_of_row_bf16(logits, target as usize, scale),
            };
        }
    });
}

for_each_isa! {
    fn loss_of_row(logits: &[f32], target: usize) -> f32 {
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

for_each_isa! {
    /// The same, with the gradients as bf16 in the front half of the row.
    fn loss_and_gradient_of_row_bf16(logits: &mut [f32], target: usize, scale: f32) -> f32 {
        let max = max_of(logits);
        let below_max = max - logits[target];
        for logit in logits.iter_mut() {
            *logit = exp(*logit - max);
        }
        let sum = lane_sum(logits.len(), |i| logits[i]);
        let factor = scale / sum;
        let at_target = bf16::store(logits[target] * factor - scale);
        let v = logits.len();
        let row = logits.as_mut_ptr();
        let front: *mut bf16 = row.cast();
        // Sixteen at a time: all are read before their place, which lies further on, is reached by what is written.
        let whole = v / 16 * 16;
        for first in (0..whole).step_by(16) {
            let mut rounded = [bf16::ZERO; 16];
            // SAFETY: sixteen numbers are left in the row, and 2·(first + 16) bytes are inside its 4·v.
            unsafe {
                let chunk = row.add(first).cast::<[f32; 16]>().read();
                for (rounded, x) in rounded.iter_mut().zip(&chunk) {
                    *rounded = bf16::store(x * factor);
                }
                front.add(first).cast::<[bf16; 16]>().write(rounded);
            }
        }
        for i in whole..v {
            // SAFETY: inside the row.
            unsafe { front.add(i).write(bf16::store(*row.add(i) * factor)) };
        }
        // SAFETY: as above.
        unsafe { front.add(target).write(at_target) };
        libm::logf(sum) + below_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Cpu, Kernels, Reference,
        kernel::WeightGrad,
        testing::{Guarded, check_close, normal_bf16, normal_f32, widen},
    };

    /// Worst seen: 0.2 of this bound. A target off by one errs by about 1.
    const BOUND: f32 = 4e-6;
    /// Gradients of bf16 activations: logits' gradients are rounded to eight bits, then added up.
    const BOUND_BF16: f32 = 1.2e-2;

    /// Losses, dx and dw.
    fn run(
        kernels: &dyn Kernels,
        x: Slice,
        w: &[f32],
        targets: &[u32],
        row_weights: Option<&[f32]>,
        with_grads: bool,
        [v, c]: [usize; 2],
    ) -> [Vec<f32>; 3] {
        let r = targets.len();
        let mut losses = Guarded::new(&vec![9.0f32; r]);
        let mut dw = Guarded::new(&normal_f32(v * c, 4));
        let weight = Weight { values: Slice::F32(w), n: v, packed: None };
        let mut dx = Guarded::new(&vec![9.0f32; r * c]);
        let mut dx_bf16 = Guarded::new(&vec![bf16::ONE; r * c]);
        let is_bf16 = matches!(x, Slice::Bf16(_));
        let dx_slice = if is_bf16 { dx_bf16.slice_mut() } else { dx.slice_mut() };
        let dw_grad = WeightGrad { values: dw.slice_mut(), n: v, accumulates: v != 33 };
        let grads = with_grads.then_some(CrossEntropyGrads {
            scale: 0.25,
            row_weights,
            dx: dx_slice,
            dw: Some(dw_grad),
        });
        kernels.cross_entropy(x, weight, targets, losses.slice_mut(), grads, c);
        let dx = if is_bf16 { widen(dx_bf16.checked()) } else { dx.checked().to_vec() };
        [losses.checked().to_vec(), dx, dw.checked().to_vec()]
    }

    #[test]
    fn cross_entropy_agrees_with_the_reference() {
        // The last case passes in several chunks of rows.
        for (r, v, c) in [(0, 3, 2), (1, 1, 1), (5, 33, 7), (17, 130, 31), (9, 2, 65), (1100, 3, 2)] {
            let w: Vec<f32> = normal_f32(v * c, 2).iter().map(|w| bf16::from_f32(*w).to_f32()).collect();
            let mut targets: Vec<u32> = (0..r).map(|i| (i * 7 % v) as u32).collect();
            if r > 3 {
                targets[2] = IGNORE_TARGET;
            }
            let (x, xb) = (normal_f32(r * c, 1), normal_bf16(r * c, 1));
            for (x, bound) in [(Slice::F32(&x), BOUND), (Slice::Bf16(&xb), BOUND_BF16)] {
                let weighted = |kernels: &dyn Kernels, weights: Option<&[f32]>, grads| {
                    run(kernels, x, &w, &targets, weights, grads, [v, c])
                };
                let row_weights: Vec<f32> = (0..r).map(|i| i as f32 % 5.0 - 1.5).collect();
                let (got, want) = [&Cpu::new(2) as &dyn Kernels, &Reference]
                    .map(|k| weighted(k, Some(&row_weights), true))
                    .into();
                for (got, want) in got.iter().zip(&want) {
                    check_close(
                        &format!("weighted {:?} r {r} v {v} c {c}", x.dtype()),
                        got,
                        want,
                        4.0 * bound,
                    );
                }
                assert_eq!(
                    weighted(&Cpu::new(2), None, true),
                    weighted(&Cpu::new(2), Some(&vec![1.0; r]), true)
                );
                let run = |kernels: &dyn Kernels, grads| weighted(kernels, None, grads);
                let (got, want) = (run(&Cpu::new(2), true), run(&Reference, true));
                check_close(&format!("losses r {r} v {v} c {c}"), &got[0], &want[0], BOUND);
                check_close(&format!("dx {:?} r {r} v {v} c {c}", x.dtype()), &got[1], &want[1], bound);
                check_close(&format!("dw {:?} r {r} v {v} c {c}", x.dtype()), &got[2], &want[2], bound);
                assert_eq!(run(&Cpu::new(2), false)[0], got[0], "losses are the same without gradients");
            }
        }
    }
}
