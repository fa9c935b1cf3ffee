//! Numbers that nobody can guess, for names and for seeds that were left open.

use std::hash::{BuildHasher as _, RandomState};

/// One of the system's random numbers.
pub(crate) fn number() -> u64 {
    // The keys of every state come from the system's generator.
    RandomState::new().hash_one(std::process::id())
}

/// A name that is never used again.
pub(crate) fn name(prefix: &str) -> String {
    format!("{prefix}{:016x}{:08x}", number(), number() as u32)
}
