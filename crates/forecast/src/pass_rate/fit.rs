//! Fitting a form to a bucket, the forms' competition, and draws of the prediction.

use super::{
    FormScore,
    bucket::{Bucket, LEAST_SD, log_likelihood},
    form::{PassRateForm, Place},
};
use crate::stats::random::Stream;

/// Coefficients and what is known of their error.
#[derive(Clone, Debug)]
pub(crate) struct Fitted {
    coefficients: Vec<f64>,
    /// Standard deviation of a run's ln q about the law.
    scatter: f64,
    /// Root mean square error in ln q, per e-fold of compute beyond the largest run fitted, where larger fit runs were
    /// predicted from smaller ones.
    drift: f64,
    degrees_of_freedom: f64,
}

/// Runs that a form is fitted to at least, when it is to predict the next.
fn least_runs(form: PassRateForm) -> usize {
    form.n_coefficients() + 1
}

/// Lets the forms predict larger runs from smaller ones; best first. A form that needs more runs is left out.
pub(crate) fn compete(buckets: &[Bucket]) -> Vec<FormScore> {
    let mut scores: Vec<FormScore> = Vec::new();
    for form in PassRateForm::ALL {
        let (mut sum, mut n) = (0.0, 0.0);
        for bucket in buckets.iter().filter(|bucket| bucket.refused.is_none()) {
            for (predicted, found, _) in held_out(bucket, form, least_runs(PassRateForm::PowerPlateau)) {
                sum += (bucket.pass_rate(predicted) - bucket.pass_rate(found)).abs();
                n += 1.0;
            }
        }
        if n > 0.0 {
            scores.push(FormScore { form, held_out_error: sum / n });
        }
    }
    scores.sort_by(|a, b| a.held_out_error.total_cmp(&b.held_out_error));
    scores
}

/// The first of [`PassRateForm::ALL`] that is nearly as good as the best: a few held-out runs tell forms apart only so far.
pub(crate) fn choose(competition: &[FormScore]) -> PassRateForm {
    let best = competition.first().map_or(0.0, |score| score.held_out_error);
    let is_near = |form: &PassRateForm| {
        competition.iter().any(|score| score.form == *form && score.held_out_error <= 1.1 * best + 0.002)
    };
    PassRateForm::ALL.into_iter().find(is_near).unwrap_or(PassRateForm::PowerLaw)
}

/// For every run past the first `n_first`: ln q predicted from all smaller runs, found, and e-folds of compute beyond them;
/// also the run after the next, where there is one.
fn held_out(bucket: &Bucket, form: PassRateForm, n_first: usize) -> Vec<(f64, f64, f64)> {
    let n_runs = bucket.places.len();
    let mut found = Vec::new();
    for n_fit in n_first..n_runs {
        let mut weights = vec![0.0; n_runs];
        weights[..n_fit].fill(1.0);
        if bucket.estimates[..n_fit].iter().flatten().count() < 2 {
            continue;
        }
        let coefficients = maximise(bucket, form, &weights, LEAST_SD.max(0.1), None);
        for target in n_fit..(n_fit + 2).min(n_runs) {
            let Some((actual, _)) = bucket.estimates[target] else { continue };
            let predicted = bucket.ln_q(form.value(&coefficients, &bucket.places[target], bucket.chance));
            let beyond = bucket.places[target].ln_flops - bucket.places[n_fit - 1].ln_flops;
            found.push((predicted, actual, beyond.max(0.1)));
        }
    }
    found
}

impl Fitted {
    /// Fits `form` to all runs of `bucket`.
    pub(crate) fn new(bucket: &Bucket, form: PassRateForm) -> Self {
        let weights = vec![1.0; bucket.places.len()];
        let mut scatter: f64 = 0.1;
        let mut coefficients = maximise(bucket, form, &weights, scatter, None);
        // The scatter decides how much an exact run weighs against a sampled one, and the other way round.
        for _ in 0..2 {
            let (mut sum, mut n) = (0.0, 0.0);
            for (place, estimate) in bucket.places.iter().zip(&bucket.estimates) {
                let Some((ln_q, sd)) = estimate else { continue };
                let error = ln_q - bucket.ln_q(form.value(&coefficients, place, bucket.chance));
                sum += (error * error - if *sd > 1.5 * LEAST_SD { sd * sd } else { 0.0 }).max(0.0);
                n += 1.0;
            }
            scatter = (sum / f64::max(n - form.n_coefficients() as f64, 1.0)).sqrt().max(LEAST_SD);
            coefficients = maximise(bucket, form, &weights, scatter, Some(&coefficients));
        }
        let tested = held_out(bucket, form, least_runs(form));
        let squares: f64 =
            tested.iter().map(|(predicted, found, beyond)| (predicted - found).powi(2) / beyond).sum();
        let drift = if tested.is_empty() { scatter } else { (squares / tested.len() as f64).sqrt() };
        let degrees_of_freedom = (bucket.places.len() as f64 - form.n_coefficients() as f64).max(2.0);
        Self { coefficients, scatter, drift, degrees_of_freedom }
    }

    /// One draw of ln q at `place`: runs reweighted (the Bayesian bootstrap, <https://doi.org/10.1214/aos/1176345338>) and
    /// the form refitted, then the law's own error, which grows with the root of the way beyond the rungs as back-tests
    /// showed it, with Student's tails.
    pub(crate) fn draw(&self, bucket: &Bucket, form: PassRateForm, place: &Place, rng: &mut Stream) -> f64 {
        let n_runs = bucket.places.len();
        let raw: Vec<f64> = (0..n_runs).map(|_| rng.exponential()).collect();
        let total: f64 = raw.iter().sum();
        let weights: Vec<f64> = raw.iter().map(|weight| weight * n_runs as f64 / total).collect();
        let coefficients = maximise(bucket, form, &weights, self.scatter, Some(&self.coefficients));
        let beyond = place.ln_flops.max(0.0);
        let sd = self.scatter.hypot(self.drift * beyond.sqrt());
        let student =
            rng.normal() / (rng.chi_squared(self.degrees_of_freedom) / self.degrees_of_freedom).sqrt();
        bucket.ln_q(form.value(&coefficients, place, bucket.chance)) + sd * student
    }
}

/// Most likely coefficients under run weights, where a run's ln q scatters about the law by `scatter`.
fn maximise(
    bucket: &Bucket,
    form: PassRateForm,
    weights: &[f64],
    scatter: f64,
    start: Option<&[f64]>,
) -> Vec<f64> {
    // A sharp likelihood is flattened to the width that the scatter leaves it: sd² → sd² + scatter².
    let tempered: Vec<f64> = bucket
        .estimates
        .iter()
        .zip(weights)
        .map(|(estimate, weight)| {
            estimate.map_or(*weight, |(_, sd)| weight * sd * sd / (sd * sd + scatter * scatter))
        })
        .collect();
    let loss = |coefficients: &[f64]| -> f64 {
        let mut total = 0.0;
        for ((place, evidence), weight) in bucket.places.iter().zip(&bucket.evidence).zip(&tempered) {
            if *weight > 0.0 {
                let ln_q = bucket.ln_q(form.value(coefficients, place, bucket.chance));
                total -= weight * log_likelihood(evidence, ln_q.clamp(-20.0, 20.0));
            }
        }
        // Weak: a slope of 1 per e-fold of compute, or of 10 per nat, is already steep; a plateau is not below e^−6.
        let steep = if form == PassRateForm::TwoStep { 10.0 } else { 1.0 };
        let plateau = coefficients.get(2).map_or(0.0, |ln_plateau| 0.02 * (ln_plateau + 3.0).powi(2));
        let slope = coefficients[1];
        let wrong_way = if slope < 0.0 { 10.0 * (slope / steep).powi(2) } else { 0.0 };
        total + 0.05 * (slope / steep).powi(2) + wrong_way + plateau
    };
    let (start, size) = match start {
        Some(start) => (start.to_vec(), 0.1),
        None => (guess(bucket, form, weights), 0.5),
    };
    minimise(loss, start, size)
}

/// A straight line through the runs that solved something.
fn guess(bucket: &Bucket, form: PassRateForm, weights: &[f64]) -> Vec<f64> {
    let points: Vec<(f64, f64)> = bucket
        .places
        .iter()
        .zip(&bucket.estimates)
        .zip(weights)
        .filter(|(_, weight)| **weight > 0.0)
        .filter_map(|((place, estimate), _)| {
            let (ln_q, _) = (*estimate)?;
            let y = match form {
                PassRateForm::PowerLaw | PassRateForm::PowerPlateau => -ln_q,
                PassRateForm::LogisticCompute | PassRateForm::TwoStep => {
                    crate::chain::logit((bucket.pass_rate(ln_q) - bucket.chance) / (1.0 - bucket.chance))
                }
            };
            Some((form.x(place), y))
        })
        .collect();
    let n = points.len() as f64;
    let (x, y) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let spread: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>().max(1e-9);
    let slope = (points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>() / spread).max(1e-3);
    let level = y - slope * x;
    match form {
        PassRateForm::PowerLaw => vec![-level, slope],
        PassRateForm::PowerPlateau => vec![-level, slope, -level - 3.0],
        PassRateForm::LogisticCompute | PassRateForm::TwoStep => vec![level, slope],
    }
}

/// Nelder and Mead's simplex, <https://doi.org/10.1093/comjnl/7.4.308>; at most 120 steps, which two or three coefficients
/// do not need.
fn minimise(loss: impl Fn(&[f64]) -> f64, start: Vec<f64>, size: f64) -> Vec<f64> {
    let n = start.len();
    let mut simplex: Vec<(f64, Vec<f64>)> = (0..=n)
        .map(|i| {
            let mut point = start.clone();
            if i > 0 {
                point[i - 1] += size * point[i - 1].abs().max(0.2);
            }
            (loss(&point), point)
        })
        .collect();
    for _ in 0..120 {
        simplex.sort_by(|a, b| a.0.total_cmp(&b.0));
        if simplex[n].0 - simplex[0].0 < 1e-7 {
            break;
        }
        let centre: Vec<f64> =
            (0..n).map(|j| simplex[..n].iter().map(|(_, point)| point[j]).sum::<f64>() / n as f64).collect();
        let along = |factor: f64| -> (f64, Vec<f64>) {
            let point: Vec<f64> =
                (0..n).map(|j| centre[j] + factor * (simplex[n].1[j] - centre[j])).collect();
            (loss(&point), point)
        };
        let reflected = along(-1.0);
        let next = if reflected.0 < simplex[0].0 {
            let expanded = along(-2.0);
            if expanded.0 < reflected.0 { expanded } else { reflected }
        } else if reflected.0 < simplex[n - 1].0 {
            reflected
        } else {
            along(if reflected.0 < simplex[n].0 { -0.5 } else { 0.5 })
        };
        if next.0 < simplex[n].0 {
            simplex[n] = next;
            continue;
        }
        let best = simplex[0].1.clone();
        for vertex in &mut simplex[1..] {
            for (x, b) in vertex.1.iter_mut().zip(&best) {
                *x = 0.5 * (*x + b);
            }
            vertex.0 = loss(&vertex.1);
        }
    }
    simplex.sort_by(|a, b| a.0.total_cmp(&b.0));
    simplex.swap_remove(0).1
}
