//! The least robust residual: Huber loss on log residuals, by damped Gauss–Newton steps from many starts.

use super::law::{Features, Form, MAX_PARAMS, Theta};

/// δ of the Huber loss on log residuals, <https://arxiv.org/abs/2203.15556>, section 3.3.
pub(crate) const HUBER_DELTA: f64 = 1e-3;
const MAX_STEPS: usize = 400;
/// A step that gains less than this share of the objective counts as none.
const TOLERANCE: f64 = 1e-9;

/// Residuals of this size in ln L are none: points without noise would have the fit polish for ever.
const EXACT: f64 = 1e-7;

/// What is fitted: a form, the runs, and what is known beforehand.
pub(crate) struct Problem<'a> {
    pub(crate) form: Form,
    /// Features of each run, shifted so that they lie around 0.
    pub(crate) features: &'a [Features],
    /// ln L of each run.
    pub(crate) log_losses: &'a [f64],
    /// Weight of each run.
    pub(crate) weights: &'a [f64],
    pub(crate) prior: &'a CoefficientPriors,
    /// δ of the Huber loss: [`HUBER_DELTA`], or more where single runs are known to scatter more.
    pub(crate) delta: f64,
}

/// Independent normal priors about coefficients, in units of the objective: `½·strength·Σ ((θ − mean)/sd)²`.
#[derive(Clone, Debug)]
pub(crate) struct CoefficientPriors {
    pub(crate) mean: Theta,
    /// 0 where there is no prior.
    pub(crate) precision: Theta,
    pub(crate) strength: f64,
    /// Coefficients that stay at their start; one with a prior stays elsewhere in each draw.
    pub(crate) is_fixed: [bool; MAX_PARAMS],
}

impl CoefficientPriors {
    /// `theta` with the fixed coefficients at their mean.
    pub(crate) fn held(&self, theta: &Theta) -> Theta {
        std::array::from_fn(|i| if self.is_fixed[i] { self.mean[i] } else { theta[i] })
    }

    /// How many coefficients of `form` are not fixed.
    pub(crate) fn n_free(&self, form: Form) -> usize {
        (0..form.n_params()).filter(|i| !self.is_fixed[*i]).count()
    }

    /// The fixed coefficients that are known exactly.
    pub(crate) fn is_known(&self) -> [bool; MAX_PARAMS] {
        std::array::from_fn(|i| self.is_fixed[i] && self.precision[i] == 0.0)
    }
}

/// A minimum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Solution {
    pub(crate) theta: Theta,
    pub(crate) objective: f64,
}

impl Problem<'_> {
    /// The best minimum reached from any of `starts`.
    pub(crate) fn minimise(&self, starts: &[Theta]) -> Option<Solution> {
        let mut best: Option<Solution> = None;
        for start in starts {
            let solution = self.descend(*start);
            if solution.objective.is_finite() && best.is_none_or(|best| solution.objective < best.objective) {
                best = Some(solution);
            }
        }
        best
    }

    /// `Σ w·ρ(y − f(θ)) + prior`, ρ(r) = r²/2 up to δ and δ·(|r| − δ/2) beyond.
    pub(crate) fn objective(&self, theta: &Theta) -> f64 {
        let mut sum = 0.0;
        for ((x, y), weight) in self.features.iter().zip(self.log_losses).zip(self.weights) {
            sum += weight * huber(y - self.form.log_loss(theta, x), self.delta);
        }
        let priors = (0..self.form.n_params())
            .map(|i| self.prior.precision[i] * (theta[i] - self.prior.mean[i]).powi(2));
        sum + 0.5 * self.prior.strength * priors.sum::<f64>()
    }

    /// Levenberg–Marquardt on the quadratic that touches the Huber loss from above at the present residuals
    /// (weights δ/|r| beyond δ), so that no accepted step can raise the objective.
    fn descend(&self, mut theta: Theta) -> Solution {
        let n = self.form.n_params();
        let mut objective = self.objective(&theta);
        let (mut damping, mut n_idle) = (1e-3, 0);
        let exact = 0.5 * EXACT * EXACT * self.log_losses.len() as f64;
        for _ in 0..MAX_STEPS {
            let (hessian, gradient) = self.quadratic(&theta);
            let mut moved = None;
            while damping < 1e12 {
                let mut system = hessian;
                for (i, row) in system.iter_mut().enumerate() {
                    row[i] += damping * row[i].max(1e-12);
                }
                if let Some(step) = solve(&system, &gradient, n) {
                    let mut next = theta;
                    for i in 0..n {
                        // Logarithms: a longer step would leave the region where the quadratic says anything.
                        next[i] -= step[i].clamp(-2.0, 2.0);
                    }
                    let value = self.objective(&next);
                    if value < objective {
                        moved = Some((next, value));
                        damping = (damping * 0.2).max(1e-12);
                        break;
                    }
                }
                damping *= 5.0;
            }
            let Some((next, value)) = moved else { break };
            n_idle = if objective - value < TOLERANCE * objective { n_idle + 1 } else { 0 };
            (theta, objective) = (next, value);
            if n_idle == 3 || objective < exact {
                break;
            }
        }
        Solution { theta, objective }
    }

    /// Gauss–Newton matrix and gradient of the objective at `theta`.
    pub(crate) fn quadratic(&self, theta: &Theta) -> ([Theta; MAX_PARAMS], Theta) {
        let n = self.form.n_params();
        let (mut hessian, mut gradient, mut slope) =
            ([[0.0; MAX_PARAMS]; MAX_PARAMS], [0.0; MAX_PARAMS], [0.0; MAX_PARAMS]);
        for ((x, y), weight) in self.features.iter().zip(self.log_losses).zip(self.weights) {
            let residual = y - self.form.log_loss_and_gradient(theta, x, &mut slope);
            let weight = weight * (self.delta / residual.abs()).min(1.0);
            for i in 0..n {
                gradient[i] -= weight * residual * slope[i];
                for j in 0..n {
                    hessian[i][j] += weight * slope[i] * slope[j];
                }
            }
        }
        for i in 0..n {
            let precision = self.prior.strength * self.prior.precision[i];
            hessian[i][i] += precision;
            gradient[i] += precision * (theta[i] - self.prior.mean[i]);
            if self.prior.is_fixed[i] {
                hessian[i] = [0.0; MAX_PARAMS];
                hessian.iter_mut().for_each(|row| row[i] = 0.0);
                hessian[i][i] = 1.0;
                gradient[i] = 0.0;
            }
        }
        (hessian, gradient)
    }
}

fn huber(residual: f64, delta: f64) -> f64 {
    let size = residual.abs();
    if size <= delta { 0.5 * size * size } else { delta * (size - 0.5 * delta) }
}

/// `x` with `matrix·x = rhs` for a symmetric positive definite matrix, by Cholesky; `None` where it is not.
pub(crate) fn solve(matrix: &[Theta; MAX_PARAMS], rhs: &Theta, n: usize) -> Option<Theta> {
    let mut factor = [[0.0; MAX_PARAMS]; MAX_PARAMS];
    for i in 0..n {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| factor[i][k] * factor[j][k]).sum();
            let rest = matrix[i][j] - sum;
            if i == j {
                if rest.is_nan() || rest <= 0.0 {
                    return None;
                }
                factor[i][i] = rest.sqrt();
            } else {
                factor[i][j] = rest / factor[j][j];
            }
        }
    }
    let mut x = [0.0; MAX_PARAMS];
    for i in 0..n {
        let sum: f64 = (0..i).map(|k| factor[i][k] * x[k]).sum();
        x[i] = (rhs[i] - sum) / factor[i][i];
    }
    for i in (0..n).rev() {
        let sum: f64 = (i + 1..n).map(|k| factor[k][i] * x[k]).sum();
        x[i] = (x[i] - sum) / factor[i][i];
    }
    x.iter().all(|v| v.is_finite()).then_some(x)
}
