//! What this machine can do at most, measured.

use std::time::Instant;

use super::{Cpu, reduce::lane_sum};
use crate::isa::for_each_isa;

/// Multiply-adds of one call of [`multiply_add`].
const MULTIPLY_ADDS: usize = CHAINS * 16 * ROUNDS;
/// Independent chains: enough to hide the latency of two units, few enough to stay in registers.
const CHAINS: usize = 12;
const ROUNDS: usize = 200_000;

for_each_isa! {
    /// Chains of fused multiply-adds in registers.
    fn multiply_add(sums: &mut [[f32; 16]; CHAINS]) {
        let mut local = *sums;
        for _ in 0..ROUNDS {
            for sum in &mut local {
                for x in sum {
                    *x = x.mul_add(0.999, 1e-3);
                }
            }
        }
        *sums = local;
    }
}

for_each_isa! {
    fn sum(x: &[f32]) -> f32 {
        lane_sum(x.len(), |i| x[i])
    }
}

impl Cpu {
    /// The most GFLOP/s that fused multiply-adds reach on all threads: best of five short runs.
    pub fn measured_peak_gflops(&self) -> f64 {
        let n_threads = self.n_threads();
        let best = best_of_5(|| {
            self.pool.for_each(n_threads, |_| {
                let mut sums = [[1.0; 16]; CHAINS];
                multiply_add(&mut sums);
                std::hint::black_box(&sums);
            });
        });
        (2 * MULTIPLY_ADDS * n_threads) as f64 / best / 1e9
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
