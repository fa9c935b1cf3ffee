//! Threads that share out the tasks of one job at a time with low fork–join cost.
//!
//! The caller works too and waits only for tasks that a worker has taken, never for a worker to come: one that wakes
//! late holds nobody up. Workers spin for a moment between jobs, then park. `loom_tests` checks the protocol and that
//! no memory ordering here can be weaker.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        PoisonError,
        atomic::Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

use super::sync::{
    Arc, AtomicBool, AtomicIsize, AtomicUsize, Builder, Condvar, JoinHandle, Mutex, MutexGuard, UnsafeCell,
    spin_until, yield_now,
};

/// `n` threads besides the caller's.
pub(super) struct Workers {
    shared: Arc<Shared>,
    /// Whether a job is at hand; whoever finds one works alone.
    is_running: AtomicBool,
    /// What [`Results::n_done`] was when the last job ended.
    n_done_before: AtomicUsize,
    threads: Vec<JoinHandle<()>>,
}

type Task<'a> = dyn Fn(usize) + Sync + 'a;

/// Tasks `0..n_tasks`, their lifetime erased; valid until all are done.
#[derive(Clone, Copy)]
struct Job {
    task: *const Task<'static>,
    n_tasks: usize,
}

struct Shared {
    job: CurrentJob,
    results: Results,
    parking: Parking,
}

/// What the caller writes and workers wait for: one fetch brings both to a worker. A pair of cache lines, here and
/// below, because processors fetch them in pairs.
#[repr(align(128))]
struct CurrentJob {
    /// Tasks that nobody has taken; below zero by those who looked for one in vain. Only ever changed by reading and
    /// writing in one: each change then sees all before it.
    n_left: AtomicIsize,
    /// Written while no task is left or under way, read by workers that took a task and have not reported it done.
    job: UnsafeCell<Option<Job>>,
}

/// What workers write and the caller waits for.
#[repr(align(128))]
struct Results {
    /// Tasks done by workers in all jobs so far: setting it back would cost the caller a fetch from a worker's cache.
    n_done: AtomicUsize,
    has_panicked: AtomicBool,
}

/// What is rarely written.
#[repr(align(128))]
struct Parking {
    is_ending: AtomicBool,
    /// Workers that park and have no ticket on its way; written under the lock of `n_tickets`.
    n_parked: AtomicUsize,
    /// How many of the parked workers may leave.
    n_tickets: Mutex<usize>,
    wake: Condvar,
}

// SAFETY: the job's task is `Sync`, and its cell is written and read at the times that `CurrentJob` states; `n_left`
// orders a write before the reads that follow, `n_done` a read before the next write.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Workers {
    /// Starts `n` threads, or as many as the system gives.
    pub(super) fn new(n: usize) -> Self {
        let shared = Arc::new(Shared {
            job: CurrentJob { n_left: AtomicIsize::new(0), job: UnsafeCell::new(None) },
            results: Results { n_done: AtomicUsize::new(0), has_panicked: AtomicBool::new(false) },
            parking: Parking {
                is_ending: AtomicBool::new(false),
                n_parked: AtomicUsize::new(0),
                n_tickets: Mutex::new(0),
                wake: Condvar::new(),
            },
        });
        let spawn = |i| {
            let shared = Arc::clone(&shared);
            Builder::new().name(format!("kernel-{i}")).spawn(move || shared.work()).ok()
        };
        let threads = (1..=n).map_while(spawn).collect();
        Self { shared, is_running: AtomicBool::new(false), n_done_before: AtomicUsize::new(0), threads }
    }

    /// How many threads besides the caller's.
    pub(super) fn len(&self) -> usize {
        self.threads.len()
    }

    /// Calls `task(0)`, …, `task(n_tasks − 1)` on all threads and returns when all are done.
    pub(super) fn run(&self, n_tasks: usize, task: &Task<'_>) {
        if n_tasks < 2 || self.is_running.swap(true, Acquire) {
            return (0..n_tasks).for_each(task);
        }
        let Shared { job: current, results, parking } = &*self.shared;
        let erased: *const Task<'_> = task;
        // SAFETY: only the lifetime changes. Who takes one of the `n_tasks` uses the task, nobody else, and every path
        // out of here waits until all are done.
        let task = unsafe { std::mem::transmute::<*const Task<'_>, *const Task<'static>>(erased) };
        let job = Job { task, n_tasks };
        // SAFETY: `is_running` was false: all tasks of the last job are done.
        current.job.with_mut(|cell| unsafe { *cell = Some(job) });
        // The caller has taken the first already.
        current.n_left.swap(n_tasks.cast_signed() - 1, AcqRel);
        if parking.n_parked.load(Relaxed) > 0 {
            parking.wake(self.len(), n_tasks - 1);
        }
        // SAFETY: the task is alive until this function returns.
        let (n_taken, result) = unsafe { current.take_tasks(job, n_tasks) };
        let n_done = self.n_done_before.load(Relaxed).wrapping_add(n_tasks - n_taken);
        while !spin_until(|| results.n_done.load(Acquire) == n_done) {
            // A worker may want this core.
            yield_now();
        }
        self.n_done_before.store(n_done, Relaxed);
        let has_panicked = results.has_panicked.load(Relaxed);
        if has_panicked {
            results.has_panicked.store(false, Relaxed);
        }
        self.is_running.store(false, Release);
        match result {
            Err(panic) => resume_unwind(panic),
            Ok(()) => assert!(!has_panicked, "a task of a kernel panicked"),
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let parking = &self.shared.parking;
        parking.is_ending.store(true, Relaxed);
        *parking.tickets() += self.len();
        parking.wake.notify_all();
        for thread in self.threads.drain(..) {
            // A worker's panic was reported to the caller of its job.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// A worker's life.
    fn work(&self) {
        let Self { job: current, results, parking } = self;
        let is_ending = || parking.is_ending.load(Relaxed);
        while !is_ending() {
            if !spin_until(|| current.n_left.load(Relaxed) > 0 || is_ending()) {
                parking.park(current);
            } else if let Some(n_left) = current.take_task() {
                // SAFETY: took a task, reports it done below.
                let job = current.job.with(|cell| unsafe { *cell }).expect("tasks come with a job");
                // SAFETY: the caller waits for this task.
                let (n_taken, result) = unsafe { current.take_tasks(job, n_left) };
                if result.is_err() {
                    results.has_panicked.store(true, Relaxed);
                }
                results.n_done.fetch_add(n_taken, Release);
            }
        }
    }
}

impl CurrentJob {
    /// Takes a task, if any is left: how many were.
    fn take_task(&self) -> Option<usize> {
        let n_left = self.n_left.fetch_sub(1, Acquire);
        (n_left > 0).then(|| n_left.cast_unsigned())
    }

    /// Runs the task taken when `n_left` were left, then others until none is. How many tasks this thread answers for,
    /// and the panic that stopped it.
    ///
    /// # Safety
    /// The task that was taken is one of `job`, whose caller waits until it is done.
    unsafe fn take_tasks(&self, job: Job, mut n_left: usize) -> (usize, std::thread::Result<()>) {
        // SAFETY: the caller's promise; the tasks taken below prolong it.
        let task = unsafe { &*job.task };
        let mut n_taken = 0;
        let result = catch_unwind(AssertUnwindSafe(|| {
            loop {
                n_taken += 1;
                task(job.n_tasks - n_left);
                match self.take_task() {
                    Some(n) => n_left = n,
                    None => return,
                }
            }
        }));
        if result.is_err() {
            // The job has failed: nobody runs what is left of it.
            n_taken += self.n_left.swap(0, Relaxed).max(0).cast_unsigned();
        }
        (n_taken, result)
    }
}

impl Parking {
    /// Sleeps until woken, unless there is a job.
    fn park(&self, current: &CurrentJob) {
        let mut n_tickets = self.tickets();
        let n_parked = self.n_parked.load(Relaxed);
        self.n_parked.store(n_parked + 1, Relaxed);
        // A write that changes nothing. If the next job comes before it, its tasks are seen here; if after, its caller
        // sees that this worker is parked.
        if current.n_left.fetch_add(0, Release) > 0 {
            self.n_parked.store(n_parked, Relaxed);
            return;
        }
        while *n_tickets == 0 {
            n_tickets = self.wake.wait(n_tickets).unwrap_or_else(PoisonError::into_inner);
        }
        *n_tickets -= 1;
    }

    /// Wakes as many workers as `n_tasks` keep busy besides those of the `n_workers` that are awake.
    fn wake(&self, n_workers: usize, n_tasks: usize) {
        let mut n_tickets = self.tickets();
        let n_parked = self.n_parked.load(Relaxed);
        let n = (n_tasks + n_parked).saturating_sub(n_workers).min(n_parked);
        self.n_parked.store(n_parked - n, Relaxed);
        *n_tickets += n;
        drop(n_tickets);
        for _ in 0..n {
            self.wake.notify_one();
        }
    }

    fn tickets(&self) -> MutexGuard<'_, usize> {
        self.n_tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(loom)))] // threads outside a model
mod tests {
    use std::{
        sync::atomic::Ordering::SeqCst,
        time::{Duration, Instant},
    };

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
                std::thread::sleep(Duration::from_millis(20)); // long enough to park
            }
        }
    }

    #[test]
    fn idle_workers_park_and_come_back() {
        let workers = Workers::new(2);
        for round in 0..20 {
            let start = Instant::now();
            while workers.shared.parking.n_parked.load(SeqCst) != 2 {
                assert!(start.elapsed() < Duration::from_secs(60), "round {round}");
                std::thread::yield_now();
            }
            // Three tasks that wait for each other need both.
            let met = AtomicUsize::new(0);
            workers.run(3, &|_| {
                met.fetch_add(1, SeqCst);
                while met.load(SeqCst) < 3 {
                    std::thread::yield_now();
                }
            });
        }
        assert_eq!(*workers.shared.parking.tickets(), 0);
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
