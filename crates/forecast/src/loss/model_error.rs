//! The model error: the fraction of an extrapolated decrease of ln L that a law gets wrong, estimated from held-out runs.

use super::{
    fitted_law::FittedLaw,
    law::Features,
    priors::{LogPrior, Priors},
};

/// Points of the grid in each direction.
const N_BASE: usize = 41;
const N_PER_LOG_RATIO: usize = 15;
/// The grid reaches this many standard deviations of a prior to each side.
const GRID_SDS: f64 = 3.5;

/// One held-out run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldOutResidual {
    /// ln L observed less ln L predicted.
    pub(crate) error: f64,
    /// Its variance by the fit and the scatter alone.
    pub(crate) variance: f64,
    /// The decrease of ln L between the edge of the fitted runs and this one.
    pub(crate) decrease: f64,
    /// |ln κ| of a transferred law, else 0.
    pub(crate) log_exponent_ratio: f64,
}

impl HeldOutResidual {
    /// What `fitted` gets wrong of a run at shifted features `x` with ln L `log_loss`.
    pub(crate) fn new(fitted: &FittedLaw, x: &Features, log_loss: f64) -> Self {
        Self {
            error: log_loss - fitted.log_loss(x),
            variance: fitted.log_loss_sd(x).powi(2) + fitted.sigma.powi(2),
            decrease: fitted.extrapolated_decrease(x),
            log_exponent_ratio: fitted.log_exponent_ratio(),
        }
    }

    /// Standard deviation of the residual under this model error.
    pub(crate) fn sd(&self, model_error: ModelError) -> f64 {
        self.variance.sqrt().hypot(model_error.of(self.log_exponent_ratio) * self.decrease)
    }
}

/// Standard deviation of a law's error over the extrapolated decrease.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ModelError {
    /// Of any law.
    pub(crate) base: f64,
    /// Of a transferred law for each unit of |ln κ|, in quadrature beside it: reference runs with another exponent are another
    /// kind of data.
    pub(crate) per_log_ratio: f64,
}

impl ModelError {
    /// That of a law with this |ln κ|.
    pub(crate) fn of(self, log_exponent_ratio: f64) -> f64 {
        self.base.hypot(self.per_log_ratio * log_exponent_ratio)
    }
}

/// A distribution over model errors.
#[derive(Clone, Debug)]
pub(crate) struct ModelErrorDistribution {
    /// With ln of the probabilities, which sum to 1.
    grid: Vec<(ModelError, f64)>,
}

impl ModelErrorDistribution {
    /// The prior, before a run is held out; `per_log_ratio` for transferred laws.
    pub(crate) fn new(base: LogPrior, per_log_ratio: Option<LogPrior>) -> Self {
        let of_log_ratio = per_log_ratio.map_or(vec![(0.0, 0.0)], |prior| nodes(prior, N_PER_LOG_RATIO));
        let with = |(base, log_base): (f64, f64)| {
            of_log_ratio.iter().map(move |(per_log_ratio, log_of_ratio)| {
                (ModelError { base, per_log_ratio: *per_log_ratio }, log_base + log_of_ratio)
            })
        };
        let mut errors = Self { grid: nodes(base, N_BASE).into_iter().flat_map(with).collect() };
        errors.normalise();
        errors
    }

    /// Updates by held-out runs, each fold counted as `weight` observations, and returns ln of their probability.
    pub(crate) fn learn(&mut self, folds: &[Vec<HeldOutResidual>], weight: f64) -> f64 {
        for (model_error, log_probability) in &mut self.grid {
            *log_probability +=
                weight * folds.iter().map(|fold| log_likelihood(fold, *model_error)).sum::<f64>();
        }
        self.normalise()
    }

    /// The model error at the uniform `u`: over all `u` each comes as often as it is probable.
    pub(crate) fn at(&self, u: f64) -> ModelError {
        let mut below = 0.0;
        let holds = |(_, log_probability): &&(ModelError, f64)| {
            below += log_probability.exp();
            u < below
        };
        let found = self.grid.iter().find(holds).or(self.grid.last());
        found.map_or(ModelError { base: 0.0, per_log_ratio: 0.0 }, |(model_error, _)| *model_error)
    }

    /// The median model error of a law with this |ln κ|.
    pub(crate) fn median(&self, log_exponent_ratio: f64) -> f64 {
        let mut errors: Vec<(f64, f64)> =
            self.grid.iter().map(|(model_error, l)| (model_error.of(log_exponent_ratio), l.exp())).collect();
        errors.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut below = 0.0;
        let holds = |(_, probability): &&(f64, f64)| {
            below += probability;
            below > 0.5
        };
        errors.iter().find(holds).map_or(0.0, |(model_error, _)| *model_error)
    }

    /// Makes the probabilities sum to 1, and returns ln of what they summed to.
    fn normalise(&mut self) -> f64 {
        let largest = self.grid.iter().map(|(_, l)| *l).fold(f64::NEG_INFINITY, f64::max);
        let log_sum = largest + self.grid.iter().map(|(_, l)| (l - largest).exp()).sum::<f64>().ln();
        self.grid.iter_mut().for_each(|(_, l)| *l -= log_sum);
        log_sum
    }
}

/// Points under a prior and ln of their density, up to a constant.
fn nodes(prior: LogPrior, n: usize) -> Vec<(f64, f64)> {
    let node = |k: usize| {
        let z = GRID_SDS * (2.0 * k as f64 / (n - 1) as f64 - 1.0);
        ((prior.mean + prior.sd * z).exp(), -0.5 * z * z)
    };
    (0..n).map(node).collect()
}

/// Mean log density of the runs of a fold: they come from one fit, and count as one observation together.
fn log_likelihood(fold: &[HeldOutResidual], model_error: ModelError) -> f64 {
    let density = |residual: &HeldOutResidual| {
        let sd = residual.sd(model_error);
        -0.5 * (residual.error / sd).powi(2) - sd.ln()
    };
    fold.iter().map(density).sum::<f64>() / fold.len() as f64
}

/// ln of the evidence of folds of held-out runs for the width that a law claims for itself: how probable the residuals are,
/// over how probable they would be if each were as large as the law claims at the median model error; 0 where they are no
/// larger than that.
pub(crate) fn excess_log_evidence(folds: &[Vec<HeldOutResidual>], priors: &Priors) -> f64 {
    let model_error = ModelError { base: priors.model_error.mean.exp(), per_log_ratio: 0.0 };
    let claimed =
        |residual: &HeldOutResidual| HeldOutResidual { error: residual.sd(model_error), ..*residual };
    let as_claimed: Vec<Vec<HeldOutResidual>> =
        folds.iter().map(|fold| fold.iter().map(claimed).collect()).collect();
    let evidence = |folds: &[Vec<HeldOutResidual>]| {
        ModelErrorDistribution::new(priors.model_error, None).learn(folds, priors.fold_weight)
    };
    (evidence(folds) - evidence(&as_claimed)).min(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_LADDER: f64 = 1e-3;

    fn errors() -> ModelErrorDistribution {
        let priors = Priors::default();
        ModelErrorDistribution::new(priors.transfer_error, Some(priors.transfer_error_per_log_ratio))
    }

    /// A fold of one run, `error` off after a decrease of 0.3.
    fn fold(error: f64, log_exponent_ratio: f64) -> Vec<HeldOutResidual> {
        vec![HeldOutResidual { error, variance: OF_LADDER * OF_LADDER, decrease: 0.3, log_exponent_ratio }]
    }

    fn mean(errors: &ModelErrorDistribution, log_exponent_ratio: f64) -> f64 {
        errors.grid.iter().map(|(error, l)| error.of(log_exponent_ratio) * l.exp()).sum()
    }

    #[test]
    fn what_is_learned_in_turn_is_what_is_learned_at_once() {
        let folds = [fold(0.01, 0.0), fold(0.02, 0.1), fold(-0.005, 0.2)];
        let (mut at_once, mut in_turn) = (errors(), errors());
        let evidence = at_once.learn(&folds, 0.6);
        let of_each: f64 = folds.iter().map(|fold| in_turn.learn(std::slice::from_ref(fold), 0.6)).sum();
        assert!((evidence - of_each).abs() < 1e-9);
        assert!((mean(&at_once, 0.1) - mean(&in_turn, 0.1)).abs() < 1e-12);
        assert!(errors().learn(&[], 0.6).abs() < 1e-12);
    }

    #[test]
    fn reference_runs_with_one_exponent_say_little_of_a_table_with_another() {
        let mut alike = errors();
        alike.learn(&vec![fold(0.0, 0.0); 6], 0.5);
        assert!(mean(&alike, 0.0) < 0.6 * mean(&errors(), 0.0));
        assert!(mean(&alike, 0.2) > 0.85 * mean(&errors(), 0.2));
        let mut apart = errors();
        apart.learn(&vec![fold(0.0, 0.2); 6], 0.5);
        assert!(mean(&apart, 0.2) < 0.7 * mean(&errors(), 0.2));
    }

    #[test]
    fn each_error_is_drawn_as_often_as_it_is_probable() {
        let mut errors = errors();
        errors.learn(&[fold(0.02, 0.15), fold(0.001, 0.0)], 0.6);
        const N: usize = 20_000;
        let drawn = |log_exponent_ratio| {
            let of = |k| errors.at((k as f64 + 0.5) / N as f64).of(log_exponent_ratio);
            (0..N).map(of).sum::<f64>() / N as f64
        };
        for log_exponent_ratio in [0.0, 0.2] {
            assert!(
                (drawn(log_exponent_ratio) / mean(&errors, log_exponent_ratio) - 1.0).abs() < 1e-3,
                "{log_exponent_ratio}"
            );
        }
        let base = ModelErrorDistribution::new(LogPrior { mean: -2.0, sd: 0.5 }, None);
        assert_eq!(base.at(0.5), ModelError { base: base.median(0.3), per_log_ratio: 0.0 });
        assert!((base.median(0.0) - (-2f64).exp()).abs() < 1e-12);
        assert!(errors.median(0.2) > errors.median(0.0) && base.at(1.0).base > base.at(0.99).base);
    }
}
