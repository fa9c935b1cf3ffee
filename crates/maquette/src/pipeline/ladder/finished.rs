//! What a ladder came to.

use crate::run_dir::{Cost, RatioTest, Role, RungResult, Sweep};

/// A finished ladder.
pub(crate) struct Ladder {
    pub(crate) results: Vec<RungResult>,
    pub(crate) sweep: Vec<Sweep>,
    pub(crate) ratios: Vec<RatioTest>,
    pub(crate) cost: Cost,
}

impl Ladder {
    /// The rungs that a law is fitted to: those with the rule's own learning rates.
    pub(crate) fn points(&self) -> impl Iterator<Item = &RungResult> {
        self.results.iter().filter(|result| result.role == Role::Rung)
    }
}
