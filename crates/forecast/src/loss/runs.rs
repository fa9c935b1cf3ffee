//! The runs of a table as a fit reads them.

use std::sync::Arc;

use crate::{Table, stats::interval::median};

use super::{
    frame::{Frame, ReferenceCurve},
    law::{Features, Form, RawFeatures},
    solver::{CoefficientPriors, HUBER_DELTA, Problem},
};

/// The runs of a table, in the frame in which they are fitted.
#[derive(Clone, Debug)]
pub(crate) struct Runs {
    /// Of each run, in `frame`.
    pub(crate) features: Vec<Features>,
    pub(crate) log_losses: Vec<f64>,
    /// Weight of each run; the mean is 1.
    pub(crate) weights: Vec<f64>,
    /// Number of each run's configuration.
    pub(crate) clusters: Vec<usize>,
    pub(crate) n_clusters: usize,
    pub(crate) frame: Frame,
    /// δ of the Huber loss.
    pub(crate) delta: f64,
}

impl Runs {
    pub(crate) fn new(table: &Table, recency_exponent: f64, reference: Option<Arc<ReferenceCurve>>) -> Self {
        let raw: Vec<RawFeatures> = table
            .points()
            .iter()
            .map(|p| [Some(p.flops), p.n_params, p.n_tokens].map(|x| x.map_or(0.0, f64::ln)))
            .collect();
        let frame = Frame::around(&raw, reference);
        let features: Vec<Features> = raw.iter().map(|x| frame.shifted(x)).collect();
        let weights = weights(&features, recency_exponent);
        let log_losses: Vec<f64> = table.points().iter().map(|p| p.loss.ln()).collect();
        let clusters = table.clusters();
        let n_clusters = clusters.iter().max().map_or(0, |last| last + 1);
        let delta = delta(&log_losses, &clusters);
        Self { features, log_losses, weights, clusters, n_clusters, frame, delta }
    }

    /// The same runs, those whose configuration `keep` accepts, with the same shift.
    pub(crate) fn only(&self, recency_exponent: f64, keep: impl Fn(usize) -> bool) -> Self {
        let kept = || self.clusters.iter().enumerate().filter(|(_, c)| keep(**c)).map(|(i, _)| i);
        let clusters: Vec<usize> = kept().map(|i| self.clusters[i]).collect();
        let mut distinct = clusters.clone();
        distinct.dedup();
        let features: Vec<Features> = kept().map(|i| self.features[i]).collect();
        Self {
            weights: weights(&features, recency_exponent),
            features,
            log_losses: kept().map(|i| self.log_losses[i]).collect(),
            n_clusters: distinct.len(),
            clusters,
            frame: self.frame.clone(),
            delta: self.delta,
        }
    }

    /// What is fitted where `form` shall describe these runs.
    pub(crate) fn problem<'a>(
        &'a self,
        form: Form,
        weights: &'a [f64],
        prior: &'a CoefficientPriors,
    ) -> Problem<'a> {
        Problem {
            form,
            features: &self.features,
            log_losses: &self.log_losses,
            weights,
            prior,
            delta: self.delta,
        }
    }

    /// Least mean of ln L over the runs of one configuration: the best of many repetitions is their luck.
    pub(crate) fn least_log_loss(&self) -> f64 {
        let mean = |cluster: usize| {
            let of_cluster = self.log_losses.iter().zip(&self.clusters).filter(|(_, c)| **c == cluster);
            let (sum, n) = of_cluster.fold((0.0, 0.0), |(sum, n), (y, _)| (sum + y, n + 1.0));
            sum / n
        };
        self.clusters.iter().map(|cluster| mean(*cluster)).fold(f64::INFINITY, f64::min)
    }

    /// ln of the largest compute over the smallest.
    pub(crate) fn span(&self) -> f64 {
        let smallest = self.features.iter().map(|x| x[0]).fold(f64::INFINITY, f64::min);
        self.largest()[0] - smallest
    }

    /// Least and largest ln D/N.
    pub(crate) fn ratios(&self) -> [f64; 2] {
        let ratios = self.features.iter().map(|x| self.frame.raw(x)).map(|raw| raw[2] - raw[1]);
        ratios.fold([f64::INFINITY, f64::NEG_INFINITY], |[lo, hi], r| [lo.min(r), hi.max(r)])
    }

    /// The largest of each feature.
    pub(crate) fn largest(&self) -> Features {
        [0, 1, 2, 3].map(|k| self.features.iter().map(|x| x[k]).fold(f64::NEG_INFINITY, f64::max))
    }
}

/// `(C/C_max)^recency_exponent`, scaled to a mean of 1: the runs nearest to the target say most about it.
fn weights(features: &[Features], recency_exponent: f64) -> Vec<f64> {
    let largest = features.iter().map(|x| x[0]).fold(f64::NEG_INFINITY, f64::max);
    let raw: Vec<f64> = features.iter().map(|x| (recency_exponent * (x[0] - largest)).exp()).collect();
    let mean = raw.iter().sum::<f64>() / raw.len().max(1) as f64;
    raw.into_iter().map(|w| w / mean).collect()
}

/// δ of the Huber loss: 1.345 standard deviations of one run between repetitions, where enough are there, which keeps 95 % of the
/// efficiency of least squares under normal scatter (Huber 1964, <https://doi.org/10.1214/aoms/1177703732>); else, and at
/// least, [`HUBER_DELTA`], which in scatter of a hundredth is the L1 norm and keeps 64 %.
///
/// The standard deviation is 1.4826 times the median size of the deviations from their configuration's mean, n of which with
/// one mean taken off are `√(n/(n − 1))` too small: one run that diverged must not pass for scatter.
fn delta(log_losses: &[f64], clusters: &[usize]) -> f64 {
    const SDS: f64 = 1.345;
    const LEAST_DEGREES: usize = 8;
    let n_clusters = clusters.iter().max().map_or(0, |last| last + 1);
    let (mut sums, mut counts) = (vec![0.0; n_clusters], vec![0usize; n_clusters]);
    for (y, cluster) in log_losses.iter().zip(clusters) {
        sums[*cluster] += y;
        counts[*cluster] += 1;
    }
    let repeated = || log_losses.iter().zip(clusters).filter(|(_, cluster)| counts[**cluster] > 1);
    let degrees = repeated().count() - counts.iter().filter(|n| **n > 1).count();
    if degrees < LEAST_DEGREES {
        return HUBER_DELTA;
    }
    let sizes = repeated().map(|(y, cluster)| {
        let n = counts[*cluster] as f64;
        (y - sums[*cluster] / n).abs() * (n / (n - 1.0)).sqrt()
    });
    (SDS * 1.4826 * median(sizes)).max(HUBER_DELTA)
}
