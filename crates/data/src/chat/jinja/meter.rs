//! What a template may use up.

use std::cell::Cell;

use super::failure::{Failure, Kind, Result};

/// What a value takes; it is checked where values are.
pub(crate) const VALUE_BYTES: usize = 64;

/// Elementary operations: a long conversation needs some millions, and this many take about two seconds.
const MAX_WORK: u64 = 400_000_000;
/// What evaluating one expression or statement counts as.
const STEP: u64 = 20;
/// Characters (4 bytes each) that a template may make, whether or not it keeps them: 128 MB.
const MAX_MADE: u64 = 32 << 20;
/// Expressions, statements and calls within one another.
const MAX_DEPTH: u32 = 2_500;
/// Calls of macros within one another: Python gives up near this too.
const MAX_CALLS: u32 = 150;

/// Counts work, memory and depth of one rendering, and ends it in time.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    work: Cell<u64>,
    made: Cell<u64>,
    depth: Cell<u32>,
    calls: Cell<u32>,
}

impl Meter {
    /// Counts `n` elementary operations.
    pub(crate) fn work(&self, n: usize) -> Result<()> {
        self.work.set(self.work.get().saturating_add(n as u64));
        if self.work.get() > MAX_WORK {
            return Err(Failure::new(Kind::Limit, "the template takes too many steps"));
        }
        Ok(())
    }

    /// Counts memory for `n` characters, before it is taken.
    pub(crate) fn make(&self, n: usize) -> Result<()> {
        self.made.set(self.made.get().saturating_add(n as u64));
        if self.made.get() > MAX_MADE {
            let limit = MAX_MADE >> 20;
            return Err(Failure::new(
                Kind::Limit,
                format!("the template makes more than {limit} million characters"),
            ));
        }
        self.work(n)
    }

    /// Counts memory for `n` values of a list or dictionary.
    pub(crate) fn make_values(&self, n: usize) -> Result<()> {
        self.make(n.saturating_mul(VALUE_BYTES / 4))
    }

    /// Begins a nested step; [`Meter::leave`] ends it.
    pub(crate) fn enter(&self) -> Result<()> {
        self.depth.set(self.depth.get() + 1);
        if self.depth.get() > MAX_DEPTH {
            return Err(Failure::new(Kind::Limit, "the template nests too deeply"));
        }
        self.work(STEP as usize)
    }

    pub(crate) fn leave(&self) {
        self.depth.set(self.depth.get().saturating_sub(1));
    }

    pub(crate) fn enter_call(&self) -> Result<()> {
        self.calls.set(self.calls.get() + 1);
        if self.calls.get() > MAX_CALLS {
            return Err(Failure::new(Kind::Limit, "the template's macros call each other too deeply"));
        }
        Ok(())
    }

    pub(crate) fn leave_call(&self) {
        self.calls.set(self.calls.get().saturating_sub(1));
    }
}
