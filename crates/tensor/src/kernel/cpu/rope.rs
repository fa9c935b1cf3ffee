//! Rotary position embedding; see the file of the same name in `reference/`.

use super::{
    pool::{Pool, Shared},
    round::Element,
};
use crate::{AttentionShape, isa::for_each_isa};

/// Rows per task.
const ROWS: usize = 16;

#[track_caller]
pub(crate) fn forward<E: Element>(
    pool: &Pool,
    x: &mut [E],
    positions: &[u32],
    cos: &[f32],
    sin: &[f32],
    shape: AttentionShape,
) {
    turn(pool, x, positions, cos, sin, shape, false);
}

#[track_caller]
pub(crate) fn backward<E: Element>(
    pool: &Pool,
    d: &mut [E],
    positions: &[u32],
    cos: &[f32],
    sin: &[f32],
    shape: AttentionShape,
) {
    turn(pool, d, positions, cos, sin, shape, true);
}

#[track_caller]
fn turn<E: Element>(
    pool: &Pool,
    x: &mut [E],
    positions: &[u32],
    cos: &[f32],
    sin: &[f32],
    shape: AttentionShape,
    is_inverse: bool,
) {
    let (r, width) = (positions.len(), shape.qkv_width());
    assert!(
        x.len() == r * width && shape.d_head.is_multiple_of(2) && cos.len() == sin.len(),
        "rope: x {}, want {r} rows of {shape:?}; cos {}, sin {}",
        x.len(),
        cos.len(),
        sin.len()
    );
    let x = Shared::new(x);
    pool.for_each_chunk(r, ROWS, |row, n| {
        // SAFETY: chunks of rows do not overlap.
        let x = unsafe { x.part(row * width, n * width) };
        turn_rows(x, &positions[row..][..n], cos, sin, shape, is_inverse);
    });
}

for_each_isa! {
    /// `x₁·cos − x₂·sin`, `x₂·cos + x₁·sin`. The inverse turn is the same with the halves exchanged.
    fn turn_rows<E: Element>(
        x: &mut [E],
        positions: &[u32],
        cos: &[f32],
        sin: &[f32],
        shape: AttentionShape,
        is_inverse: bool,
    ) {
        let half = shape.d_head / 2;
        for (x, position) in x.chunks_exact_mut(shape.qkv_width()).zip(positions) {
            let at = *position as usize * half;
            let (cos, sin) = (&cos[at..][..half], &sin[at..][..half]);
            for head in x.chunks_exact_mut(2 * half).take(shape.n_heads + shape.n_kv_heads) {
                let (lower, upper) = head.split_at_mut(half);
                let (x1, x2) = if is_inverse { (upper, lower) } else { (lower, upper) };
                let (x1, x2) = (&mut x1[..half], &mut x2[..half]);
                for i in 0..half {
                    let (before1, before2) = (x1[i].load(), x2[i].load());
                    x1[i] = E::store(before1 * cos[i] - before2 * sin[i]);
                    x2[i] = E::store(before2 * cos[i] + before1 * sin[i]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use base::Rng;

    use super::super::round::testing::{Buffer, check_rounded, normal};
    use crate::{
        AttentionShape, Cpu,
        DType::{self, Bf16, F32},
        Kernels, Reference, Tensor,
    };

    /// Worst seen: 0.2 of this bound. The wrong sign of one term errs by about 1.
    const BOUND: f32 = 1e-6;

    /// Both turns of `r` rows in `dtype`, stored in `out`.
    fn run(
        kernels: &dyn Kernels,
        r: usize,
        shape: AttentionShape,
        dtype: DType,
        out: DType,
    ) -> [Vec<f32>; 2] {
        const POSITIONS: usize = 40;
        let mut rng = Rng::new(0, 0);
        let positions: Vec<u32> = (0..r).map(|_| rng.below(POSITIONS as u64) as u32).collect();
        let angles = normal(F32, POSITIONS * shape.d_head / 2, 3);
        let [cos, sin] = [f32::cos, f32::sin]
            .map(|f| Tensor::from_f32(angles.shape(), angles.f32().iter().map(|a| f(*a)).collect()));
        let [mut x, mut d] =
            [1, 2].map(|stream| Buffer::new(out, &normal(dtype, r * shape.qkv_width(), stream)));
        kernels.rope_forward(x.slice_mut(), &positions, cos.slice(), sin.slice(), shape);
        kernels.rope_backward(d.slice_mut(), &positions, cos.slice(), sin.slice(), shape);
        [x, d].map(|buffer| buffer.checked())
    }

    #[test]
    fn rope_agrees_with_the_reference() {
        for dtype in [F32, Bf16] {
            for (r, n_heads, n_kv_heads, half) in
                [(0, 1, 1, 1), (1, 1, 1, 1), (7, 3, 1, 5), (67, 2, 2, 16), (33, 4, 2, 33), (3, 2, 1, 64)]
            {
                let shape = AttentionShape { n_heads, n_kv_heads, d_head: 2 * half };
                let got = run(&Cpu::new(2), r, shape, dtype, dtype);
                let want = run(&Reference, r, shape, dtype, F32);
                for (name, (got, want)) in ["x", "d"].iter().zip(got.iter().zip(&want)) {
                    check_rounded(&format!("{name}, {r} rows of {shape:?}"), dtype, got, want, BOUND);
                }
            }
        }
    }
}
