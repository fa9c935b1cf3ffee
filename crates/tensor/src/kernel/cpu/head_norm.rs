//! The norm of query and key heads; see the file of the same name in `reference/`.

use super::{
    pool::{Pool, Shared},
    reduce::lane_sum,
    rmsnorm::{add, forward_rows, sum_over_tasks},
    round::Element,
};
use crate::{AttentionShape, isa::for_each_isa};

/// Rows per task, and per partial sum of the gradients of gains: fixed, so that the order of those sums is.
const ROWS: usize = 16;

#[allow(clippy::too_many_arguments, reason = "sizes and buffers are arguments")]
#[track_caller]
pub(crate) fn forward<E: Element>(
    pool: &Pool,
    x: &[E],
    q_gain: &[f32],
    k_gain: &[f32],
    eps: f32,
    shape: AttentionShape,
    y: &mut [E],
    rstd: &mut [f32],
) {
    let r = check(shape, x.len(), y.len(), rstd.len(), [q_gain, k_gain]);
    let (width, n_normed) = (shape.qkv_width(), shape.n_heads + shape.n_kv_heads);
    let (y, rstd) = (Shared::new(y), Shared::new(rstd));
    pool.for_each_chunk(r, ROWS, |row, n| {
        // SAFETY: chunks of rows do not overlap.
        let (y, rstd) = unsafe { (y.part(row * width, n * width), rstd.part(row * n_normed, n * n_normed)) };
        let rows = x[row * width..].chunks_exact(width).zip(y.chunks_exact_mut(width));
        for ((x, y), rstd) in rows.zip(rstd.chunks_exact_mut(n_normed)) {
            let ((qx, x), (qy, y)) = (x.split_at(shape.q_width()), y.split_at_mut(shape.q_width()));
            let ((kx, vx), (ky, vy)) = (x.split_at(shape.kv_width()), y.split_at_mut(shape.kv_width()));
            let (q_rstd, k_rstd) = rstd.split_at_mut(shape.n_heads);
            forward_rows(qx, q_gain, eps, qy, q_rstd);
            forward_rows(kx, k_gain, eps, ky, k_rstd);
            vy.copy_from_slice(vx);
        }
    });
}

/// The number of rows, after checking every length.
#[track_caller]
fn check(shape: AttentionShape, x: usize, y: usize, rstd: usize, gains: [&[f32]; 2]) -> usize {
    let (width, n_normed, d) = (shape.qkv_width(), shape.n_heads + shape.n_kv_heads, shape.d_head);
    let r = rstd / n_normed;
    assert!(
        x == r * width && y == x && rstd == r * n_normed,
        "head_norm: x {x}, y {y}, rstd {rstd}, want {r} rows of {shape:?}"
    );
    assert!(
        0 < d && gains.iter().all(|gain| gain.len() == d),
        "head_norm: gains {} and {}, want {d}",
        gains[0].len(),
        gains[1].len()
    );
    r
}

#[allow(clippy::too_many_arguments, reason = "sizes and buffers are arguments")]
#[track_caller]
pub(crate) fn backward<E: Element>(
    pool: &Pool,
    x: &[E],
    q_gain: &[f32],
    k_gain: &[f32],
    rstd: &[f32],
    shape: AttentionShape,
    d: &mut [E],
    dq_gain: &mut [f32],
    dk_gain: &mut [f32],
) {
    let r = check(shape, x.len(), d.len(), rstd.len(), [q_gain, k_gain]);
    check(shape, x.len(), d.len(), rstd.len(), [dq_gain, dk_gain]);
    let (width, n_normed) = (shape.qkv_width(), shape.n_heads + shape.n_kv_heads);
    let d = Shared::new(d);
    let task = |row: usize, n: usize, partial: &mut [f32]| {
        let (dq_gain, dk_gain) = partial.split_at_mut(shape.d_head);
        // SAFETY: chunks of rows do not overlap.
        let d = unsafe { d.part(row * width, n * width) };
        let rows = x[row * width..].chunks_exact(width).zip(d.chunks_exact_mut(width));
        for ((x, d), rstd) in rows.zip(rstd[row * n_normed..].chunks_exact(n_normed)) {
            let ((q, x), (dq, d)) = (x.split_at(shape.q_width()), d.split_at_mut(shape.q_width()));
            let (k, dk) = (&x[..shape.kv_width()], &mut d[..shape.kv_width()]);
            let (q_rstd, k_rstd) = rstd.split_at(shape.n_heads);
            backward_heads(q, q_gain, q_rstd, dq, dq_gain);
            backward_heads(k, k_gain, k_rstd, dk, dk_gain);
        }
    };
    sum_over_tasks(pool, r, ROWS, 2 * shape.d_head, task, |partial| {
        add(dq_gain, &partial[..shape.d_head]);
        add(dk_gain, &partial[shape.d_head..]);
    });
}

for_each_isa! {
    /// In place: `d` comes in as `dy` and leaves as `dx`.
    fn backward_heads<E: Element>(x: &[E], gain: &[f32], rstd: &[f32], d: &mut [E], dgain: &mut [f32]) {
        let c = gain.len();
        let dgain = &mut dgain[..c];
        for ((x, d), &rstd) in x.chunks_exact(c).zip(d.chunks_exact_mut(c)).zip(rstd) {
            let mean = lane_sum(c, |i| d[i].load() * gain[i] * (x[i].load() * rstd)) / c as f32;
            for i in 0..c {
                let (dy, normed) = (d[i].load(), x[i].load() * rstd);
                d[i] = E::store(rstd * (dy * gain[i] - normed * mean));
                dgain[i] += dy * normed;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::round::testing::{Buffer, check_rounded, normal};
    use crate::{
        AttentionShape, Cpu,
        DType::{self, Bf16, F32},
        Kernels, Reference,
    };

    /// Worst seen: 0.4 of this, for a gradient of gains. A missing mean term errs by 1e-2.
    const BOUND: f32 = 8e-6;

    /// y, rstd, d and both gradients of gains of `r` rows in `dtype`, activations stored in `out`.
    fn run(
        kernels: &dyn Kernels,
        r: usize,
        shape: AttentionShape,
        dtype: DType,
        out: DType,
    ) -> [Vec<f32>; 5] {
        let (n, n_normed, c) = (r * shape.qkv_width(), r * (shape.n_heads + shape.n_kv_heads), shape.d_head);
        let (x, q_gain, k_gain) = (normal(dtype, n, 1), normal(F32, c, 2), normal(F32, c, 3));
        let (mut y, mut d) = (Buffer::new(out, &normal(dtype, n, 4)), Buffer::new(out, &normal(dtype, n, 5)));
        let mut rstd = Buffer::new(F32, &normal(F32, n_normed, 6));
        let [mut dq_gain, mut dk_gain] = [7, 8].map(|stream| Buffer::new(F32, &normal(F32, c, stream)));
        let (x, q_gain, k_gain) = (x.slice(), q_gain.slice(), k_gain.slice());
        kernels.head_norm_forward(x, q_gain, k_gain, 1e-3, shape, y.slice_mut(), rstd.slice_mut());
        let saved = normal(F32, n_normed, 9);
        kernels.head_norm_backward(
            x,
            q_gain,
            k_gain,
            saved.slice(),
            shape,
            d.slice_mut(),
            dq_gain.slice_mut(),
            dk_gain.slice_mut(),
        );
        [y, rstd, d, dq_gain, dk_gain].map(|buffer| buffer.checked())
    }

    #[test]
    fn head_norm_agrees_with_the_reference() {
        for dtype in [F32, Bf16] {
            for (r, n_heads, n_kv_heads, d_head) in
                [(0, 1, 1, 4), (1, 1, 1, 1), (7, 3, 1, 5), (17, 2, 2, 64), (50, 6, 3, 33), (3, 4, 2, 128)]
            {
                let shape = AttentionShape { n_heads, n_kv_heads, d_head };
                let got = run(&Cpu::new(2), r, shape, dtype, dtype);
                let want = run(&Reference, r, shape, dtype, F32);
                let outputs = [("y", dtype), ("rstd", F32), ("d", dtype), ("dq_gain", F32), ("dk_gain", F32)];
                for ((name, dtype), (got, want)) in outputs.into_iter().zip(got.iter().zip(&want)) {
                    check_rounded(&format!("{name}, {r} rows of {shape:?}"), dtype, got, want, BOUND);
                }
                assert_eq!(got, run(&Cpu::new(1), r, shape, dtype, dtype), "threads change no bit");
            }
        }
    }
}
