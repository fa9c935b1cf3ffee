//! Sums of two arrays; see the file of the same name in `reference/`.

use super::pool::{CHUNK, Pool, Shared};
use crate::isa::for_each_isa;

#[track_caller]
pub(crate) fn forward(pool: &Pool, a: &[f32], b: &[f32], y: &mut [f32]) {
    assert!(a.len() == y.len() && b.len() == y.len(), "add: a {}, b {}, y {}", a.len(), b.len(), y.len());
    let (n, y) = (y.len(), Shared::new(y));
    pool.for_each_chunk(n, CHUNK, |start, len| {
        // SAFETY: chunks do not overlap.
        add(&a[start..][..len], &b[start..][..len], unsafe { y.part(start, len) });
    });
}

#[track_caller]
pub(crate) fn scaled(pool: &Pool, dy: &[f32], scale: f32, dx: &mut [f32]) {
    assert!(dy.len() == dx.len(), "add_scaled: dy {}, dx {}", dy.len(), dx.len());
    let (n, dx) = (dx.len(), Shared::new(dx));
    pool.for_each_chunk(n, CHUNK, |start, len| {
        // SAFETY: chunks do not overlap.
        add_scaled(&dy[start..][..len], scale, unsafe { dx.part(start, len) });
    });
}

for_each_isa! {
    fn add(a: &[f32], b: &[f32], y: &mut [f32]) {
        for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
            *y = a + b;
        }
    }
}

for_each_isa! {
    fn add_scaled(dy: &[f32], scale: f32, dx: &mut [f32]) {
        for (dx, dy) in dx.iter_mut().zip(dy) {
            *dx = dy.mul_add(scale, *dx);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Cpu, Kernels, Reference, Slice,
        testing::{Guarded, HOSTILE, check_close, normal_f32},
    };

    #[test]
    fn add_agrees_with_the_reference() {
        for n in HOSTILE.into_iter().chain([40_000]) {
            let (a, b) = (normal_f32(n, 1), normal_f32(n, 2));
            let run = |kernels: &dyn Kernels| {
                let mut y = Guarded::new(&a);
                kernels.add_forward(Slice::F32(&a), Slice::F32(&b), y.slice_mut());
                kernels.add_scaled(Slice::F32(&b), 0.3, y.slice_mut());
                y.checked().to_vec()
            };
            // Two roundings; worst seen: 0.5 of this bound.
            check_close("add", &run(&Cpu::new(2)), &run(&Reference), 2.0 * f32::EPSILON);
        }
    }
}
