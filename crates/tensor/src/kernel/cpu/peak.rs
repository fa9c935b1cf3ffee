//! What this machine can do at most, measured.

use std::time::Instant;

use super::{
    Cpu,
    gemm::{self, Format},
    reduce::lane_sum,
};
use crate::{DType, arena::Buffer, isa::for_each_isa};

for_each_isa! {
    fn sum(x: &[f32]) -> f32 {
        lane_sum(x.len(), |i| x[i])
    }
}

impl Cpu {
    /// The most GFLOP/s that fused multiply-adds reach on all threads in products of `dtype`: tiles whose operands
    /// never leave the first-level cache, best of five short runs.
    ///
    /// # Panics
    /// If the dtype is not one that products are computed in.
    pub fn measured_peak_gflops(&self, dtype: DType) -> f64 {
        const TILES: usize = 4000;
        let format = Format::of(dtype);
        let n_threads = self.n_threads();
        let best = best_of_5(|| {
            self.pool.for_each(n_threads, |_| gemm::multiply_in_cache(format, TILES));
        });
        (gemm::flops_in_cache(format) * TILES * n_threads) as f64 / best / 1e9
    }

    /// GB/s at which all threads read memory that no cache holds: best of five passes over 256 MiB.
    pub fn measured_read_gb_per_second(&self) -> f64 {
        let mut values = Buffer::<f32>::unspecified(64 << 20);
        values.fill(1.0);
        let values = &*values;
        let best = best_of_5(|| {
            self.pool.for_each_chunk(values.len(), 1 << 20, |start, len| {
                std::hint::black_box(sum(&values[start..][..len]));
            });
        });
        4.0 * values.len() as f64 / best / 1e9
    }
}

fn best_of_5(mut work: impl FnMut()) -> f64 {
    work(); // the first pays for memory and clocks
    let times = (0..5).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}
