//! One step of Muon; see the file of the same name in `reference/`.

use super::{
    gemm::{self, Format, Operand, Panels, Product, Target},
    pool::{CHUNK, Pool, Shared},
    reduce,
};
use crate::{Slice, arena::Buffer, isa::for_each_isa, kernel::Muon};

#[track_caller]
#[allow(clippy::too_many_arguments, reason = "sizes and buffers are arguments")]
pub(crate) fn step(
    pool: &Pool,
    settings: &Muon,
    scale: f64,
    grad: &[f32],
    param: &mut [f32],
    momentum: &mut [f32],
    rows: usize,
    cols: usize,
) {
    let len = rows * cols;
    assert!(
        grad.len() == len && param.len() == len && momentum.len() == len,
        "muon: lengths differ from {rows}·{cols}"
    );
    if len == 0 {
        return;
    }
    // The iteration works on the wide orientation; `update` is transposed on the way in and out of it.
    let (m, n, is_tall) = (rows.min(cols), rows.max(cols), rows > cols);
    let scratch_len = 2 * len + 2 * m * m;
    pool.with_scratch(scratch_len, |scratch| {
        let (update, rest) = scratch.split_at_mut(len);
        let (x, rest) = rest.split_at_mut(len);
        let (gram, rest) = rest.split_at_mut(m * m);
        let (poly, _) = rest.split_at_mut(m * m);
        nesterov(pool, settings.momentum as f32, scale as f32, grad, momentum, update);
        if is_tall {
            transpose(update, rows, cols, x);
        } else {
            x.copy_from_slice(update);
        }
        orthogonalise(pool, x, m, n, gram, poly);
        if is_tall {
            transpose(x, cols, rows, update);
        } else {
            update.copy_from_slice(x);
        }
        let keep = (1.0 - settings.lr * settings.weight_decay) as f32;
        let step = -settings.update_scale(rows, cols) as f32;
        let param = Shared::new(param);
        pool.for_each_chunk(len, CHUNK, |start, len| {
            // SAFETY: chunks do not overlap.
            scaled_sum(keep, unsafe { param.part(start, len) }, step, &update[start..][..len]);
        });
    });
}

/// `momentum = μ·momentum + (1−μ)·g`, `update = (1−μ)·g + μ·momentum`.
fn nesterov(pool: &Pool, mu: f32, scale: f32, grad: &[f32], momentum: &mut [f32], update: &mut [f32]) {
    let (momentum, update) = (Shared::new(momentum), Shared::new(update));
    pool.for_each_chunk(grad.len(), CHUNK, |start, len| {
        // SAFETY: chunks do not overlap.
        let (momentum, update) = unsafe { (momentum.part(start, len), update.part(start, len)) };
        nesterov_chunk(mu, scale, &grad[start..][..len], momentum, update);
    });
}

for_each_isa! {
    fn nesterov_chunk(mu: f32, scale: f32, grad: &[f32], momentum: &mut [f32], update: &mut [f32]) {
        for ((grad, momentum), update) in grad.iter().zip(momentum).zip(update) {
            let fresh = (1.0 - mu) * (scale * grad);
            *momentum = mu.mul_add(*momentum, fresh);
            *update = mu.mul_add(*momentum, fresh);
        }
    }
}

for_each_isa! {
    /// `x = a·x + b·y`.
    fn scaled_sum(a: f32, x: &mut [f32], b: f32, y: &[f32]) {
        for (x, y) in x.iter_mut().zip(y) {
            *x = a.mul_add(*x, b * y);
        }
    }
}

/// Newton–Schulz on `x [m, n]`, `m ≤ n`, in place.
fn orthogonalise(pool: &Pool, x: &mut [f32], m: usize, n: usize, gram: &mut [f32], poly: &mut [f32]) {
    let [a, b, c] = Muon::NEWTON_SCHULZ.map(|coefficient| coefficient as f32);
    let norm = reduce::sum_of_squares(pool, x).sqrt().max(Muon::EPS);
    let inverse = (1.0 / norm) as f32;
    x.iter_mut().for_each(|x| *x *= inverse);
    let mut packed = Buffer::unspecified(Format::F32.packed_len(n, m).max(Format::F32.packed_len(m, n)));
    let mut next = Buffer::<f32>::unspecified(x.len());
    for _ in 0..Muon::STEPS {
        // A = X·Xᵀ
        symmetric(pool, [m, n], x, Operand::depth(Slice::F32(x), n), &mut packed, gram);
        // P = b·A + c·A·A, and a on the diagonal, so that X ← P·X
        symmetric(pool, [m, m], gram, Operand::outer(Slice::F32(gram), m), &mut packed, poly);
        scaled_sum(c, poly, b, gram);
        (0..m).for_each(|i| poly[i * m + i] += a);
        multiply(pool, [m, n, m], poly, Operand::outer(Slice::F32(x), n), &mut packed, &mut next);
        x.copy_from_slice(&next);
    }
}

/// `c [m, n] = a [m, k]·b`.
fn multiply(pool: &Pool, [m, n, k]: [usize; 3], a: &[f32], b: Operand, packed: &mut [u32], c: &mut [f32]) {
    let packed = &mut packed[..Format::F32.packed_len(k, n)];
    gemm::pack(pool, Format::F32, b, k, n, packed);
    let panels = [Panels::new(Format::F32, packed, k, n)];
    let product = Product { format: Format::F32, m, k };
    gemm::gemm(pool, product, Operand::depth(Slice::F32(a), k), &panels, Target::f32(c, n));
}

/// `c [m, m] = a [m, k]·b`, which is symmetric.
fn symmetric(pool: &Pool, [m, k]: [usize; 2], a: &[f32], b: Operand, packed: &mut [u32], c: &mut [f32]) {
    let packed = &mut packed[..Format::F32.packed_len(k, m)];
    gemm::pack(pool, Format::F32, b, k, m, packed);
    let panels = Panels::new(Format::F32, packed, k, m);
    let product = Product { format: Format::F32, m, k };
    gemm::gemm_symmetric(pool, product, Operand::depth(Slice::F32(a), k), panels, c);
}

/// `y [cols, rows] = xᵀ`, `x [rows, cols]`, in square blocks that fit the first-level cache.
fn transpose(x: &[f32], rows: usize, cols: usize, y: &mut [f32]) {
    const BLOCK: usize = 32;
    for row in (0..rows).step_by(BLOCK) {
        for col in (0..cols).step_by(BLOCK) {
            for i in row..rows.min(row + BLOCK) {
                for j in col..cols.min(col + BLOCK) {
                    y[j * rows + i] = x[i * cols + j];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Cpu, Kernels, Reference, Slice,
        kernel::Muon,
        testing::{Guarded, check_close, normal_f32},
    };

    /// The iteration stretches rounding errors; worst seen: 0.2 of this bound. A wrong coefficient errs by 1e-3.
    const BOUND: f32 = 1e-6;

    #[test]
    fn muon_agrees_with_the_reference() {
        for (rows, cols) in [(0, 3), (1, 1), (1, 7), (5, 1), (13, 31), (33, 12), (32, 32), (65, 97), (97, 40)]
        {
            let n = rows * cols;
            let settings = Muon { lr: 2e-2, momentum: 0.95, weight_decay: 0.1 };
            let run = |kernels: &dyn Kernels| {
                let (mut param, mut momentum) =
                    (Guarded::new(&normal_f32(n, 1)), Guarded::new(&normal_f32(n, 2)));
                let grad = normal_f32(n, 3);
                kernels.muon_step(
                    &settings,
                    0.7,
                    Slice::F32(&grad),
                    param.slice_mut(),
                    momentum.slice_mut(),
                    rows,
                    cols,
                );
                [param, momentum].map(|buffer| buffer.checked().to_vec())
            };
            let ([param, momentum], [param_ref, momentum_ref]) = (run(&Cpu::new(2)), run(&Reference));
            check_close(&format!("param [{rows}, {cols}]"), &param, &param_ref, BOUND);
            check_close("momentum", &momentum, &momentum_ref, 1e-6);
        }
    }
}
