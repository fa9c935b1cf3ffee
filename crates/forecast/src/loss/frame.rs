//! Features as a fit reads them: shifted to lie around 0, beside the loss of reference runs at the same place.

use std::sync::Arc;

use super::law::{Features, Form, RawFeatures, Theta};

/// Reference runs must reach this many times beyond the table to show more of the bend than the table does.
pub(crate) const LEAST_REACH: f64 = 3.0;
/// A target with more than this many times the compute of the largest reference run lies beyond what they show.
pub(crate) const BEYOND: f64 = 2.0;

/// Distance in ln N and ln D within which a residual of a reference run counts for a place near it.
const REACH: f64 = 0.35;
/// Weight of "no residual" beside them: far from all runs the law alone holds.
const LAW_WEIGHT: f64 = 0.1;

/// The losses of finished runs on other data as a curve: their law, and what it leaves of each run.
#[derive(Clone, Debug)]
pub(crate) struct ReferenceCurve {
    pub(crate) name: String,
    pub(crate) form: Form,
    pub(crate) theta: Theta,
    pub(crate) shift: Features,
    /// Place of each run, and ln of its loss less that of the law.
    pub(crate) residuals: Vec<(RawFeatures, f64)>,
    pub(crate) largest_flops: f64,
}

impl ReferenceCurve {
    /// ln L of the law, corrected by the residuals of the runs nearby.
    fn log_loss(&self, x: &RawFeatures) -> f64 {
        let (mut sum, mut weights) = (0.0, LAW_WEIGHT);
        for (at, residual) in &self.residuals {
            let squares: f64 = (1..3).map(|k| (x[k] - at[k]).powi(2)).sum();
            let weight = (-0.5 * squares / (REACH * REACH)).exp();
            sum += weight * residual;
            weights += weight;
        }
        self.form.log_loss(&self.theta, &shifted(x, 0.0, &self.shift)) + sum / weights
    }

    /// N and D with the least loss at `flops = 6·N·D`, by the law.
    pub(crate) fn compute_optimal(&self, flops: f64) -> Option<(f64, f64)> {
        self.form.compute_optimal(&self.form.unshifted(&self.theta, &self.shift), flops)
    }
}

/// How features are read: what is taken from them, and the reference curve at the same place.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) shift: Features,
    pub(crate) reference: Option<Arc<ReferenceCurve>>,
}

impl Frame {
    /// The frame in which the features of `runs` have a mean of 0.
    pub(crate) fn around(runs: &[RawFeatures], reference: Option<Arc<ReferenceCurve>>) -> Self {
        let mut frame = Self { shift: [0.0; 4], reference };
        let n = runs.len().max(1) as f64;
        let features: Vec<Features> = runs.iter().map(|x| frame.shifted(x)).collect();
        frame.shift = [0, 1, 2, 3].map(|k| features.iter().map(|x| x[k]).sum::<f64>() / n);
        frame
    }

    pub(crate) fn shifted(&self, x: &RawFeatures) -> Features {
        let of_reference = self.reference.as_ref().map_or(0.0, |curve| -curve.log_loss(x));
        shifted(x, of_reference, &self.shift)
    }

    pub(crate) fn raw(&self, x: &Features) -> RawFeatures {
        [0, 1, 2].map(|k| x[k] + self.shift[k])
    }

    /// How far in ln C a run lies beyond the largest reference run.
    pub(crate) fn beyond_reference(&self, x: &Features) -> Option<f64> {
        let curve = self.reference.as_ref()?;
        Some((x[0] + self.shift[0] - curve.largest_flops.ln()).max(0.0))
    }
}

fn shifted(x: &RawFeatures, of_reference: f64, shift: &Features) -> Features {
    let [c, n, d] = *x;
    let raw = [c, n, d, of_reference];
    [0, 1, 2, 3].map(|k| raw[k] - shift[k])
}
