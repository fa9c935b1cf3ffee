//! The gated activation; see the file of the same name in `reference/`.

use super::{
    exp::exp,
    pool::{CHUNK, Pool, Shared},
    round::Element,
};
use crate::isa::for_each_isa;

#[track_caller]
pub(crate) fn forward<E: Element>(pool: &Pool, gate_up: &[E], y: &mut [E], f: usize) {
    let r = check(gate_up.len(), y.len(), f);
    let y = Shared::new(y);
    pool.for_each_chunk(r, CHUNK.div_ceil(f), |row, n| {
        // SAFETY: chunks of rows do not overlap.
        forward_rows(&gate_up[row * 2 * f..][..n * 2 * f], unsafe { y.part(row * f, n * f) }, f);
    });
}

/// R, after checking that `gate_up` is `[R, 2F]` and `y` is `[R, F]`.
#[track_caller]
fn check(gate_up: usize, y: usize, f: usize) -> usize {
    assert!(
        0 < f && gate_up == 2 * y && y.is_multiple_of(f),
        "swiglu: gate_up {gate_up}, y {y}, want rows of 2·{f} and {f}"
    );
    y / f
}

for_each_isa! {
    fn forward_rows<E: Element>(gate_up: &[E], y: &mut [E], f: usize) {
        for (gate_up, y) in gate_up.chunks_exact(2 * f).zip(y.chunks_exact_mut(f)) {
            let (gate, up) = gate_up.split_at(f);
            for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
                let gate = gate.load();
                *y = E::store(gate * sigmoid(gate) * up.load());
            }
        }
    }
}

/// A true division: approximations to it differ from processor to processor, and it overlaps with `exp`.
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[track_caller]
pub(crate) fn backward<E: Element>(
    pool: &Pool,
    gate_up: &[E],
    dy: &[E],
    d_gate_up: &mut [E],
    y: &mut [E],
    f: usize,
) {
    let r = check(gate_up.len(), dy.len(), f);
    assert!(check(d_gate_up.len(), y.len(), f) == r, "swiglu: y {}, want {r} rows of {f}", y.len());
    let (d_gate_up, y) = (Shared::new(d_gate_up), Shared::new(y));
    pool.for_each_chunk(r, CHUNK.div_ceil(f), |row, n| {
        let (start, len) = (row * f, n * f);
        // SAFETY: chunks of rows do not overlap.
        let (d_gate_up, y) = unsafe { (d_gate_up.part(2 * start, 2 * len), y.part(start, len)) };
        backward_rows(&gate_up[2 * start..][..2 * len], &dy[start..][..len], d_gate_up, y, f);
    });
}

for_each_isa! {
    /// `y` has the bits of [`forward_rows`].
    fn backward_rows<E: Element>(gate_up: &[E], dy: &[E], d_gate_up: &mut [E], y: &mut [E], f: usize) {
        let mut sigmas = Sigmas([0.0; BLOCK]);
        let inputs = gate_up.chunks_exact(2 * f).zip(dy.chunks_exact(f));
        let outputs = d_gate_up.chunks_exact_mut(2 * f).zip(y.chunks_exact_mut(f));
        for ((gate_up, dy), (d_gate_up, y)) in inputs.zip(outputs) {
            let ((gate, up), (dgate, dup)) = (gate_up.split_at(f), d_gate_up.split_at_mut(f));
            for start in (0..f).step_by(BLOCK) {
                let n = BLOCK.min(f - start);
                let (gate, up, dy) = (&gate[start..][..n], &up[start..][..n], &dy[start..][..n]);
                let (dgate, dup) = (&mut dgate[start..][..n], &mut dup[start..][..n]);
                let (y, sigmas) = (&mut y[start..][..n], &mut sigmas.0[..n]);
                for i in 0..n {
                    sigmas[i] = sigmoid(gate[i].load());
                }
                for i in 0..n {
                    let (gate, up, dy, sigma) = (gate[i].load(), up[i].load(), dy[i].load(), sigmas[i]);
                    let silu = gate * sigma;
                    dgate[i] = E::store(dy * up * sigma * (1.0 + gate * (1.0 - sigma)));
                    dup[i] = E::store(dy * silu);
                    y[i] = E::store(silu * up);
                }
            }
        }
    }
}

/// Elements whose σ is computed ahead of what uses it. In two loops the chains of dependent instructions are shorter, so
/// that a processor has more of them in flight: on bf16 a third faster than in one.
const BLOCK: usize = 256;

/// At a cache line, so that no vector lies across two.
#[repr(align(64))]
struct Sigmas([f32; BLOCK]);

#[cfg(test)]
mod tests {
    use super::super::round::testing::{Buffer, check_rounded, normal};
    use crate::{
        Cpu,
        DType::{self, Bf16, F32},
        Kernels, Reference, Tensor,
        testing::{HOSTILE, normal_f32},
    };

    /// Worst seen: 0.3 of this bound. A wrong sign errs by about 1.
    const BOUND: f32 = 1e-6;

    /// y of the forward, then d_gate_up and y of the backward, of `r` rows in `dtype`, stored in `out`.
    fn run(kernels: &dyn Kernels, r: usize, f: usize, dtype: DType, out: DType) -> [Vec<f32>; 3] {
        let mut gate_up = normal_f32(r * 2 * f, 1);
        gate_up
            .iter_mut()
            .take(f.min(3))
            .zip([-200.0, 200.0, -0.0])
            .for_each(|(gate, extreme)| *gate = extreme);
        let gate_up = Tensor::from_f32(&[r, 2 * f], gate_up).to_dtype(dtype);
        let dy = normal(dtype, r * f, 2);
        let [mut y, mut y_again] = [3, 4].map(|stream| Buffer::new(out, &normal(dtype, r * f, stream)));
        let mut d_gate_up = Buffer::new(out, &normal(dtype, r * 2 * f, 5));
        kernels.swiglu_forward(gate_up.slice(), y.slice_mut(), f);
        kernels.swiglu_backward(gate_up.slice(), dy.slice(), d_gate_up.slice_mut(), y_again.slice_mut(), f);
        [y, d_gate_up, y_again].map(|buffer| buffer.checked())
    }

    #[test]
    fn swiglu_agrees_with_the_reference() {
        for dtype in [F32, Bf16] {
            for r in [0, 1, 7, 33] {
                for f in HOSTILE.into_iter().skip(1).chain([700]) {
                    let got = run(&Cpu::new(2), r, f, dtype, dtype);
                    let want = run(&Reference, r, f, dtype, F32);
                    for (name, (got, want)) in ["y", "d_gate_up", "y again"].iter().zip(got.iter().zip(&want))
                    {
                        check_rounded(&format!("{name} [{r}, {f}]"), dtype, got, want, BOUND);
                    }
                    assert_eq!(got[0], got[2], "both passes give the same y");
                }
            }
        }
    }
}
