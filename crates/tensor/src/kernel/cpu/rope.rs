//! Rotary position embedding; see the file of the same name in `reference/`.

use super::pool::{Pool, Shared};
use crate::isa::for_each_isa;

/// Rows per task.
const ROWS: usize = 32;

#[track_caller]
pub(crate) fn forward(
    pool: &Pool,
    x: &[f32],
    positions: &[u32],
    cos: &[f32],
    sin: &[f32],
    y: &mut [f32],
    d_head: usize,
) {
    assert!(x.len() == y.len(), "rope: x {}, y {}", x.len(), y.len());
    turn(pool, x, positions, cos, sin, y, d_head, overwrite_row);
}

#[track_caller]
pub(crate) fn backward(
    pool: &Pool,
    dy: &[f32],
    positions: &[u32],
    cos: &[f32],
    sin: &[f32],
    dx: &mut [f32],
    d_head: usize,
) {
    assert!(dy.len() == dx.len(), "rope: dy {}, dx {}", dy.len(), dx.len());
    turn(pool, dy, positions, cos, sin, dx, d_head, accumulate_row);
}

/// Turns every head of one row: input, cosines, sines, output.
type TurnRow = fn(&[f32], &[f32], &[f32], &mut [f32]);

#[allow(clippy::too_many_arguments, reason = "sizes and buffers are arguments")]
#[track_caller]
fn turn(
    pool: &Pool,
    x: &[f32],
    positions: &[u32],
    cos: &[f32],
    sin: &[f32],
    y: &mut [f32],
    d_head: usize,
    row: TurnRow,
) {
    let Some(width) = x.len().checked_div(positions.len()) else { return };
    let half = d_head / 2;
    assert!(
        width.is_multiple_of(d_head) && d_head.is_multiple_of(2),
        "rope: rows of {width}, d_head {d_head}"
    );
    let y = Shared::new(y);
    pool.for_each_chunk(positions.len(), ROWS, |first, n| {
        for r in first..first + n {
            let angle = positions[r] as usize * half;
            // SAFETY: rows do not overlap.
            let y = unsafe { y.part(r * width, width) };
            row(&x[r * width..][..width], &cos[angle..][..half], &sin[angle..][..half], y);
        }
    });
}

for_each_isa! {
    /// Every head of one row: `y₁ = x₁·cos − x₂·sin`, `y₂ = x₂·cos + x₁·sin`.
    fn overwrite_row(x: &[f32], cos: &[f32], sin: &[f32], y: &mut [f32]) {
        let half = cos.len();
        for (x, y) in x.chunks_exact(2 * half).zip(y.chunks_exact_mut(2 * half)) {
            let ((x1, x2), (y1, y2)) = (x.split_at(half), y.split_at_mut(half));
            for i in 0..half {
                y1[i] = x1[i] * cos[i] - x2[i] * sin[i];
                y2[i] = x2[i] * cos[i] + x1[i] * sin[i];
            }
        }
    }
}

for_each_isa! {
    /// Adds the inverse turn of one row.
    fn accumulate_row(dy: &[f32], cos: &[f32], sin: &[f32], dx: &mut [f32]) {
        let half = cos.len();
        for (dy, dx) in dy.chunks_exact(2 * half).zip(dx.chunks_exact_mut(2 * half)) {
            let ((dy1, dy2), (dx1, dx2)) = (dy.split_at(half), dx.split_at_mut(half));
            for i in 0..half {
                dx1[i] += dy1[i] * cos[i] + dy2[i] * sin[i];
                dx2[i] += dy2[i] * cos[i] - dy1[i] * sin[i];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Cpu, Kernels, Reference, Rng, Slice,
        testing::{Guarded, check_close, normal_f32},
    };

    /// Worst seen: 0.2 of this bound. The wrong sign of one term errs by about 1.
    const BOUND: f32 = 1e-6;

    #[test]
    fn rope_agrees_with_the_reference() {
        for (r, heads, half, n_positions) in
            [(0, 1, 1, 1), (1, 1, 1, 2), (7, 3, 5, 9), (67, 2, 16, 40), (33, 1, 33, 5)]
        {
            let mut rng = Rng::new(0, 0);
            let positions: Vec<u32> = (0..r).map(|_| rng.below(n_positions) as u32).collect();
            let width = heads * half * 2;
            let (x, dy) = (normal_f32(r * width, 1), normal_f32(r * width, 2));
            let angles = normal_f32(n_positions as usize * half, 3);
            let cos: Vec<f32> = angles.iter().map(|a| a.cos()).collect();
            let sin: Vec<f32> = angles.iter().map(|a| a.sin()).collect();
            let run = |kernels: &dyn Kernels| {
                let mut y = Guarded::new(&vec![0.0; r * width]);
                let mut dx = Guarded::new(&normal_f32(r * width, 4));
                let (cos, sin) = (Slice::F32(&cos), Slice::F32(&sin));
                kernels.rope_forward(Slice::F32(&x), &positions, cos, sin, y.slice_mut(), 2 * half);
                kernels.rope_backward(Slice::F32(&dy), &positions, cos, sin, dx.slice_mut(), 2 * half);
                [y, dx].map(|buffer| buffer.checked().to_vec())
            };
            let ([y, dx], [y_ref, dx_ref]) = (run(&Cpu::new(2)), run(&Reference));
            check_close("y", &y, &y_ref, BOUND);
            check_close("dx", &dx, &dx_ref, BOUND);
        }
    }
}
