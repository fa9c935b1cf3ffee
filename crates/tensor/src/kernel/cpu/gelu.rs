//! The activation of vision encoders; see the file of the same name in `reference/`.

use super::{
    exp::exp,
    pool::{CHUNK, Pool, Shared},
    round::Element,
};
use crate::{isa::for_each_isa, kernel::Gelu};

/// `√(2/π)`.
const SCALE: f32 = 0.797_884_6;
/// Of the cubic term.
const CUBIC: f32 = 0.044_715;
/// Of the logistic function.
const QUICK: f32 = 1.702;
/// Beyond it Φ is 0 or 1 in f32: the cubic term of larger numbers would only overflow.
const LARGEST: f32 = 16.0;
/// The same of the logistic function, whose tail is longer.
const FARTHEST: f32 = 50.0;

#[track_caller]
pub(crate) fn forward<E: Element>(pool: &Pool, gelu: Gelu, x: &[E], y: &mut [E]) {
    assert!(x.len() == y.len(), "gelu: x {}, y {}", x.len(), y.len());
    let (n, y) = (y.len(), Shared::new(y));
    pool.for_each_chunk(n, CHUNK, |start, len| {
        // SAFETY: chunks do not overlap.
        let (x, y) = (&x[start..][..len], unsafe { y.part(start, len) });
        match gelu {
            Gelu::Erf => forward_erf(x, y),
            Gelu::Tanh => forward_tanh(x, y),
            Gelu::Quick => forward_quick(x, y),
        }
    });
}

#[track_caller]
pub(crate) fn backward<E: Element>(pool: &Pool, gelu: Gelu, x: &[E], dy: &[E], dx: &mut [E]) {
    assert!(
        x.len() == dy.len() && x.len() == dx.len(),
        "gelu: x {}, dy {}, dx {}",
        x.len(),
        dy.len(),
        dx.len()
    );
    let (n, dx) = (dx.len(), Shared::new(dx));
    pool.for_each_chunk(n, CHUNK, |start, len| {
        let (x, dy) = (&x[start..][..len], &dy[start..][..len]);
        // SAFETY: chunks do not overlap.
        let dx = unsafe { dx.part(start, len) };
        match gelu {
            Gelu::Erf => backward_erf(x, dy, dx),
            Gelu::Tanh => backward_tanh(x, dy, dx),
            Gelu::Quick => backward_quick(x, dy, dx),
        }
    });
}

/// `½·(1 + tanh(u)) = 1/(1 + e^−2u)`, with a true division, as in SwiGLU.
#[inline(always)]
fn cdf_tanh(x: f32) -> f32 {
    let x = x.clamp(-LARGEST, LARGEST);
    1.0 / (1.0 + exp(-2.0 * SCALE * x * (CUBIC * x * x + 1.0)))
}

#[inline(always)]
fn cdf_quick(x: f32) -> f32 {
    1.0 / (1.0 + exp(-QUICK * x.clamp(-FARTHEST, FARTHEST)))
}

/// From `libm`: the same bits on every machine.
#[inline(always)]
fn cdf_erf(x: f32) -> f32 {
    0.5 * (1.0 + libm::erff(x * std::f32::consts::FRAC_1_SQRT_2))
}

for_each_isa! {
    fn forward_tanh<E: Element>(x: &[E], y: &mut [E]) {
        for (y, x) in y.iter_mut().zip(x) {
            let x = x.load();
            *y = E::store(x * cdf_tanh(x));
        }
    }
}

for_each_isa! {
    fn backward_tanh<E: Element>(x: &[E], dy: &[E], dx: &mut [E]) {
        for ((dx, x), dy) in dx.iter_mut().zip(x).zip(dy) {
            let (x, dy) = (x.load(), dy.load());
            let phi = cdf_tanh(x);
            let near = x.clamp(-LARGEST, LARGEST);
            let slope = phi * (1.0 - phi) * (2.0 * SCALE * (3.0 * CUBIC * near * near + 1.0));
            *dx = E::store(dy * (phi + near * slope));
        }
    }
}

for_each_isa! {
    fn forward_quick<E: Element>(x: &[E], y: &mut [E]) {
        for (y, x) in y.iter_mut().zip(x) {
            let x = x.load();
            *y = E::store(x * cdf_quick(x));
        }
    }
}

for_each_isa! {
    fn backward_quick<E: Element>(x: &[E], dy: &[E], dx: &mut [E]) {
        for ((dx, x), dy) in dx.iter_mut().zip(x).zip(dy) {
            let (x, dy) = (x.load(), dy.load());
            let phi = cdf_quick(x);
            let near = x.clamp(-FARTHEST, FARTHEST);
            *dx = E::store(dy * (phi + near * (phi * (1.0 - phi) * QUICK)));
        }
    }
}

for_each_isa! {
    fn forward_erf<E: Element>(x: &[E], y: &mut [E]) {
        for (y, x) in y.iter_mut().zip(x) {
            let x = x.load();
            *y = E::store(x * cdf_erf(x));
        }
    }
}

for_each_isa! {
    fn backward_erf<E: Element>(x: &[E], dy: &[E], dx: &mut [E]) {
        for ((dx, x), dy) in dx.iter_mut().zip(x).zip(dy) {
            let (x, dy) = (x.load(), dy.load());
            let near = x.clamp(-LARGEST, LARGEST);
            let density = exp(-0.5 * near * near) * (0.5 * SCALE);
            *dx = E::store(dy * (cdf_erf(x) + near * density));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::round::testing::{Buffer, check_rounded, normal};
    use crate::{
        Cpu,
        DType::{self, Bf16, F32},
        Gelu, Kernels, Reference, Tensor,
        testing::{HOSTILE, normal_f32},
    };

    /// Rounding of Φ near 0 from below; a wrong constant errs by 1e-3.
    const BOUND: f32 = 2e-6;

    /// y and dx of `n` numbers in `dtype`, stored in `out`.
    fn run(kernels: &dyn Kernels, gelu: Gelu, n: usize, dtype: DType, out: DType) -> [Vec<f32>; 2] {
        let mut x: Vec<f32> = normal_f32(n, 1).iter().map(|x| 3.0 * x).collect();
        x.iter_mut().zip([-200.0, 200.0, -0.0, 1e30, -1e30]).for_each(|(x, extreme)| *x = extreme);
        let x = Tensor::from_f32(&[n], x).to_dtype(dtype);
        let dy = normal(dtype, n, 2);
        let [mut y, mut dx] = [3, 4].map(|stream| Buffer::new(out, &normal(dtype, n, stream)));
        kernels.gelu_forward(gelu, x.slice(), y.slice_mut());
        kernels.gelu_backward(gelu, x.slice(), dy.slice(), dx.slice_mut());
        [y, dx].map(|buffer| buffer.checked())
    }

    #[test]
    fn gelu_agrees_with_the_reference() {
        for gelu in [Gelu::Erf, Gelu::Tanh, Gelu::Quick] {
            for dtype in [F32, Bf16] {
                for n in HOSTILE.into_iter().chain([700, 40_000]) {
                    let got = run(&Cpu::new(2), gelu, n, dtype, dtype);
                    let want = run(&Reference, gelu, n, dtype, F32);
                    for (name, (got, want)) in ["y", "dx"].iter().zip(got.iter().zip(&want)) {
                        check_rounded(&format!("{gelu:?} {name} [{n}]"), dtype, got, want, BOUND);
                    }
                    assert_eq!(got, run(&Cpu::new(1), gelu, n, dtype, dtype), "threads change no bit");
                }
            }
        }
    }
}
