//! Sums over rows and whole arrays, in an order that depends on the length alone.

use super::pool::{CHUNK, Pool};
use crate::isa::for_each_isa;

/// Chains of a sum along a row: element `i` joins chain `i mod 16`.
pub(crate) const LANES: usize = 16;

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

/// `Σ_i f(i)` over `0..n` in lanes. `f` is inlined and vectorised where the caller is compiled for that.
#[inline(always)]
pub(crate) fn lane_sum(n: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let whole = n / LANES * LANES;
    let mut start = 0;
    while start < whole {
        for (i, lane) in lanes.iter_mut().enumerate() {
            *lane += f(start + i);
        }
        start += LANES;
    }
    for (i, lane) in lanes.iter_mut().enumerate().take(n - whole) {
        *lane += f(whole + i);
    }
    tree_sum(lanes)
}

for_each_isa! {
    /// `Σ x²` of one chunk, in 8 chains of f64.
    fn sum_of_squares_of_chunk(x: &[f32]) -> f64 {
        let mut lanes = [0.0f64; 8];
        for x in x.chunks(8) {
            for (lane, x) in lanes.iter_mut().zip(x) {
                let x = f64::from(*x);
                *lane = x.mul_add(x, *lane);
            }
        }
        lanes.iter().sum()
    }
}

/// See `reference/reduce.rs`. Chunks are of one size and added in their order.
pub(crate) fn sum_of_squares(pool: &Pool, x: &[f32]) -> f64 {
    let partial: Vec<std::sync::OnceLock<f64>> =
        (0..x.len().div_ceil(CHUNK)).map(|_| Default::default()).collect();
    pool.for_each_chunk(x.len(), CHUNK, |start, len| {
        let _ = partial[start / CHUNK].set(sum_of_squares_of_chunk(&x[start..][..len]));
    });
    partial.iter().filter_map(std::sync::OnceLock::get).sum()
}

#[cfg(test)]
mod tests {
    use crate::{
        Cpu, Kernels, Reference, Slice,
        testing::{HOSTILE, normal_f32},
    };

    #[test]
    fn sum_of_squares_agrees_with_the_reference() {
        for n in HOSTILE.into_iter().chain([16_383, 16_384, 50_001]) {
            let x = normal_f32(n, 1);
            let (got, want) =
                (Cpu::new(2).sum_of_squares(Slice::F32(&x)), Reference.sum_of_squares(Slice::F32(&x)));
            assert!((got - want).abs() <= 1e-12 * want, "{n}: {got} {want}"); // worst seen: 4e-14
            assert_eq!(got, Cpu::new(1).sum_of_squares(Slice::F32(&x)));
        }
    }
}
