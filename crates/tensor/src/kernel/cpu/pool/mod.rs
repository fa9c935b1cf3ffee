//! Threads, and what their tasks share.

#[cfg(all(test, loom))]
mod loom_tests;
mod sync;
mod workers;

use std::{
    marker::PhantomData,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use workers::Workers;

use crate::arena::{Buffer, Number};

/// Runs the tasks of one op. Which thread takes which task is left open: tasks write to disjoint places, and no
/// result depends on their order.
pub(crate) struct Pool {
    /// Besides the caller's thread, which works too.
    workers: Workers,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("n_threads", &self.n_threads()).finish_non_exhaustive()
    }
}

/// More threads than any machine has cores take address space until starting one fails within it, which nobody can catch.
const MAX_THREADS: usize = 512;

impl Pool {
    /// `n_threads` threads, at most [`MAX_THREADS`]; 0 means one for each core.
    pub(crate) fn new(n_threads: usize) -> Self {
        let n_threads = match n_threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        Self { workers: Workers::new(n_threads.min(MAX_THREADS) - 1) }
    }

    pub(crate) fn n_threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task(0)`, …, `task(n_tasks − 1)`, on any thread.
    ///
    /// Every thread begins at a place of its own and takes neighbours one after another, so that the rows that one op
    /// leaves in a core's cache are those that the next op reads there; who is done early helps the others.
    pub(crate) fn for_each(&self, n_tasks: usize, task: impl Fn(usize) + Sync) {
        let n_threads = self.n_threads().min(n_tasks);
        if n_threads < 2 {
            return (0..n_tasks).for_each(task);
        }
        let start_of = |part: usize| part * n_tasks / n_threads;
        let next: Vec<Alone> = (0..n_threads).map(|part| Alone(AtomicUsize::new(start_of(part)))).collect();
        self.workers.run(n_threads, &|own| {
            for part in (own..n_threads).chain(0..own) {
                let end = start_of(part + 1);
                while next[part].0.load(Relaxed) < end {
                    let i = next[part].0.fetch_add(1, Relaxed);
                    if i < end {
                        task(i);
                    }
                }
            }
        });
    }

    /// Cuts `0..len` in ranges of `chunk` and calls `task(start, len)` for each.
    pub(crate) fn for_each_chunk(&self, len: usize, chunk: usize, task: impl Fn(usize, usize) + Sync) {
        self.for_each(len.div_ceil(chunk), |i| task(i * chunk, chunk.min(len - i * chunk)));
    }

    /// `len` floats of unspecified value for the duration of `f`.
    pub(crate) fn with_scratch<T>(&self, len: usize, f: impl FnOnce(&mut [f32]) -> T) -> T {
        f(&mut Buffer::unspecified(len))
    }
}

/// A counter in cache lines of its own: threads that count apart do not wait for each other.
#[repr(align(128))]
struct Alone(AtomicUsize);

/// Elements per task where each is cheap: large enough to pay for a task, small enough to share out.
pub(crate) const CHUNK: usize = 16 * 1024;

/// A slice whose parts tasks write at the same time.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a, T = f32> {
    start: *mut T,
    len: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: it hands out parts only through `part`, whose caller promises that no two parts in use overlap.
unsafe impl<T: Number> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Number> Sync for Shared<'_, T> {}

impl<'a, T: Number> Shared<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), lifetime: PhantomData }
    }

    /// The elements `start .. start + len`.
    ///
    /// # Safety
    /// No other part in use at the same time overlaps this one.
    #[track_caller]
    #[allow(clippy::mut_from_ref, reason = "the caller promises that parts do not overlap")]
    pub(crate) unsafe fn part(&self, start: usize, len: usize) -> &'a mut [T] {
        assert!(start + len <= self.len, "part {start}..{} of a slice of {}", start + len, self.len);
        // SAFETY: in bounds by the assertion, unaliased by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }

    /// The elements `start .. start + len`, which several tasks may read.
    ///
    /// # Safety
    /// No part that is written to overlaps this one while it is in use.
    #[track_caller]
    pub(crate) unsafe fn read(&self, start: usize, len: usize) -> &'a [T] {
        assert!(start + len <= self.len, "part {start}..{} of a slice of {}", start + len, self.len);
        // SAFETY: in bounds by the assertion, not written to by the caller's promise.
        unsafe { std::slice::from_raw_parts(self.start.add(start), len) }
    }

    /// A pointer to element `at`, for tasks that read what others write elsewhere in the same rows.
    ///
    /// # Safety
    /// What is written through it stays inside the slice and is not in use elsewhere at the same time.
    #[track_caller]
    pub(crate) unsafe fn pointer(&self, at: usize) -> *mut T {
        assert!(at < self.len, "element {at} of a slice of {}", self.len);
        // SAFETY: in bounds by the assertion.
        unsafe { self.start.add(at) }
    }
}
