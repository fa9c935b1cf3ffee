//! Finished runs of the same design on other data: they show the bend that a short ladder cannot.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{ForecastError, Point, Settings, Table};

use super::{
    frame::ReferenceCurve,
    holdout::{Estimate, HoldoutSplit, floor_fraction, held_out_residuals},
    law::Form,
    member::{NoReferences, members},
    model_error::HeldOutResidual,
    priors::Priors,
    runs::Runs,
};

/// Finished runs of the same design (architecture, recipe, vocabulary size) on other data.
///
/// Losses of one design on two sets of data follow each other along a curve that is close to a power law
/// (<https://arxiv.org/abs/2411.12925>, "loss-to-loss prediction"), so that `ln L = ln K + κ·ln L_ref(N, D)` carries the
/// bend of the one table over to the other. `L_ref` is the law of the reference runs, corrected by the residuals of those
/// near (N, D).
#[derive(Clone, Debug)]
pub struct ReferenceRuns {
    table: Table,
    curve: Arc<ReferenceCurve>,
    /// The floors estimated so far, by what they depend on.
    floors: Arc<Mutex<BTreeMap<[usize; 3], Option<Estimate>>>>,
}

impl ReferenceRuns {
    /// Fits the law of `table`, under the name `name`.
    ///
    /// # Errors
    /// As [`crate::Forecaster::fit`].
    pub fn new(name: impl Into<String>, table: &Table) -> Result<Self, ForecastError> {
        let priors = Priors::default();
        let mut members = members(table, &Settings::default(), &priors, &NoReferences)?;
        let law = members.swap_remove(0).fitted;
        let runs = Runs::new(table, priors.recency_exponent, None);
        let residual = |(x, y): (_, &f64)| (runs.frame.raw(x), y - law.log_loss(x));
        let curve = ReferenceCurve {
            name: name.into(),
            form: law.form,
            theta: law.theta,
            shift: law.frame.shift,
            residuals: runs.features.iter().zip(&runs.log_losses).map(residual).collect(),
            largest_flops: table.points().last().map_or(0.0, |point| point.flops),
        };
        Ok(Self { table: table.clone(), curve: Arc::new(curve), floors: Arc::default() })
    }

    /// What the runs are called.
    pub fn name(&self) -> &str {
        &self.curve.name
    }

    /// The runs.
    pub fn points(&self) -> &[Point] {
        self.table.points()
    }

    /// The largest compute among the runs.
    pub fn largest_flops(&self) -> f64 {
        self.curve.largest_flops
    }

    pub(crate) fn curve(&self) -> Arc<ReferenceCurve> {
        Arc::clone(&self.curve)
    }

    /// The floor as a fraction of the least loss of runs of up to `flops`, by these runs; `None` where they give none.
    pub(crate) fn floor_fraction(&self, flops: f64) -> Option<Estimate> {
        let split = self.split(flops)?;
        let mut floors = self.floors.lock().unwrap_or_else(PoisonError::into_inner);
        *floors.entry(split.cut()).or_insert_with(|| floor_fraction(&split))
    }

    /// The runs of up to `flops` and the large ones, where there are enough of both.
    pub(crate) fn split(&self, flops: f64) -> Option<HoldoutSplit> {
        HoldoutSplit::new(&self.table, flops)
    }

    /// Whether the large runs lie where no floor lets a law of the small ones lie.
    pub(crate) fn is_inconsistent(&self, flops: f64) -> bool {
        self.split(flops).is_some() && self.floor_fraction(flops).is_none()
    }

    /// Residuals of the large runs about `form` fitted to those of up to `flops`; `None` where that cannot be tried.
    pub(crate) fn held_out_residuals(&self, form: Form, flops: f64) -> Option<Vec<HeldOutResidual>> {
        self.floor_fraction(flops)?;
        held_out_residuals(&self.split(flops)?, form)
    }
}
