//! Priors: what other tables say of a law before the table is read. A small table cannot replace them, a large one
//! overrules them.

/// A normal prior on a logarithm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogPrior {
    /// Mean of the logarithm.
    pub mean: f64,
    /// Standard deviation of the logarithm.
    pub sd: f64,
}

/// Priors on the coefficients of the laws, on their weights and on the model error.
///
/// The defaults are rounded from the public tables of `docs/forecast-statistics.md`, which also shows what becomes of the
/// coverage of each table when they are estimated from the others alone.
#[derive(Clone, Debug)]
pub struct Priors {
    /// ln of an exponent of N or D.
    pub shape_exponent: LogPrior,
    /// ln of an exponent of N or D in a coupled law.
    pub coupled_exponent: LogPrior,
    /// ln of the γ that couples N and D.
    pub coupling: LogPrior,
    /// ln of the exponent of C in a law with a floor; along the optimal shapes it is αβ/(α+β), half of the former.
    pub compute_exponent: LogPrior,
    /// ln of the exponent of C in a law without a floor.
    pub no_floor_exponent: LogPrior,
    /// ln of κ, the exponent of the reference runs' loss in a transferred law.
    pub exponent_ratio: LogPrior,
    /// ln of the model error of a transferred law for each unit of |ln κ|: reference runs whose losses fall with another
    /// exponent are of another kind of data, and the ratio need not stay what it is.
    pub transfer_error_per_log_ratio: LogPrior,
    /// Standard deviation, over texts of one kind, of ln of the floor as a fraction of the least loss that runs of given
    /// compute reach: how far a coupled law trusts the floor of reference runs.
    pub reference_floor_spread: f64,
    /// How many reference runs that standard deviation is worth beside what the reference runs themselves show.
    pub reference_floor_degrees: f64,
    /// Weight of a law without a floor beside one with a floor before cross-validation: text has entropy.
    pub no_floor_weight: f64,
    /// Weight of a coupled law without a floor from reference runs beside an additive one before cross-validation: it has
    /// one coefficient more.
    pub coupled_weight: f64,
    /// Weight of a law fitted to the table alone beside reference runs that reach beyond the table, before cross-validation
    /// and before the law is tried on the reference runs.
    pub own_law_weight: f64,
    /// ln of the floor as a fraction of the least loss seen.
    pub floor: LogPrior,
    /// ln of the model error, as a fraction of the extrapolated decrease of ln L.
    pub model_error: LogPrior,
    /// The same for a transferred law.
    pub transfer_error: LogPrior,
    /// The same for a coupled law whose floor comes from reference runs: what it gets wrong above all is the floor, which has
    /// its own spread.
    pub coupled_error: LogPrior,
    /// Degrees of freedom of Student's t for the model error: a large run may break with its ladder altogether.
    pub model_error_degrees: f64,
    /// How many observations one fold of the cross-validation counts for; its folds have runs in common.
    pub fold_weight: f64,
    /// γ of the weights `(C/C_max)^γ` with which runs count in the scatter: what happens near the target matters most.
    pub recency_exponent: f64,
    /// Scatter of ln L of one run about the law.
    pub noise: f64,
    /// Degrees of freedom that `noise` is worth.
    pub noise_degrees: f64,
}

impl Default for Priors {
    fn default() -> Self {
        Self {
            shape_exponent: LogPrior { mean: -1.0, sd: 0.5 },
            coupled_exponent: LogPrior { mean: -1.35, sd: 0.25 },
            coupling: LogPrior { mean: -0.4, sd: 0.5 },
            compute_exponent: LogPrior { mean: -1.8, sd: 0.4 },
            no_floor_exponent: LogPrior { mean: -2.8, sd: 0.8 },
            exponent_ratio: LogPrior { mean: 0.0, sd: 0.15 },
            transfer_error_per_log_ratio: LogPrior { mean: -1.0, sd: 0.6 },
            reference_floor_spread: 0.1,
            reference_floor_degrees: 2.0,
            no_floor_weight: 0.05,
            coupled_weight: 0.3,
            own_law_weight: 0.05,
            floor: LogPrior { mean: -0.6, sd: 0.5 },
            model_error: LogPrior { mean: -2.6, sd: 0.9 },
            transfer_error: LogPrior { mean: -3.8, sd: 0.9 },
            coupled_error: LogPrior { mean: -4.6, sd: 0.7 },
            model_error_degrees: 5.0,
            fold_weight: 0.6,
            recency_exponent: 0.3,
            noise: 0.003,
            noise_degrees: 2.0,
        }
    }
}

/// What reference runs say of the floor of a coupled law.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FloorPrior {
    /// ln of the floor as a fraction of the least loss.
    pub(crate) fraction: LogPrior,
    /// ln of the compute up to which the reference runs show the bend.
    pub(crate) shown_to: f64,
}

/// The floor of a law before it is fitted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Floor {
    /// The irreducible loss is known.
    Known(f64),
    /// It is fitted; a coupled law takes its prior from reference runs where they give one.
    Open(Option<FloorPrior>),
}
