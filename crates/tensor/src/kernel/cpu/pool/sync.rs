//! What [`super::workers`] synchronises with: std's types, or loom's in a build that checks the protocol.

#[cfg(loom)]
pub(super) use self::checked::*;
#[cfg(not(loom))]
pub(super) use self::native::*;

#[cfg(not(loom))]
mod native {
    use std::time::{Duration, Instant};
    pub(in super::super) use std::{
        sync::{
            Arc, Condvar, Mutex, MutexGuard,
            atomic::{AtomicBool, AtomicIsize, AtomicUsize},
        },
        thread::{Builder, JoinHandle, yield_now},
    };

    /// How long a thread spins before it gives its core away: longer than the usual gap between jobs, and than a
    /// park and a wake-up cost.
    const MOMENT: Duration = Duration::from_micros(100);
    /// Looks between two readings of the clock, which costs about as much as one pause.
    const LOOKS: usize = 64;

    /// Spins until `is_true` or for a moment; says which.
    #[inline]
    pub(in super::super) fn spin_until(is_true: impl Fn() -> bool) -> bool {
        let mut end = None;
        loop {
            for _ in 0..LOOKS {
                if is_true() {
                    return true;
                }
                std::hint::spin_loop();
            }
            let now = Instant::now();
            if now >= *end.get_or_insert(now + MOMENT) {
                return false;
            }
        }
    }

    /// std's cell with loom's interface.
    pub(in super::super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(in super::super) fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        /// A pointer to read through.
        pub(in super::super) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        /// A pointer to write through.
        pub(in super::super) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

#[cfg(loom)]
mod checked {
    pub(in super::super) use loom::{
        cell::UnsafeCell,
        sync::{
            Arc, Condvar, Mutex, MutexGuard,
            atomic::{AtomicBool, AtomicIsize, AtomicUsize},
        },
        thread::{Builder, JoinHandle, yield_now},
    };

    /// Looks once: loom goes through every order of threads, but not through endless ones.
    pub(in super::super) fn spin_until(is_true: impl Fn() -> bool) -> bool {
        is_true()
    }
}
