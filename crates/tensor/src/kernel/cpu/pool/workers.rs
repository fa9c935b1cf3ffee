//! Threads that share out the tasks of one job at a time with low fork–join cost.
//!
//! The caller works too. Workers spin for a moment between jobs, then park. A job is closed as soon as its tasks are
//! given out, so a worker that wakes late never holds the caller up.

use std::{
    cell::UnsafeCell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Condvar, Mutex, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread::JoinHandle,
};

/// Turns of the spin loop before a worker parks: a fraction of a millisecond, longer than the usual gap between jobs.
const SPINS: usize = 20_000;

/// Bit of [`Shared::state`] that says that workers may join the job; below it stands the number that have.
const OPEN: u64 = 1 << 16;
/// Most workers: far below what the counter in [`Shared::state`] holds.
const MAX_WORKERS: usize = 1023;
/// What each job adds to [`Shared::state`] above these bits.
const GENERATION: u64 = 1 << 17;

type Task<'a> = dyn Fn(usize) + Sync + 'a;

/// A job's task with its lifetime erased; valid while the job is open or joined.
#[derive(Clone, Copy)]
struct Job {
    task: *const Task<'static>,
    n_tasks: usize,
}

struct Shared {
    /// Generation of the job, whether it is open, and how many workers are in it.
    state: AtomicU64,
    job: UnsafeCell<Option<Job>>,
    next_task: AtomicUsize,
    has_panicked: AtomicBool,
    is_ending: AtomicBool,
    n_parked: AtomicUsize,
    parking: Mutex<()>,
    wake: Condvar,
}

// SAFETY: `job` is written only by the caller that holds the job lock while no worker is in a job, and read only
// by workers that joined one; `state` orders both. The task itself is `Sync`.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

/// `n` threads besides the caller's.
pub(super) struct Workers {
    shared: Arc<Shared>,
    /// Held by the caller of the job at hand; whoever finds it taken works alone.
    running: Mutex<()>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `n` threads, at most 1,023, or as many as the system gives.
    pub(super) fn new(n: usize) -> Self {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            job: UnsafeCell::new(None),
            next_task: AtomicUsize::new(0),
            has_panicked: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            n_parked: AtomicUsize::new(0),
            parking: Mutex::new(()),
            wake: Condvar::new(),
        });
        let spawn = |i| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(format!("kernel-{i}")).spawn(move || shared.work()).ok()
        };
        let threads = (1..=n.min(MAX_WORKERS)).map_while(spawn).collect();
        Self { shared, running: Mutex::new(()), threads }
    }

    /// How many threads besides the caller's.
    pub(super) fn len(&self) -> usize {
        self.threads.len()
    }

    /// Calls `task(0)`, …, `task(n_tasks − 1)` on all threads and returns when all are done.
    pub(super) fn run(&self, n_tasks: usize, task: &Task<'_>) {
        let _running = match self.running.try_lock() {
            Ok(running) => running,
            // A job that panicked was closed like any other.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return (0..n_tasks).for_each(task),
        };
        let shared = &*self.shared;
        let erased: *const Task<'_> = task;
        // SAFETY: only the lifetime changes. `close` below returns after the last worker has left the job, on every
        // path out of here, and no worker can join afterwards, so the task is never used past its life.
        let task_ptr = unsafe { std::mem::transmute::<*const Task<'_>, *const Task<'static>>(erased) };
        // SAFETY: this caller holds the job lock, and the last job was closed: no worker reads the cell.
        unsafe { *shared.job.get() = Some(Job { task: task_ptr, n_tasks }) };
        shared.next_task.store(0, SeqCst);
        shared.has_panicked.store(false, SeqCst);
        shared.state.fetch_add(GENERATION | OPEN, SeqCst);
        if shared.n_parked.load(SeqCst) > 0 {
            let _parking = shared.parking.lock().unwrap_or_else(PoisonError::into_inner);
            shared.wake.notify_all();
        }
        let result = catch_unwind(AssertUnwindSafe(|| shared.take_tasks(n_tasks, task)));
        shared.close();
        match result {
            Err(panic) => resume_unwind(panic),
            Ok(()) => assert!(!shared.has_panicked.load(SeqCst), "a task of a kernel panicked"),
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.is_ending.store(true, SeqCst);
        {
            let _parking = self.shared.parking.lock().unwrap_or_else(PoisonError::into_inner);
            self.shared.wake.notify_all();
        }
        for thread in self.threads.drain(..) {
            // A worker's panic was reported to the caller of its job.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Takes tasks until none is left.
    fn take_tasks(&self, n_tasks: usize, task: &Task<'_>) {
        loop {
            let i = self.next_task.fetch_add(1, SeqCst);
            if i >= n_tasks {
                return;
            }
            task(i);
        }
    }

    /// Lets no more worker join and waits until the last one has left.
    fn close(&self) {
        self.state.fetch_and(!OPEN, SeqCst);
        let mut spins = 0;
        while self.state.load(SeqCst) & (OPEN - 1) > 0 {
            spins += 1;
            // A worker that lost its core needs ours.
            if spins > SPINS { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
    }

    /// A worker's life.
    fn work(&self) {
        let mut seen = 0;
        while let Some(state) = self.wait_for_job(seen) {
            seen = state & !(GENERATION - 1);
            if self.state.compare_exchange(state, state + 1, SeqCst, SeqCst).is_err() {
                // Closed, or another worker joined at the same moment: look again.
                seen = seen.wrapping_sub(GENERATION);
                continue;
            }
            // SAFETY: joined: the caller waits for this worker, so the cell is not written and the task lives.
            if let Some(Job { task, n_tasks }) = unsafe { *self.job.get() } {
                // SAFETY: as above.
                let task = unsafe { &*task };
                let result = catch_unwind(AssertUnwindSafe(|| self.take_tasks(n_tasks, task)));
                if result.is_err() {
                    self.has_panicked.store(true, SeqCst);
                }
            }
            self.state.fetch_sub(1, SeqCst);
        }
    }

    /// Waits for an open job of another generation than `seen`; `None` when the pool ends.
    fn wait_for_job(&self, seen: u64) -> Option<u64> {
        let open = || {
            let state = self.state.load(SeqCst);
            (state & OPEN != 0 && state & !(GENERATION - 1) != seen).then_some(state)
        };
        loop {
            for _ in 0..SPINS {
                if let Some(state) = open() {
                    return Some(state);
                }
                if self.is_ending.load(SeqCst) {
                    return None;
                }
                std::hint::spin_loop();
            }
            let mut parking = self.parking.lock().unwrap_or_else(PoisonError::into_inner);
            // Counted before the last look: a caller that opens a job after it sees the count and wakes us.
            self.n_parked.fetch_add(1, SeqCst);
            while open().is_none() && !self.is_ending.load(SeqCst) {
                parking = self.wake.wait(parking).unwrap_or_else(PoisonError::into_inner);
            }
            self.n_parked.fetch_sub(1, SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        let workers = Workers::new(3);
        for round in 0..20_000 {
            let n_tasks = round % 17;
            let counts: Vec<AtomicUsize> = (0..n_tasks).map(|_| AtomicUsize::new(0)).collect();
            workers.run(n_tasks, &|i| {
                counts[i].fetch_add(1, SeqCst);
            });
            assert!(counts.iter().all(|count| count.load(SeqCst) == 1), "round {round}");
            if round % 5_000 == 0 {
                std::thread::sleep(std::time::Duration::from_millis(20)); // long enough to park
            }
        }
    }

    #[test]
    fn callers_on_several_threads_all_get_their_work_done() {
        let workers = Workers::new(2);
        let sum = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        workers.run(10, &|i| {
                            sum.fetch_add(i, SeqCst);
                        });
                    }
                });
            }
        });
        assert_eq!(sum.into_inner(), 4 * 500 * 45);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let workers = Workers::new(2);
        for bad in [0, 7, 63] {
            let result =
                catch_unwind(AssertUnwindSafe(|| workers.run(64, &|i| assert!(i != bad, "task {i}"))));
            assert!(result.is_err());
        }
        // Two tasks that wait for each other: only a pool that still shares out can end them.
        let met = AtomicUsize::new(0);
        workers.run(2, &|_| {
            met.fetch_add(1, SeqCst);
            while met.load(SeqCst) < 2 {
                std::thread::yield_now();
            }
        });
        assert_eq!(met.into_inner(), 2);
    }
}
