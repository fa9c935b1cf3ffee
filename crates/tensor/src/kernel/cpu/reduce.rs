//! Sums over rows and whole arrays, in an order that depends on the length alone.

use std::mem::MaybeUninit;

use super::{
    pool::{CHUNK, Pool, Shared},
    round::Element,
};
use crate::{arena::Buffer, isa::for_each_isa};

/// Chains of a sum along a row: element `i` joins chain `i mod 16`.
const LANES: usize = 16;

/// `Σ_i f(i)` over `0..n` in lanes, which a fixed tree adds up.
///
/// `f` is inlined and vectorised where the caller is compiled for that. It is called below n alone and the compiler
/// knows: indexing slices of length n costs no checks.
#[inline(always)]
pub(crate) fn lane_sum(n: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut terms = Terms([MaybeUninit::uninit(); BLOCK]);
    let mut lanes = [0.0f32; LANES];
    for start in (0..n).step_by(BLOCK) {
        let len = BLOCK.min(n - start);
        for (i, term) in terms.0[..len].iter_mut().enumerate() {
            // SAFETY: `i < len` and `start + len ≤ n`.
            unsafe { std::hint::assert_unchecked(start + i < n) };
            term.write(f(start + i));
        }
        let padded = len.next_multiple_of(LANES);
        for term in &mut terms.0[len..padded] {
            term.write(0.0);
        }
        // SAFETY: the loops above wrote them.
        let terms = unsafe { terms.0[..padded].assume_init_ref() };
        for terms in terms.as_chunks::<LANES>().0 {
            for (lane, term) in lanes.iter_mut().zip(terms) {
                *lane += term;
            }
        }
    }
    tree_sum(lanes)
}

/// Terms that [`lane_sum`] computes at a time, in a loop of their own: that one is vectorised whatever `f` does, while
/// adding straight to the lanes is so only by luck.
const BLOCK: usize = 8 * LANES;

/// At a cache line, so that no vector lies across two.
#[repr(align(64))]
struct Terms([MaybeUninit<f32>; BLOCK]);

/// Adds the lanes up in a fixed tree.
#[inline(always)]
pub(crate) fn tree_sum(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// See `reference/reduce.rs`. Chunks are of one size and added in their order.
pub(crate) fn sum_of_squares<X: Element>(pool: &Pool, x: &[X]) -> f64 {
    let mut sums = Buffer::<f64>::unspecified(x.len().div_ceil(CHUNK));
    let shared = Shared::new(&mut sums);
    pool.for_each_chunk(x.len(), CHUNK, |start, len| {
        // SAFETY: each chunk has a sum of its own.
        let sum = unsafe { shared.part(start / CHUNK, 1) };
        sum[0] = sum_of_squares_of_chunk(&x[start..][..len]);
    });
    sums.iter().sum()
}

/// The largest; −∞ of none.
#[inline(always)]
pub(crate) fn max_of(x: &[f32]) -> f32 {
    // Four chains, so that a comparison need not wait for the one before; and of the form that is one instruction.
    let greater = |x: f32, max: f32| if x > max { x } else { max };
    let mut max = [f32::NEG_INFINITY; 4 * LANES];
    let (chunks, rest) = x.as_chunks::<{ 4 * LANES }>();
    for chunk in chunks {
        for (max, x) in max.iter_mut().zip(chunk) {
            *max = greater(*x, *max);
        }
    }
    for chunk in rest.chunks(LANES) {
        for (max, x) in max.iter_mut().zip(chunk) {
            *max = greater(*x, *max);
        }
    }
    let mut half = 2 * LANES;
    while half > 0 {
        for i in 0..half {
            max[i] = greater(max[i + half], max[i]);
        }
        half /= 2;
    }
    max[0]
}

for_each_isa! {
    /// `Σ x²` of one chunk, in 32 chains of f64, in which a square of f32 is exact.
    fn sum_of_squares_of_chunk<X: Element>(x: &[X]) -> f64 {
        let square = |x: &X| f64::from(x.load()) * f64::from(x.load());
        let mut lanes = [0.0f64; 32];
        let (blocks, rest) = x.as_chunks::<32>();
        for block in blocks {
            for (lane, x) in lanes.iter_mut().zip(block) {
                *lane += square(x);
            }
        }
        lanes.iter().sum::<f64>() + rest.iter().map(square).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::round::testing::normal, *};
    use crate::{
        Cpu, DType, Kernels, Reference,
        testing::{HOSTILE, normal_f32},
    };

    #[test]
    fn sum_of_squares_agrees_with_the_reference() {
        for dtype in [DType::F32, DType::Bf16] {
            for n in HOSTILE.into_iter().chain([16_383, 16_384, 50_001]) {
                let x = normal(dtype, n, 1);
                let (got, want) =
                    (Cpu::new(2).sum_of_squares(x.slice()), Reference.sum_of_squares(x.slice()));
                assert!((got - want).abs() <= 1e-12 * want, "{n} {dtype:?}: {got} {want}"); // worst seen: 6e-14
                assert_eq!(got, Cpu::new(1).sum_of_squares(x.slice()));
            }
        }
    }

    #[test]
    fn lane_sum_adds_every_element_once() {
        for n in HOSTILE.into_iter().chain([127, 128, 129, 255, 256, 257, 1000]) {
            // Integers: every order gives the same sum.
            let x: Vec<f32> = normal_f32(n, 1).iter().map(|x| (x * 100.0).round()).collect();
            assert_eq!(lane_sum(n, |i| x[i]), x.iter().sum::<f32>(), "{n}");
        }
    }

    #[test]
    fn lane_sum_has_sixteen_chains() {
        // 1 and −2²⁴ meet in one chain, sixteen apart, where the 1 after 2²⁴ is lost.
        let mut x = [0.0f32; 49];
        (x[0], x[16], x[32]) = (16_777_216.0, 1.0, -16_777_216.0);
        assert_eq!(lane_sum(x.len(), |i| x[i]), 0.0);
        x.swap(16, 17);
        assert_eq!(lane_sum(x.len(), |i| x[i]), 1.0);
    }
}
