//! Finished runs of the same design on other data: they show the bend that a short ladder cannot.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    Experience, ForecastError, Point, Settings, Table,
    candidate::{Data, FittedForm},
    fitted::members,
    kinship::{Estimate, Halves, floor_share, trial},
    law::{Features, Form, RawFeatures},
    share::Miss,
};

/// Distance in ln N and ln D over which runs leave a law together: runs of one rung do so, those of a rung at twice
/// the compute hardly.
const REACH: f64 = 0.35;
/// Weight of the law itself, at which nothing is left over, beside a run at distance 0.
const LAW_WEIGHT: f64 = 0.1;

/// A table of finished runs whose losses foretell those of another table: the same design on other data.
///
/// Losses of one design on two sets of data follow each other along a curve that is close to a power law
/// (<https://arxiv.org/abs/2411.12925>, "loss-to-loss prediction"), so that `ln L = ln K + κ·ln L_kin(N, D)` carries the
/// bend of the one table over to the other. `L_kin` is the law of the table plus what its runs near (N, D) leave over.
#[derive(Clone, Debug)]
pub struct Kin {
    name: String,
    table: Table,
    curve: Arc<Curve>,
}

#[derive(Debug)]
struct Curve {
    law: FittedForm,
    /// Raw features of each run, and what the law leaves over of its ln L.
    leftovers: Vec<(RawFeatures, f64)>,
    /// What was told of a floor, by where the runs were cut: every fit of a table asks, and most cut alike.
    told: Mutex<BTreeMap<[usize; 3], Option<Estimate>>>,
}

impl Kin {
    /// Fits `table`, which should reach as far as the forecasts that are to be made.
    ///
    /// # Errors
    /// As for [`crate::Fitted::fit`].
    pub fn new(name: impl Into<String>, table: &Table) -> Result<Self, ForecastError> {
        let experience = Experience::default();
        let mut members = members(table, &Settings::default(), &experience)?;
        let best = members.swap_remove(0);
        let data = Data::new(table, experience.nearness, None);
        let leftovers = data
            .features
            .iter()
            .zip(&data.log_losses)
            .map(|(x, y)| (data.frame.raw(x), y - best.fitted.log_loss(x)))
            .collect();
        let curve = Curve { law: best.fitted, leftovers, told: Mutex::default() };
        Ok(Self { name: name.into(), table: table.clone(), curve: Arc::new(curve) })
    }

    /// The name it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its runs, in ascending order of compute.
    pub fn points(&self) -> &[Point] {
        self.table.points()
    }

    /// The floor's share of the least loss of runs up to `flops`: see [`floor_share`].
    pub(crate) fn floor_share(&self, flops: f64) -> Option<Estimate> {
        let halves = self.halves(flops)?;
        let mut told = self.curve.told.lock().unwrap_or_else(PoisonError::into_inner);
        *told.entry(halves.cut()).or_insert_with(|| floor_share(&halves))
    }

    /// Its runs cut at `flops`.
    pub(crate) fn halves(&self, flops: f64) -> Option<Halves> {
        Halves::new(&self.table, flops)
    }

    /// Whether it has the runs to tell a floor to runs of up to `flops`, and no floor foretells them.
    pub(crate) fn breaks_with_its_ladder(&self, flops: f64) -> bool {
        self.halves(flops).is_some() && self.floor_share(flops).is_none()
    }

    /// What `form`, fitted to its runs of up to `flops`, gets wrong of its large ones: see [`trial`]. `None` also for kin that break
    /// with their ladder, as they would with any law that takes nothing from kin.
    pub(crate) fn trial(&self, form: Form, flops: f64) -> Option<Vec<Miss>> {
        self.floor_share(flops)?;
        trial(&self.halves(flops)?, form)
    }

    /// Compute of its largest run, in FLOPs.
    pub fn largest_flops(&self) -> f64 {
        self.points().last().map_or(0.0, |point| point.flops)
    }

    /// ln L of a run of this shape on its data.
    pub(crate) fn log_loss(&self, x: &RawFeatures) -> f64 {
        let Curve { law, leftovers, .. } = &*self.curve;
        let (mut sum, mut weights) = (0.0, LAW_WEIGHT);
        for (at, left) in leftovers {
            let squares: f64 = (1..3).map(|k| (x[k] - at[k]).powi(2)).sum();
            let weight = (-0.5 * squares / (REACH * REACH)).exp();
            sum += weight * left;
            weights += weight;
        }
        law.log_loss(&law.frame.shifted(x)) + sum / weights
    }

    /// N and D that its law holds best for `flops`.
    pub(crate) fn compute_optimal(&self, flops: f64) -> Option<(f64, f64)> {
        let law = &self.curve.law;
        law.form.compute_optimal(&law.form.unshifted(&law.theta, &law.frame.shift), flops)
    }
}

/// Where features are measured from, and what they are measured on.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Mean of the features, which keeps scales and exponents from being nearly collinear.
    pub(crate) shift: Features,
    /// What the last feature is read off.
    pub(crate) kin: Option<Kin>,
}

impl Frame {
    /// A frame in which the features of `runs` have mean 0.
    pub(crate) fn around(runs: &[RawFeatures], kin: Option<Kin>) -> Self {
        let mut frame = Self { shift: [0.0; 4], kin };
        let n = runs.len().max(1) as f64;
        let features: Vec<Features> = runs.iter().map(|x| frame.shifted(x)).collect();
        frame.shift = [0, 1, 2, 3].map(|k| features.iter().map(|x| x[k]).sum::<f64>() / n);
        frame
    }

    /// The features of a run, less the shift.
    pub(crate) fn shifted(&self, x: &RawFeatures) -> Features {
        let of_kin = self.kin.as_ref().map_or(0.0, |kin| -kin.log_loss(x));
        let [c, n, d] = *x;
        let raw = [c, n, d, of_kin];
        [0, 1, 2, 3].map(|k| raw[k] - self.shift[k])
    }

    /// ln C, ln N and ln D of a run.
    pub(crate) fn raw(&self, x: &Features) -> RawFeatures {
        [0, 1, 2].map(|k| x[k] + self.shift[k])
    }

    /// How far ln C of `x` lies beyond the runs of kin.
    pub(crate) fn beyond_kin(&self, x: &Features) -> Option<f64> {
        let kin = self.kin.as_ref()?;
        Some((x[0] + self.shift[0] - kin.largest_flops().ln()).max(0.0))
    }
}
