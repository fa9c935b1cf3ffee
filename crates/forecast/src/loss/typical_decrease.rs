//! How losses fall with compute in other tables.

use super::priors::Priors;

/// Factor of compute beyond the runs up to which the typical decrease grows: intervals of runs further out hold what they
/// should without it, and a ladder that shows its floor need not be doubted the more.
const TYPICAL_REACH: f64 = 20.0;

/// The decrease of ln L with compute at the means of the priors on a law in compute: what a table is expected to do before
/// it is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TypicalDecrease {
    floor_fraction: f64,
    exponent: f64,
}

impl TypicalDecrease {
    pub(crate) fn new(priors: &Priors) -> Self {
        Self { floor_fraction: priors.floor.mean.exp(), exponent: priors.compute_exponent.mean.exp() }
    }

    /// Over `distance` in ln C beyond the runs.
    pub(crate) fn over(self, distance: f64) -> f64 {
        let distance = distance.min(TYPICAL_REACH.ln());
        let rest = (1.0 - self.floor_fraction) * (-self.exponent * distance).exp();
        -(self.floor_fraction + rest).ln()
    }
}
