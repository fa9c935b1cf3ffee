//! The pool's protocol in every order of its threads, as loom finds them:
//! `RUSTFLAGS="--cfg loom" cargo test -p tensor --release --lib loom`.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use loom::{
    cell::UnsafeCell,
    model::Builder,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use super::workers::Workers;

/// Runs `f` in every order that takes a thread's core away at most `n_preemptions` times, where there is a bound.
fn check(n_preemptions: impl Into<Option<usize>>, f: impl Fn() + Send + Sync + 'static) {
    let mut model = Builder::new();
    model.preemption_bound = n_preemptions.into();
    model.check(f);
}

/// Runs a job whose tasks count themselves in plain memory: loom reports a task that runs twice at a time, or whose
/// writes the caller does not see.
fn run_counted(workers: &Workers, n_tasks: usize) {
    let counts = Counts((0..n_tasks).map(|_| UnsafeCell::new(0)).collect());
    let counts = &counts;
    // SAFETY: a task writes to its own cell; loom checks that it is alone.
    workers.run(n_tasks, &|i| counts.0[i].with_mut(|count| unsafe { *count += 1 }));
    for (i, count) in counts.0.iter().enumerate() {
        // SAFETY: the job is over; loom checks that no task still writes.
        assert_eq!(count.with(|count| unsafe { *count }), 1, "task {i}");
    }
}

struct Counts(Vec<UnsafeCell<usize>>);

// SAFETY: loom checks every access.
unsafe impl Sync for Counts {}

#[test]
fn every_task_runs_once_and_is_seen() {
    check(None, || run_counted(&Workers::new(1), 3));
}

#[test]
fn every_task_runs_once_with_two_workers() {
    check(3, || run_counted(&Workers::new(2), 3));
}

#[test]
fn a_late_worker_finds_the_next_job_or_none() {
    check(5, || {
        let workers = Workers::new(1);
        run_counted(&workers, 2);
        run_counted(&workers, 2);
    });
}

#[test]
fn a_pool_ends_whatever_its_workers_do() {
    check(None, || drop(Workers::new(1)));
    check(None, || drop(Workers::new(2)));
}

/// Two tasks that wait for each other end only if a worker comes, though it be parked or about to park.
#[test]
fn no_job_goes_unheard() {
    for (n_workers, n_preemptions) in [(1, None), (2, Some(2))] {
        check(n_preemptions, move || {
            let workers = Workers::new(n_workers);
            let n_met = AtomicUsize::new(0);
            workers.run(2, &|_| {
                n_met.fetch_add(1, Relaxed);
                while n_met.load(Relaxed) < 2 {
                    thread::yield_now();
                }
            });
        });
    }
}

#[test]
fn a_second_caller_works_alone() {
    check(3, || {
        let workers = Arc::new(Workers::new(1));
        let other = {
            let workers = Arc::clone(&workers);
            thread::spawn(move || run_counted(&workers, 2))
        };
        run_counted(&workers, 2);
        other.join().unwrap();
    });
}

#[test]
fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
    for bad in 0..3 {
        check(4, move || {
            let workers = Workers::new(1);
            let run = || {
                workers.run(3, &|i| {
                    if i == bad {
                        resume_unwind(Box::new("without a message: there are many orders"));
                    }
                });
            };
            assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
            run_counted(&workers, 2);
        });
    }
}
