//! The loss of a large run from the losses of small ones.
//!
//! One direction: table → [`runs`] → [`priors`] → [`fitted_law`] → [`cross_validation`] → [`member`] (weights) →
//! [`ensemble`] (draws) → [`forecaster`] (intervals). [`reference_runs`] and [`transfer`] stand between the weights and the
//! forecaster: reference runs are fitted by the same laws.

pub(crate) mod admissible;
mod coefficient_priors;
mod cross_validation;
mod diagnostics;
mod ensemble;
mod extrapolation;
mod fitted_law;
pub(crate) mod forecaster;
mod frame;
mod holdout;
pub(crate) mod isoflop;
mod law;
mod member;
mod model_error;
pub(crate) mod priors;
pub(crate) mod reference_runs;
mod runs;
mod solver;
#[cfg(test)]
mod testing;
mod transfer;
mod typical_decrease;
