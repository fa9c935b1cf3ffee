//! One form of the law, fitted to the runs of a table.

use crate::{
    Table,
    experience::Experience,
    fit::{HUBER_DELTA, Prior, Problem, Solution, solve},
    interval::median,
    kin::{Frame, Kin},
    kinship::Kinship,
    law::{Features, Form, MAX_PARAMS, RawFeatures, Theta},
    random::Stream,
};

/// An outlier lies this many robust standard deviations off the law.
pub(crate) const OUTLIER_SDS: f64 = 6.0;
/// Position of ln κ among the coefficients of a law of kin.
const KAPPA: usize = 1;
/// Least span of compute, as a logarithm, that distances are measured in.
const LEAST_LOG_SPAN: f64 = 0.7;
/// Factor of compute beyond the runs up to which the usual fall grows: intervals of runs further out hold what they should
/// without it, and a ladder that shows its floor need not be doubted the more.
const USUAL_REACH: f64 = 20.0;
/// Scatter below which no run is far off.
const LEAST_SD: f64 = 1e-4;
/// Runs below which none is left out, and the inverse of the largest share that is.
const LEAST_BULK: usize = 20;
const MOST_OUTLIERS: usize = 10;

/// The runs as the fit reads them.
#[derive(Clone, Debug)]
pub(crate) struct Data {
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

impl Data {
    pub(crate) fn new(table: &Table, nearness: f64, kin: Option<Kin>) -> Self {
        let raw: Vec<RawFeatures> = table
            .points()
            .iter()
            .map(|p| [Some(p.flops), p.n_params, p.n_tokens].map(|x| x.map_or(0.0, f64::ln)))
            .collect();
        let frame = Frame::around(&raw, kin);
        let features: Vec<Features> = raw.iter().map(|x| frame.shifted(x)).collect();
        let weights = weights(&features, nearness);
        let log_losses: Vec<f64> = table.points().iter().map(|p| p.loss.ln()).collect();
        let clusters = table.clusters();
        let n_clusters = clusters.iter().max().map_or(0, |last| last + 1);
        let delta = delta(&log_losses, &clusters);
        Self { features, log_losses, weights, clusters, n_clusters, frame, delta }
    }

    /// The same runs, those whose configuration `keep` accepts, with the same shift.
    pub(crate) fn only(&self, nearness: f64, keep: impl Fn(usize) -> bool) -> Self {
        let kept = || self.clusters.iter().enumerate().filter(|(_, c)| keep(**c)).map(|(i, _)| i);
        let clusters: Vec<usize> = kept().map(|i| self.clusters[i]).collect();
        let mut distinct = clusters.clone();
        distinct.dedup();
        let features: Vec<Features> = kept().map(|i| self.features[i]).collect();
        Self {
            weights: weights(&features, nearness),
            features,
            log_losses: kept().map(|i| self.log_losses[i]).collect(),
            n_clusters: distinct.len(),
            clusters,
            frame: self.frame.clone(),
            delta: self.delta,
        }
    }

    /// What is fitted where `form` shall describe these runs.
    fn problem<'a>(&'a self, form: Form, weights: &'a [f64], prior: &'a Prior) -> Problem<'a> {
        Problem {
            form,
            features: &self.features,
            log_losses: &self.log_losses,
            weights,
            prior,
            delta: self.delta,
        }
    }

    /// What kin say of a coupled law of these runs.
    fn kinship(&self, form: Form, floor: Option<f64>, experience: &Experience) -> Option<Kinship> {
        let is_open = form.coupling().is_some() && floor.is_none();
        if is_open { Kinship::new(experience, self.frame.raw(&self.largest())[0].exp()) } else { None }
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
    fn span(&self) -> f64 {
        let smallest = self.features.iter().map(|x| x[0]).fold(f64::INFINITY, f64::min);
        self.largest()[0] - smallest
    }

    /// Least and largest ln D/N.
    fn ratios(&self) -> [f64; 2] {
        let ratios = self.features.iter().map(|x| self.frame.raw(x)).map(|raw| raw[2] - raw[1]);
        ratios.fold([f64::INFINITY, f64::NEG_INFINITY], |[lo, hi], r| [lo.min(r), hi.max(r)])
    }

    /// The largest of each feature.
    pub(crate) fn largest(&self) -> Features {
        [0, 1, 2, 3].map(|k| self.features.iter().map(|x| x[k]).fold(f64::NEG_INFINITY, f64::max))
    }
}

/// A form with its coefficients and the scatter of the runs about it.
#[derive(Clone, Debug)]
pub(crate) struct FittedForm {
    pub(crate) form: Form,
    pub(crate) theta: Theta,
    pub(crate) prior: Prior,
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
    /// ln of the compute up to which kin show the bend, where the beliefs about the coefficients are theirs.
    pub(crate) shown_to: Option<f64>,
    /// 1 for each run that was fitted, 0 for an outlier.
    pub(crate) kept: Vec<f64>,
    /// Least and largest ln D/N of the runs fitted.
    pub(crate) ratios: [f64; 2],
    /// How ln L falls with compute in other tables.
    pub(crate) usual_fall: UsualFall,
}

impl FittedForm {
    /// Fits `form` to `data`, starting from a grid, or from `near` alone where a similar fit is known.
    pub(crate) fn new(
        form: Form,
        data: &Data,
        floor: Option<f64>,
        experience: &Experience,
        near: Option<&Theta>,
    ) -> Option<Self> {
        let kinship = data.kinship(form, floor, experience);
        let mut prior = beliefs(form, data, floor, kinship, experience);
        let mut starts = starts(form, data, &prior);
        if let Some(theta) = near {
            starts = starts.into_iter().step_by(7).collect();
            starts.push(prior.held(theta));
        }
        let solve_with = |prior: &Prior, weights: &[f64], starts: &[Theta]| -> Option<Solution> {
            data.problem(form, weights, prior).minimise(starts)
        };
        prior.strength = strength(experience.noise, data.delta);
        let first = solve_with(&prior, &vec![1.0; data.log_losses.len()], &starts)?;
        let kept = inliers(form, data, &first.theta);
        // The beliefs are worth their share beside the data only once the scatter of the data is known.
        let n_free = prior.n_free(form);
        let scatter = |theta: &Theta| {
            let sizes: Vec<f64> = data
                .features
                .iter()
                .zip(&data.log_losses)
                .map(|(x, y)| (y - form.log_loss(theta, x)).abs())
                .collect();
            let cap = 4.0 * 1.4826 * median(sizes.iter().copied()).max(1e-9);
            let degrees = (sizes.len() as f64 - n_free as f64).max(0.0);
            let squares: f64 = sizes.iter().zip(&data.weights).map(|(r, w)| w * r.min(cap).powi(2)).sum();
            let prior_squares = experience.noise_degrees * experience.noise.powi(2);
            (
                ((squares + prior_squares) / (degrees + experience.noise_degrees)).sqrt(),
                degrees + experience.noise_degrees,
            )
        };
        prior.strength = strength(scatter(&first.theta).0, data.delta);
        let best = solve_with(
            &prior,
            &kept,
            &[vec![first.theta], starts.into_iter().step_by(5).collect()].concat(),
        )?;
        let (sigma, degrees) = scatter(&best.theta);
        let problem = data.problem(form, &kept, &prior);
        let covariance = problem.covariance(&best.theta, sigma);
        Some(Self {
            form,
            theta: best.theta,
            prior,
            sigma,
            degrees,
            covariance,
            largest: data.largest(),
            span: data.span(),
            frame: data.frame.clone(),
            shown_to: kinship.map(|kinship| kinship.shown_to),
            kept,
            ratios: data.ratios(),
            usual_fall: UsualFall::new(experience),
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

    /// N and D with the least loss at `flops = 6·N·D`, by the law with `theta` or by that of its kin.
    pub(crate) fn compute_optimal(&self, theta: &Theta, flops: f64) -> Option<(f64, f64)> {
        match &self.frame.kin {
            Some(kin) => kin.compute_optimal(flops),
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

    /// Least negative log-likelihood that this form reaches on the runs with these weights, beliefs left out, for a scatter
    /// of `sigma`.
    pub(crate) fn misfit(&self, data: &Data, weights: &[f64], sigma: f64) -> f64 {
        let mut prior = self.prior.clone();
        prior.precision = [0.0; MAX_PARAMS];
        let problem = data.problem(self.form, weights, &prior);
        let least = problem.minimise(&[self.theta]).map_or(f64::INFINITY, |solution| solution.objective);
        least.min(problem.objective(&self.theta)) / strength(sigma, data.delta)
    }

    /// Whether the runs alone determine coefficient `idx` to a factor of 2: the profile likelihood, beliefs left out,
    /// must fall by half the 95 % quantile of chi-squared with one degree of freedom on both sides.
    pub(crate) fn is_determined(&self, idx: usize, data: &Data) -> bool {
        const HALF_CHI_SQUARED: f64 = 1.92;
        let mut prior = self.prior.clone();
        prior.is_fixed = prior.is_known();
        prior.precision = [0.0; MAX_PARAMS];
        let least = |prior: &Prior, start: Theta| {
            let problem = data.problem(self.form, &self.kept, prior);
            problem
                .minimise(&[start])
                .unwrap_or(Solution { theta: start, objective: problem.objective(&start) })
        };
        let free = least(&prior, self.theta);
        prior.is_fixed[idx] = true;
        [-1.0, 1.0].into_iter().all(|side| {
            let mut start = free.theta;
            start[idx] += side * std::f64::consts::LN_2;
            (least(&prior, start).objective - free.objective) / strength(self.sigma, data.delta)
                > HALF_CHI_SQUARED
        })
    }

    /// How much ln L falls, by the law, between the edge of the runs and `x`: the part of a forecast that no run
    /// supports. The edge is reached by going back along N and D in equal shares to the largest compute fitted, or to
    /// the largest N and D fitted, whichever is further. Beyond one span of the runs it counts times the distance in
    /// spans, unless kin shows the bend; and at least what losses fall over that distance in other tables.
    pub(crate) fn unsupported_drop(&self, x: &Features) -> f64 {
        let at = self.log_loss(x);
        let back = (x[0] - self.largest[0]).max(0.0);
        let raw = self.frame.raw(x);
        let edge = self.frame.raw(&self.largest);
        let rise = |raw: [f64; 3]| self.log_loss(&self.frame.shifted(&raw)) - at;
        let by_compute = rise([raw[0] - back, raw[1] - 0.5 * back, raw[2] - 0.5 * back]);
        let by_shape = rise([0, 1, 2].map(|k| raw[k].min(edge[k])));
        // A bend that runs over a short range cannot show grows with the distance in units of that range.
        let beyond_shown = self.shown_to.map(|edge| (raw[0] - edge).max(0.0));
        let unseen = self.frame.beyond_kin(x).or(beyond_shown).unwrap_or(back);
        let reach = (unseen / self.span.max(LEAST_LOG_SPAN)).max(1.0);
        let by_law = reach * by_compute.max(by_shape).max(0.0);
        // A floor that is fitted too high makes the law flat beyond the runs, and hides what it may get wrong there.
        let is_floor_known = self.form.floor().is_some_and(|floor| self.prior.is_known()[floor]);
        let is_lone = self.frame.kin.is_none() && self.shown_to.is_none() && !is_floor_known;
        if is_lone { by_law.max(self.usual_fall.over(back)) } else { by_law }
    }

    /// How much ln L differs, by the law, between `x` and the run of its compute with as many tokens a parameter as the runs
    /// fitted had at most or at least; 0 between these, and for laws that read compute alone or take from kin.
    pub(crate) fn beyond_shapes(&self, x: &Features) -> f64 {
        if !self.form.needs_shape() || self.frame.kin.is_some() {
            return 0.0;
        }
        let raw = self.frame.raw(x);
        let ratio = raw[2] - raw[1];
        let half = 0.5 * (ratio - ratio.clamp(self.ratios[0], self.ratios[1]));
        let edge = self.frame.shifted(&[raw[0], raw[1] + half, raw[2] - half]);
        (self.log_loss(x) - self.log_loss(&edge)).abs()
    }

    /// |ln κ| of a law of kin: how far their pace is from this table's; 0 for other laws.
    pub(crate) fn pace_gap(&self) -> f64 {
        if self.form == Form::Kin { self.theta[KAPPA].abs() } else { 0.0 }
    }

    /// ln of the density of the exponent of kin under the belief about it, over that at its mean; 0 for other laws.
    pub(crate) fn log_kinship(&self, experience: &Experience) -> f64 {
        let belief = experience.kin_exponent;
        if self.form == Form::Kin {
            -0.5 * ((self.theta[KAPPA] - belief.mean) / belief.sd).powi(2)
        } else {
            0.0
        }
    }

    /// One draw of the coefficients by the Bayesian bootstrap (Rubin 1981, <https://doi.org/10.1214/aos/1176345338>):
    /// each configuration and each run within it weighs Exponential(1), and each belief is drawn from itself, so that
    /// what the runs do not determine varies as widely as it is unknown.
    pub(crate) fn resampled(&self, data: &Data, stream: &mut Stream) -> Theta {
        let of_cluster: Vec<f64> =
            (0..=data.clusters.last().copied().unwrap_or(0)).map(|_| stream.exponential()).collect();
        let mut sizes = vec![0usize; of_cluster.len()];
        data.clusters.iter().for_each(|c| sizes[*c] += 1);
        let weights: Vec<f64> = data
            .clusters
            .iter()
            .zip(&self.kept)
            .map(|(c, kept)| kept * of_cluster[*c] * if sizes[*c] > 1 { stream.exponential() } else { 1.0 })
            .collect();
        let mut prior = self.prior.clone();
        let least = data.least_log_loss();
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
        let problem = data.problem(self.form, &weights, &prior);
        problem.minimise(&[prior.held(&self.theta)]).map_or(self.theta, |solution| solution.theta)
    }
}

/// The fall of ln L with compute by the means of the beliefs about a law in compute: what a table is expected to do before it is
/// seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UsualFall {
    floor_share: f64,
    exponent: f64,
}

impl UsualFall {
    fn new(experience: &Experience) -> Self {
        Self { floor_share: experience.floor.mean.exp(), exponent: experience.compute_exponent.mean.exp() }
    }

    /// Over `distance` in ln C beyond the runs.
    fn over(self, distance: f64) -> f64 {
        let distance = distance.min(USUAL_REACH.ln());
        let rest = (1.0 - self.floor_share) * (-self.exponent * distance).exp();
        -(self.floor_share + rest).ln()
    }
}

impl Problem<'_> {
    /// `strength·H⁻¹`: the objective over `strength` is the negative log posterior up to a constant. A coefficient that is held
    /// at a belief varies as that does, and takes the others along.
    fn covariance(&self, theta: &Theta, sigma: f64) -> [Theta; MAX_PARAMS] {
        let n = self.form.n_params();
        let (hessian, _) = self.quadratic(theta);
        let mut covariance = [[0.0; MAX_PARAMS]; MAX_PARAMS];
        for (i, column) in covariance.iter_mut().enumerate().take(n) {
            let mut unit = [0.0; MAX_PARAMS];
            unit[i] = if self.prior.is_fixed[i] { 0.0 } else { strength(sigma, self.delta) };
            *column = solve(&hessian, &unit, n).unwrap_or([0.0; MAX_PARAMS]);
        }
        let loose = Prior { is_fixed: self.prior.is_known(), ..self.prior.clone() };
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
fn inliers(form: Form, data: &Data, theta: &Theta) -> Vec<f64> {
    let residuals =
        data.features.iter().zip(&data.log_losses).map(|(x, y)| (y - form.log_loss(theta, x)).abs());
    let residuals: Vec<f64> = residuals.collect();
    let bound = OUTLIER_SDS * (1.4826 * median(residuals.iter().copied())).max(LEAST_SD);
    let last = data.clusters.last().copied();
    let is_kept = |(r, cluster): (&f64, &usize)| f64::from(*r <= bound || Some(*cluster) == last);
    let kept: Vec<f64> = residuals.iter().zip(&data.clusters).map(is_kept).collect();
    let n_dropped = kept.iter().filter(|k| **k == 0.0).count();
    // A small table has no bulk to be off; and if many runs are off, the law is.
    let is_few = residuals.len() >= LEAST_BULK && n_dropped * MOST_OUTLIERS <= residuals.len();
    if is_few { kept } else { vec![1.0; residuals.len()] }
}

/// `(C/C_max)^nearness`, scaled to a mean of 1: the runs nearest to the target say most about it.
fn weights(features: &[Features], nearness: f64) -> Vec<f64> {
    let largest = features.iter().map(|x| x[0]).fold(f64::NEG_INFINITY, f64::max);
    let raw: Vec<f64> = features.iter().map(|x| (nearness * (x[0] - largest)).exp()).collect();
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

/// What one unit of negative log-likelihood is worth in the objective: σ² where residuals lie inside of δ, and δ·σ
/// where they lie beyond, as for a Laplace density of that scale.
fn strength(sigma: f64, delta: f64) -> f64 {
    sigma * sigma.min(delta)
}

/// Beliefs about the coefficients before the table is seen: exponents near those of other tables, and a floor that is
/// some share of the least loss seen. Scales are free.
fn beliefs(
    form: Form,
    data: &Data,
    floor: Option<f64>,
    kinship: Option<Kinship>,
    experience: &Experience,
) -> Prior {
    let mut prior = Prior {
        mean: [0.0; MAX_PARAMS],
        precision: [0.0; MAX_PARAMS],
        strength: 0.0,
        is_fixed: [false; MAX_PARAMS],
    };
    let least = data.least_log_loss();
    for i in 0..form.n_params() {
        if form.is_exponent(i) {
            let belief = match form {
                Form::Chinchilla | Form::SharedExponent => experience.shape_exponent,
                Form::Coupled => experience.coupled_exponent,
                Form::PowerFloor => experience.compute_exponent,
                Form::Power => experience.no_floor_exponent,
                Form::Kin => experience.kin_exponent,
            };
            (prior.mean[i], prior.precision[i]) = (belief.mean, belief.sd.powi(-2));
        }
    }
    if let Some(i) = form.coupling() {
        let belief = experience.coupling;
        (prior.mean[i], prior.precision[i]) = (belief.mean, belief.sd.powi(-2));
    }
    if let Some(i) = form.floor() {
        match floor {
            Some(loss) => (prior.mean[i], prior.is_fixed[i]) = (loss.ln(), true),
            None => {
                // The floor of kin was sought beside beliefs that had no say in it, and none here may pull at it.
                prior.is_fixed[i] = kinship.is_some();
                let belief = kinship.map_or(experience.floor, |kinship| kinship.floor_share);
                (prior.mean[i], prior.precision[i]) = (least + belief.mean, belief.sd.powi(-2));
            }
        }
    }
    prior
}

/// A grid of exponents and floors; each scale follows from them at the middle of the runs.
fn starts(form: Form, data: &Data, prior: &Prior) -> Vec<Theta> {
    const EXPONENTS: [f64; 4] = [0.06, 0.2, 0.4, 0.8];
    // Kin fall at nearly the same pace.
    const OF_KIN: [f64; 4] = [0.6, 0.8, 1.0, 1.25];
    let among = if form == Form::Kin { OF_KIN } else { EXPONENTS };
    const FLOORS: [f64; 4] = [0.1, 0.5, 0.8, 0.95];
    let least = data.log_losses.iter().copied().fold(f64::INFINITY, f64::min).exp();
    let middle = median(data.log_losses.iter().copied()).exp();
    let floors: Vec<f64> = match form.floor() {
        Some(i) if prior.is_fixed[i] => vec![prior.mean[i].exp()],
        Some(_) => FLOORS.map(|share| share * least).to_vec(),
        None => vec![0.0],
    };
    let exponents: Vec<usize> = (0..form.n_params()).filter(|i| form.is_exponent(*i)).collect();
    let n_others = usize::from(form.floor().is_some()) + usize::from(form.coupling().is_some());
    let n_scales = form.n_params() - exponents.len() - n_others;
    let mut starts = Vec::new();
    for floor in floors {
        for combination in 0..EXPONENTS.len().pow(exponents.len() as u32) {
            let scale = ((middle - floor).max(0.05 * middle) / n_scales as f64).ln();
            let mut theta = [0.0; MAX_PARAMS];
            theta[..form.n_params()].fill(scale);
            for (k, i) in exponents.iter().enumerate() {
                theta[*i] = among[combination / among.len().pow(k as u32) % among.len()].ln();
            }
            if let Some(i) = form.floor() {
                theta[i] = floor.ln();
            }
            if let Some(i) = form.coupling() {
                theta[i] = prior.mean[i];
            }
            starts.push(theta);
        }
    }
    starts
}
