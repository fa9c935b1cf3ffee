//! What this machine can do at most, measured.

use std::time::Instant;

use super::{Cpu, gemm, reduce::lane_sum};
use crate::isa::for_each_isa;

for_each_isa! {
    fn sum(x: &[f32]) -> f32 {
        lane_sum(x.len(), |i| x[i])
    }
}

impl Cpu {
    /// The most GFLOP/s that fused multiply-adds reach on all threads: tiles of a product whose operands never
    /// leave the first-level cache, best of five short runs.
    pub fn measured_peak_gflops(&self) -> f64 {
        const TILES: usize = 4000;
        let n_threads = self.n_threads();
        let best = best_of_5(|| {
            self.pool.for_each(n_threads, |_| gemm::multiply_in_cache(TILES));
        });
        (gemm::FLOPS_IN_CACHE * TILES * n_threads) as f64 / best / 1e9
    }

    /// GB/s at which all threads read memory that no cache holds: best of five passes over 256 MiB.
    pub fn measured_read_gb_per_second(&self) -> f64 {
        let values = vec![1.0f32; 64 << 20];
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
