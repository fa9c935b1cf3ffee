//! Calls that are timed, the sizes they have, and what is counted of them.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use tensor::{Cpu, DType, Kernels as _, Tensor};

use super::median;
use crate::stop;

/// What is measured is this large.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// R: rows of all but attention.
    pub(super) tokens: usize,
    /// T, for attention: so many sequences of it as make `tokens`, and at least one.
    pub(super) seq_lens: [usize; 2],
    /// H, as many of keys and values.
    pub(super) n_heads: usize,
    pub(super) d_head: usize,
    pub(super) d_ff: usize,
    pub(super) vocab_size: usize,
    /// Of square products.
    pub(super) squares: [usize; 3],
    /// Bytes that are read to drive everything else out of the caches.
    pub(super) cold_bytes: usize,
}

impl Sizes {
    /// A layer of GPT-2 small's size with the vocabulary of a small model.
    pub(super) const USUAL: Self = Self {
        tokens: 2048,
        seq_lens: [512, 4096],
        n_heads: 12,
        d_head: 64,
        d_ff: 2048,
        vocab_size: 32_768,
        squares: [512, 1024, 2048],
        cold_bytes: 256 << 20, // as much as the peak is measured on
    };

    pub(super) fn d_model(&self) -> usize {
        self.n_heads * self.d_head
    }
}

/// What a call does at least.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Work {
    /// Floating-point operations of products in a format.
    Flops(DType, f64),
    /// Memory read and written.
    Bytes(f64),
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Measured {
    /// As the method of [`tensor::Kernels`] is called.
    pub(super) operation: &'static str,
    /// Sizes, and what else tells it from its neighbours.
    pub(super) case: String,
    pub(super) work: Work,
    /// Median.
    pub(super) seconds: f64,
    pub(super) n_calls: usize,
}

/// Calls operations and takes their time.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    pub(super) kernels: &'a Cpu,
    pub(super) dtype: DType,
    pub(super) sizes: Sizes,
    /// For each line.
    time: Duration,
    /// What is read to drive everything else out of the caches.
    cold: Tensor,
    pub(super) results: Vec<Measured>,
}

/// Calls that are made however long they take.
const MIN_CALLS: usize = 3;

impl<'a> Bench<'a> {
    pub(super) fn new(kernels: &'a Cpu, dtype: DType, sizes: Sizes, time: Duration) -> Self {
        let cold = Tensor::zeros(&[sizes.cold_bytes / DType::F32.size()], DType::F32);
        Self { kernels, dtype, sizes, time, cold, results: Vec::new() }
    }

    /// Calls `f` until the time is up.
    pub(super) fn measure(&mut self, operation: &'static str, case: String, work: Work, mut f: impl FnMut()) {
        if stop::check().is_break() {
            return;
        }
        f(); // the first pays for memory and clocks
        let (begin, mut seconds) = (Instant::now(), Vec::new());
        while seconds.len() < MIN_CALLS || begin.elapsed() < self.time {
            if let Work::Bytes(_) = work {
                black_box(self.kernels.sum_of_squares(self.cold.slice()));
            }
            let start = Instant::now();
            f();
            seconds.push(start.elapsed().as_secs_f64());
        }
        let n_calls = seconds.len();
        self.results.push(Measured { operation, case, work, seconds: median(&mut seconds), n_calls });
    }
}
