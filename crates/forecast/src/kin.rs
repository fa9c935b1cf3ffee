//! Finished runs of the same design on other data: they show the bend that a short ladder cannot.

use std::sync::Arc;

use crate::{
    Belief, Experience, ForecastError, Point, Settings, Table,
    candidate::{Data, FittedForm},
    fitted::members,
    law::{Features, Form, RawFeatures},
};

/// Distance in ln N and ln D over which runs leave a law together: runs of one rung do so, those of a rung at twice
/// the compute hardly.
const REACH: f64 = 0.35;
/// Weight of the law itself, at which nothing is left over, beside a run at distance 0.
const LAW_WEIGHT: f64 = 0.1;
/// Runs of kin with up to this many times the compute of a table's largest count as its like.
const SAME_COMPUTE: f64 = 1.1;
/// Least part of a loss of kin that counts as lying above its floor.
const LEAST_ABOVE_FLOOR: f64 = 0.01;

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
    /// The coupled law, where the runs allow one.
    coupled: Option<FittedForm>,
    /// Raw features of each run, and what the law leaves over of its ln L.
    leftovers: Vec<(RawFeatures, f64)>,
}

impl Kin {
    /// Fits `table`, which should reach as far as the forecasts that are to be made.
    ///
    /// # Errors
    /// As for [`crate::Fitted::fit`].
    pub fn new(name: impl Into<String>, table: &Table) -> Result<Self, ForecastError> {
        let experience = Experience::default();
        let mut members = members(table, &Settings::default(), &experience)?;
        let coupled = members.iter().find(|member| member.fitted.form == Form::Coupled);
        let coupled = coupled.map(|member| member.fitted.clone());
        let best = members.swap_remove(0);
        let data = Data::new(table, experience.nearness, None);
        let leftovers = data
            .features
            .iter()
            .zip(&data.log_losses)
            .map(|(x, y)| (data.frame.raw(x), y - best.fitted.log_loss(x)))
            .collect();
        let curve = Curve { law: best.fitted, coupled, leftovers };
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

    /// Whether it has a coupled law, and runs as small as `flops`: whether it says anything of a floor.
    pub(crate) fn tells_floor(&self, flops: f64) -> bool {
        self.floor_share(flops).is_some()
    }

    /// Whether its law has a floor.
    pub(crate) fn has_floor(&self) -> bool {
        self.curve.law.form.floor().is_some()
    }

    /// The floor of its law; 0 without one.
    fn floor(&self) -> f64 {
        let law = &self.curve.law;
        law.form.floor().map_or(0.0, |i| law.theta[i].exp())
    }

    /// ln of the share that the floor of its coupled law has in the least loss of its runs up to `flops`, and the variance of
    /// that; `None` without such runs.
    fn floor_share(&self, flops: f64) -> Option<(f64, f64)> {
        let coupled = self.curve.coupled.as_ref()?;
        let idx = coupled.form.floor()?;
        let like = self.points().iter().filter(|point| point.flops <= SAME_COMPUTE * flops);
        let least = like.map(|point| point.loss).min_by(f64::total_cmp)?;
        Some((coupled.theta[idx] - least.ln(), coupled.covariance[idx][idx]))
    }

    /// ln γ of its coupled law, and the variance of that.
    fn coupling(&self) -> Option<(f64, f64)> {
        let coupled = self.curve.coupled.as_ref()?;
        let idx = coupled.form.coupling()?;
        Some((coupled.theta[idx], coupled.covariance[idx][idx]))
    }

    /// N and D that its law holds best for `flops`.
    pub(crate) fn compute_optimal(&self, flops: f64) -> Option<(f64, f64)> {
        let law = &self.curve.law;
        law.form.compute_optimal(&law.form.unshifted(&law.theta, &law.frame.shift), flops)
    }
}

/// What kin say of a coupled law of runs whose largest has `flops`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kinship {
    /// ln of the floor's share of the least loss.
    pub(crate) floor_share: Belief,
    /// ln γ.
    pub(crate) coupling: Belief,
    /// ln of the compute up to which kin show the bend.
    pub(crate) shown_to: f64,
}

impl Kinship {
    /// What the kin of `experience` that have a coupled law, and runs as small as `flops`, have in common; `None` without any.
    pub(crate) fn new(experience: &Experience, flops: f64) -> Option<Self> {
        let told: Vec<_> = experience
            .kin
            .iter()
            .filter_map(|kin| Some((kin.floor_share(flops)?, kin.coupling()?, kin.largest_flops())))
            .collect();
        let shares: Vec<(f64, f64)> = told.iter().map(|(share, ..)| *share).collect();
        let couplings: Vec<(f64, f64)> = told.iter().map(|(_, coupling, _)| *coupling).collect();
        let degrees = experience.kin_spread_degrees;
        Some(Self {
            floor_share: carried(&shares, experience.kin_floor_spread, degrees)?,
            coupling: carried(&couplings, experience.kin_coupling_spread, degrees)?,
            shown_to: told.iter().map(|(.., largest)| *largest).fold(0.0, f64::max).ln(),
        })
    }
}

/// The belief about one more of a kind of which `values` with their variances were seen: their mean, and
/// `τ²·(1 + 1/n)` plus the mean variance over n, τ² the mean square of the deviations from the mean with `degrees` of
/// `spread²` beside them.
fn carried(values: &[(f64, f64)], spread: f64, degrees: f64) -> Option<Belief> {
    let n = values.len() as f64;
    if values.is_empty() {
        return None;
    }
    let mean = values.iter().map(|(value, _)| value).sum::<f64>() / n;
    let squares: f64 = values.iter().map(|(value, _)| (value - mean).powi(2)).sum();
    let spread_squared = (degrees * spread * spread + squares) / (degrees + n - 1.0);
    let of_fits = values.iter().map(|(_, variance)| variance).sum::<f64>() / n;
    Some(Belief { mean, sd: (spread_squared * (1.0 + 1.0 / n) + of_fits / n).sqrt() })
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
        let mut frame = Self { shift: [0.0; 5], kin };
        let n = runs.len().max(1) as f64;
        let features: Vec<Features> = runs.iter().map(|x| frame.shifted(x)).collect();
        frame.shift = [0, 1, 2, 3, 4].map(|k| features.iter().map(|x| x[k]).sum::<f64>() / n);
        frame
    }

    /// The features of a run, less the shift.
    pub(crate) fn shifted(&self, x: &RawFeatures) -> Features {
        let (whole, above) = self.kin.as_ref().map_or((0.0, 0.0), |kin| {
            let log_loss = kin.log_loss(x);
            (-log_loss, -(log_loss.exp() - kin.floor()).max(LEAST_ABOVE_FLOOR * log_loss.exp()).ln())
        });
        let [c, n, d] = *x;
        let raw = [c, n, d, whole, above];
        [0, 1, 2, 3, 4].map(|k| raw[k] - self.shift[k])
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
