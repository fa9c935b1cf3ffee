//! One form of the law, fitted to the runs of a table.

use crate::stats::{interval::median, random::Stream};

use super::{
    coefficient_priors::{coefficient_priors, starts},
    frame::Frame,
    law::{Features, Form, MAX_PARAMS, Theta},
    priors::{Floor, Priors},
    runs::Runs,
    solver::{CoefficientPriors, Problem, Solution, solve},
    typical_decrease::TypicalDecrease,
};

/// An outlier lies this many robust standard deviations off the law.
pub(crate) const OUTLIER_SDS: f64 = 6.0;
/// Position of ln κ among the coefficients of a transferred law.
const KAPPA: usize = 1;
/// Scatter below which no run is far off.
const LEAST_SD: f64 = 1e-4;
/// Runs below which none is left out, and the inverse of the largest share that is.
const LEAST_BULK: usize = 20;
const MOST_OUTLIERS: usize = 10;

/// A form with its coefficients and the scatter of the runs about it.
#[derive(Clone, Debug)]
pub(crate) struct FittedLaw {
    pub(crate) form: Form,
    pub(crate) theta: Theta,
    pub(crate) prior: CoefficientPriors,
    /// Standard deviation of ln L of one run about the law, and the degrees of freedom behind it.
    pub(crate) sigma: f64,
    pub(crate) degrees: f64,
    /// Covariance of θ by the curvature of the objective.
    pub(crate) covariance: [Theta; MAX_PARAMS],
    /// Largest features of the runs fitted.
    pub(crate) largest: Features,
    /// ln of the factor that the compute of the runs spans.
    pub(crate) span: f64,
    pub(crate) frame: Frame,
    /// ln of the compute up to which reference runs show the bend, where the prior on the floor is theirs.
    pub(crate) shown_to: Option<f64>,
    /// 1 for each run that was fitted, 0 for an outlier.
    pub(crate) kept: Vec<f64>,
    /// Least and largest ln D/N of the runs fitted.
    pub(crate) ratios: [f64; 2],
    /// How ln L falls with compute in other tables.
    pub(crate) typical_decrease: TypicalDecrease,
}

impl FittedLaw {
    /// Fits `form` to `runs`, starting from a grid, or from `near` alone where a similar fit is known.
    pub(crate) fn fit(
        form: Form,
        runs: &Runs,
        floor: Floor,
        priors: &Priors,
        near: Option<&Theta>,
    ) -> Option<Self> {
        let floor_prior = match floor {
            Floor::Open(prior) if form.coupling().is_some() => prior,
            _ => None,
        };
        let mut prior = coefficient_priors(form, runs, floor, priors);
        let mut starts = starts(form, runs, &prior);
        if let Some(theta) = near {
            starts = starts.into_iter().step_by(7).collect();
            starts.push(prior.held(theta));
        }
        let solve_with = |prior: &CoefficientPriors, weights: &[f64], starts: &[Theta]| -> Option<Solution> {
            runs.problem(form, weights, prior).minimise(starts)
        };
        prior.strength = strength(priors.noise, runs.delta);
        let first = solve_with(&prior, &vec![1.0; runs.log_losses.len()], &starts)?;
        let kept = inliers(form, runs, &first.theta);
        // The priors are worth their share beside the runs only once the scatter of the runs is known.
        let n_free = prior.n_free(form);
        let scatter = |theta: &Theta| {
            let sizes: Vec<f64> = runs
                .features
                .iter()
                .zip(&runs.log_losses)
                .map(|(x, y)| (y - form.log_loss(theta, x)).abs())
                .collect();
            let cap = 4.0 * 1.4826 * median(sizes.iter().copied()).max(1e-9);
            let degrees = (sizes.len() as f64 - n_free as f64).max(0.0);
            let squares: f64 = sizes.iter().zip(&runs.weights).map(|(r, w)| w * r.min(cap).powi(2)).sum();
            let prior_squares = priors.noise_degrees * priors.noise.powi(2);
            (
                ((squares + prior_squares) / (degrees + priors.noise_degrees)).sqrt(),
                degrees + priors.noise_degrees,
            )
        };
        prior.strength = strength(scatter(&first.theta).0, runs.delta);
        let best = solve_with(
            &prior,
            &kept,
            &[vec![first.theta], starts.into_iter().step_by(5).collect()].concat(),
        )?;
        let (sigma, degrees) = scatter(&best.theta);
        let problem = runs.problem(form, &kept, &prior);
        let covariance = problem.covariance(&best.theta, sigma);
        Some(Self {
            form,
            theta: best.theta,
            prior,
            sigma,
            degrees,
            covariance,
            largest: runs.largest(),
            span: runs.span(),
            frame: runs.frame.clone(),
            shown_to: floor_prior.map(|prior| prior.shown_to),
            kept,
            ratios: runs.ratios(),
            typical_decrease: TypicalDecrease::new(priors),
        })
    }

    /// How many coefficients the runs decide.
    pub(crate) fn n_free(&self) -> usize {
        self.prior.n_free(self.form)
    }

    /// ln L at shifted features.
    pub(crate) fn log_loss(&self, x: &Features) -> f64 {
        self.form.log_loss(&self.theta, x)
    }

    /// N and D with the least loss at `flops = 6·N·D`, by the law with `theta` or by that of its reference runs.
    pub(crate) fn compute_optimal(&self, theta: &Theta, flops: f64) -> Option<(f64, f64)> {
        match &self.frame.reference {
            Some(curve) => curve.compute_optimal(flops),
            None => self.form.compute_optimal(&self.form.unshifted(theta, &self.frame.shift), flops),
        }
    }

    /// Standard deviation of `log_loss(x)` from the curvature of the fit.
    pub(crate) fn log_loss_sd(&self, x: &Features) -> f64 {
        let mut slope = [0.0; MAX_PARAMS];
        self.form.log_loss_and_gradient(&self.theta, x, &mut slope);
        let mut variance = 0.0;
        for (i, row) in self.covariance.iter().enumerate() {
            for (j, c) in row.iter().enumerate() {
                variance += slope[i] * slope[j] * c;
            }
        }
        variance.max(0.0).sqrt()
    }

    /// Least negative log-likelihood that this form reaches on the runs with these weights, priors left out, for a scatter
    /// of `sigma`.
    pub(crate) fn misfit(&self, runs: &Runs, weights: &[f64], sigma: f64) -> f64 {
        let mut prior = self.prior.clone();
        prior.precision = [0.0; MAX_PARAMS];
        let problem = runs.problem(self.form, weights, &prior);
        let least = problem.minimise(&[self.theta]).map_or(f64::INFINITY, |solution| solution.objective);
        least.min(problem.objective(&self.theta)) / strength(sigma, runs.delta)
    }

    /// Whether the runs alone determine coefficient `idx` to a factor of 2: the profile likelihood, priors left out,
    /// must fall by half the 95 % quantile of chi-squared with one degree of freedom on both sides.
    pub(crate) fn is_determined(&self, idx: usize, runs: &Runs) -> bool {
        const HALF_CHI_SQUARED: f64 = 1.92;
        let mut prior = self.prior.clone();
        prior.is_fixed = prior.is_known();
        prior.precision = [0.0; MAX_PARAMS];
        let least = |prior: &CoefficientPriors, start: Theta| {
            let problem = runs.problem(self.form, &self.kept, prior);
            problem
                .minimise(&[start])
                .unwrap_or(Solution { theta: start, objective: problem.objective(&start) })
        };
        let free = least(&prior, self.theta);
        prior.is_fixed[idx] = true;
        [-1.0, 1.0].into_iter().all(|side| {
            let mut start = free.theta;
            start[idx] += side * std::f64::consts::LN_2;
            (least(&prior, start).objective - free.objective) / strength(self.sigma, runs.delta)
                > HALF_CHI_SQUARED
        })
    }

    /// |ln κ| of a transferred law, the log ratio of this table's exponents to those of the reference runs; 0 for other laws.
    pub(crate) fn log_exponent_ratio(&self) -> f64 {
        if self.form == Form::Transferred { self.theta[KAPPA].abs() } else { 0.0 }
    }

    /// ln of the density of κ under its prior, over that at its mean; 0 for other laws.
    pub(crate) fn log_exponent_prior(&self, priors: &Priors) -> f64 {
        let prior = priors.exponent_ratio;
        if self.form == Form::Transferred {
            -0.5 * ((self.theta[KAPPA] - prior.mean) / prior.sd).powi(2)
        } else {
            0.0
        }
    }

    /// One draw of the coefficients by the Bayesian bootstrap (Rubin 1981, <https://doi.org/10.1214/aos/1176345338>):
    /// each configuration and each run within it weighs Exponential(1), and each prior is drawn from itself, so that
    /// what the runs do not determine varies as widely as it is unknown.
    pub(crate) fn resampled(&self, runs: &Runs, stream: &mut Stream) -> Theta {
        let of_cluster: Vec<f64> =
            (0..=runs.clusters.last().copied().unwrap_or(0)).map(|_| stream.exponential()).collect();
        let mut sizes = vec![0usize; of_cluster.len()];
        runs.clusters.iter().for_each(|c| sizes[*c] += 1);
        let weights: Vec<f64> = runs
            .clusters
            .iter()
            .zip(&self.kept)
            .map(|(c, kept)| kept * of_cluster[*c] * if sizes[*c] > 1 { stream.exponential() } else { 1.0 })
            .collect();
        let mut prior = self.prior.clone();
        let least = runs.least_log_loss();
        for i in 0..self.form.n_params() {
            if prior.precision[i] > 0.0 {
                let mut draw = || self.prior.mean[i] + stream.normal() / self.prior.precision[i].sqrt();
                prior.mean[i] = draw();
                // Nothing pulls at a floor that is held, and none lies above a loss that was reached.
                while prior.is_fixed[i] && self.prior.mean[i] < least && prior.mean[i] >= least {
                    prior.mean[i] = draw();
                }
            }
        }
        let problem = runs.problem(self.form, &weights, &prior);
        problem.minimise(&[prior.held(&self.theta)]).map_or(self.theta, |solution| solution.theta)
    }
}

impl Problem<'_> {
    /// `strength·H⁻¹`: the objective over `strength` is the negative log posterior up to a constant. A coefficient that is held
    /// at a prior varies as that does, and takes the others along.
    fn covariance(&self, theta: &Theta, sigma: f64) -> [Theta; MAX_PARAMS] {
        let n = self.form.n_params();
        let (hessian, _) = self.quadratic(theta);
        let mut covariance = [[0.0; MAX_PARAMS]; MAX_PARAMS];
        for (i, column) in covariance.iter_mut().enumerate().take(n) {
            let mut unit = [0.0; MAX_PARAMS];
            unit[i] = if self.prior.is_fixed[i] { 0.0 } else { strength(sigma, self.delta) };
            *column = solve(&hessian, &unit, n).unwrap_or([0.0; MAX_PARAMS]);
        }
        let loose = CoefficientPriors { is_fixed: self.prior.is_known(), ..self.prior.clone() };
        let (loose, _) = Problem { prior: &loose, ..*self }.quadratic(theta);
        for held in (0..n).filter(|i| self.prior.is_fixed[*i] && self.prior.precision[*i] > 0.0) {
            let pull = std::array::from_fn(|i| if self.prior.is_fixed[i] { 0.0 } else { -loose[i][held] });
            let mut along = solve(&hessian, &pull, n).unwrap_or([0.0; MAX_PARAMS]);
            along[held] = 1.0;
            for (row, a) in covariance.iter_mut().zip(along) {
                row.iter_mut().zip(along).for_each(|(c, b)| *c += a * b / self.prior.precision[held]);
            }
        }
        covariance
    }
}

/// 1 for each run within [`OUTLIER_SDS`] robust standard deviations of the law, 0 beyond; the runs of the largest
/// configuration stay, since what no smaller run shows is no error of theirs. The Huber loss bounds what a
/// run's residual can do, not what its place among the runs can: a few runs at one edge still bend the law.
fn inliers(form: Form, runs: &Runs, theta: &Theta) -> Vec<f64> {
    let residuals =
        runs.features.iter().zip(&runs.log_losses).map(|(x, y)| (y - form.log_loss(theta, x)).abs());
    let residuals: Vec<f64> = residuals.collect();
    let bound = OUTLIER_SDS * (1.4826 * median(residuals.iter().copied())).max(LEAST_SD);
    let last = runs.clusters.last().copied();
    let is_kept = |(r, cluster): (&f64, &usize)| f64::from(*r <= bound || Some(*cluster) == last);
    let kept: Vec<f64> = residuals.iter().zip(&runs.clusters).map(is_kept).collect();
    let n_dropped = kept.iter().filter(|k| **k == 0.0).count();
    // A small table has no bulk to be off; and if many runs are off, the law is.
    let is_few = residuals.len() >= LEAST_BULK && n_dropped * MOST_OUTLIERS <= residuals.len();
    if is_few { kept } else { vec![1.0; residuals.len()] }
}

/// What one unit of negative log-likelihood is worth in the objective: σ² where residuals lie inside of δ, and δ·σ
/// where they lie beyond, as for a Laplace density of that scale.
fn strength(sigma: f64, delta: f64) -> f64 {
    sigma * sigma.min(delta)
}
