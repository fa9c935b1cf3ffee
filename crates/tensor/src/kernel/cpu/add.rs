//! Sums of two arrays; see the file of the same name in `reference/`.

use super::{
    pool::{CHUNK, Pool, Shared},
    round::Element,
};
use crate::isa::for_each_isa;

#[track_caller]
pub(crate) fn scaled<X: Element, Y: Element>(pool: &Pool, dy: &[X], scale: f32, dx: &mut [Y]) {
    assert!(dy.len() == dx.len(), "add_scaled: dy {}, dx {}", dy.len(), dx.len());
    let (n, dx) = (dx.len(), Shared::new(dx));
    pool.for_each_chunk(n, CHUNK, |start, len| {
        // SAFETY: chunks do not overlap.
        scaled_chunk(&dy[start..][..len], scale, unsafe { dx.part(start, len) });
    });
}

for_each_isa! {
    fn scaled_chunk<X: Element, Y: Element>(dy: &[X], scale: f32, dx: &mut [Y]) {
        for (dx, dy) in dx.iter_mut().zip(dy) {
            *dx = Y::store(dy.load().mul_add(scale, dx.load()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::round::testing::{Buffer, check_rounded, normal};
    use crate::{
        Cpu,
        DType::{Bf16, F32},
        Kernels, Reference,
        testing::HOSTILE,
    };

    #[test]
    fn add_agrees_with_the_reference() {
        for dtype in [F32, Bf16] {
            for n in HOSTILE.into_iter().chain([40_000]) {
                let dy = normal(dtype, n, 2);
                let run = |kernels: &dyn Kernels, out| {
                    let mut dx = Buffer::new(out, &normal(dtype, n, 1));
                    kernels.add_scaled(dy.slice(), 0.3, dx.slice_mut());
                    dx.checked()
                };
                // The scale and the sum are rounded; worst seen: 0.5 of this bound.
                let (got, want) = (run(&Cpu::new(2), dtype), run(&Reference, F32));
                check_rounded("add_scaled", dtype, &got, &want, 2.0 * f32::EPSILON);
            }
        }
    }
}
