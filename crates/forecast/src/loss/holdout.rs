//! Reference runs split into small and large: what the small ones say of the large ones, and what floor that needs.

use crate::{Point, Settings, Table};

use super::{
    admissible::{LEAST_COUPLED, admissible},
    fitted_law::FittedLaw,
    frame::LEAST_REACH,
    law::{Features, Form, Theta},
    model_error::HeldOutResidual,
    priors::{Floor, Priors},
    runs::Runs,
};

/// Runs with up to this many times the compute of a table's largest count as like its runs.
const SAME_COMPUTE: f64 = 1.1;
/// The runs to be predicted have at least this fraction of the compute of the largest.
const LARGE: f64 = 0.5;
/// Between which fractions of the least loss a floor is sought.
const LEAST_FRACTION: f64 = 0.02;
const LARGEST_FRACTION: f64 = 0.95;
/// Times that the bracket is halved.
const N_STEPS: usize = 10;
/// Half the distance over which the slope of a forecast in the fraction is taken.
const SLOPE_STEP: f64 = 0.03;

/// An estimate and its variance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate {
    pub(crate) mean: f64,
    pub(crate) variance: f64,
}

/// The reference runs that are like those of a ladder, and those that are to be predicted from them.
pub(crate) struct HoldoutSplit {
    pub(crate) small: Table,
    large: Vec<Point>,
    /// Least mean loss of a configuration up to the asked compute, and the runs there.
    least: f64,
    n_below: usize,
}

impl HoldoutSplit {
    /// Cuts `table` at `flops`, or further up where less than [`LEAST_COUPLED`] configurations lie below; `None` where nothing
    /// lies below, where what does is too little for a coupled law, or where nothing lies [`LEAST_REACH`] times beyond.
    pub(crate) fn new(table: &Table, flops: f64) -> Option<Self> {
        let below = table.filtered(|point| point.flops <= SAME_COMPUTE * flops);
        if !table.has_shapes() || below.points().is_empty() {
            return None;
        }
        let least = Runs::new(&below, 0.0, None).least_log_loss().exp();
        let clusters = table.clusters();
        let enough = clusters.iter().position(|cluster| cluster + 1 >= LEAST_COUPLED)?;
        // Runs of one budget differ by rounding, and stay together.
        let edge = SAME_COMPUTE * flops.max(table.points()[enough].flops);
        let small = table.filtered(|point| point.flops <= edge);
        let forms = admissible(&small, &Settings::default()).ok()?;
        if !forms.contains(&Form::Coupled) {
            return None;
        }
        let largest = |table: &Table| table.points().last().map_or(f64::NAN, |point| point.flops);
        let from = (LARGE * largest(table)).max(LEAST_REACH * largest(&small));
        let large: Vec<Point> = table.points().iter().filter(|p| p.flops >= from).cloned().collect();
        (!large.is_empty()).then_some(Self { small, large, least, n_below: below.points().len() })
    }

    /// Features of the large runs as a law of the small ones reads them.
    fn large_features(&self, runs: &Runs) -> Vec<Features> {
        let raw = |p: &Point| [Some(p.flops), p.n_params, p.n_tokens].map(|x| x.map_or(0.0, f64::ln));
        self.large.iter().map(|p| runs.frame.shifted(&raw(p))).collect()
    }

    /// How many runs lie below the asked compute and on each side, which is all that an estimate from the table depends on.
    pub(crate) fn cut(&self) -> [usize; 3] {
        [self.n_below, self.small.points().len(), self.large.len()]
    }
}

/// The floor as a fraction of the least loss of runs up to a ladder's largest compute, by reference runs split there.
///
/// Asks of the reference runs what is asked of the table: fits the coupled law to the small ones, with the floor held at one
/// fraction of the least loss after another, until it predicts the large ones. `None` where no fraction does: such runs break
/// with their own ladder and say nothing of a floor.
///
/// The variance is that of the forecast, by the curvature of the fit and the scatter of the runs, over the square of its
/// slope in the fraction. What the law gets wrong at this distance, its use for the table gets wrong alike, and the floor takes
/// it up; a floor fitted to small and large runs together would not.
pub(crate) fn floor_fraction(split: &HoldoutSplit) -> Option<Estimate> {
    let HoldoutSplit { small, large, least, .. } = split;
    let priors = Priors::default();
    let runs = Runs::new(small, priors.recency_exponent, None);
    let fit = |fraction: f64, near: Option<&Theta>| {
        FittedLaw::fit(Form::Coupled, &runs, Floor::Known(fraction * least), &priors, near)
    };
    let features = split.large_features(&runs);
    // Mean of ln L predicted less ln L observed; it rises with the floor.
    let excess = |fitted: &FittedLaw| {
        let errors = features.iter().zip(large).map(|(x, p)| fitted.log_loss(x) - p.loss.ln());
        errors.sum::<f64>() / large.len() as f64
    };
    let (mut low, mut high) = (LEAST_FRACTION, LARGEST_FRACTION);
    let mut fitted = fit(0.5 * (low + high), None)?;
    let at = |fraction: f64, fitted: &FittedLaw| Some(excess(&fit(fraction, Some(&fitted.theta))?));
    if at(low, &fitted)? > 0.0 || at(high, &fitted)? < 0.0 {
        return None;
    }
    for _ in 0..N_STEPS {
        let middle = 0.5 * (low + high);
        fitted = fit(middle, Some(&fitted.theta))?;
        if excess(&fitted) > 0.0 { high = middle } else { low = middle }
    }
    let fraction = 0.5 * (low + high);
    let (below, above) =
        ((fraction - SLOPE_STEP).max(0.5 * LEAST_FRACTION), (fraction + SLOPE_STEP).min(1.0));
    let slope = (at(above, &fitted)? - at(below, &fitted)?) / (above - below);
    let of_fit = features.iter().map(|x| fitted.log_loss_sd(x)).sum::<f64>() / large.len() as f64;
    let variance = (of_fit.powi(2) + fitted.sigma.powi(2) / large.len() as f64) / slope.powi(2);
    (slope > 0.0 && variance.is_finite()).then_some(Estimate { mean: fraction, variance })
}

/// Residuals of the large reference runs about `form` fitted to the small ones alone; `None` where it cannot be fitted.
///
/// Cross-validation within a ladder reaches some ten times beyond what is fitted, this as far as the reference runs do.
pub(crate) fn held_out_residuals(split: &HoldoutSplit, form: Form) -> Option<Vec<HeldOutResidual>> {
    let priors = Priors::default();
    let runs = Runs::new(&split.small, priors.recency_exponent, None);
    let fitted = FittedLaw::fit(form, &runs, Floor::Open(None), &priors, None)?;
    Some(residuals(split, &runs, &fitted))
}

/// Residuals of the large runs about a law fitted to the small ones.
pub(crate) fn residuals(split: &HoldoutSplit, runs: &Runs, fitted: &FittedLaw) -> Vec<HeldOutResidual> {
    let large = split.large_features(runs).into_iter().zip(&split.large);
    large.map(|(x, point)| HeldOutResidual::new(fitted, &x, point.loss.ln())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::{
        model_error::excess_log_evidence,
        testing::{FLOOR, law, sweep},
    };

    fn fraction(table: &Table) -> (Estimate, f64) {
        let split = HoldoutSplit::new(table, 5e11).unwrap();
        (floor_fraction(&split).unwrap(), split.least)
    }

    #[test]
    fn the_floor_is_the_one_with_which_small_runs_predict_the_large() {
        let (exact, least) = fraction(&sweep(1e-5, 0.0));
        assert!((exact.mean * least - FLOOR).abs() < 0.02, "{exact:?}, {least}");
        let (noisy, least) = fraction(&sweep(0.005, 0.0));
        assert!(
            (noisy.mean * least - FLOOR).abs() < 2.5 * noisy.variance.sqrt() * least,
            "{noisy:?}, {least}"
        );
        assert!(noisy.variance > 30.0 * exact.variance, "{noisy:?}, {exact:?}");
    }

    #[test]
    fn a_large_run_above_its_law_raises_the_floor() {
        let (there, _) = fraction(&sweep(1e-5, 0.0));
        let (above, _) = fraction(&sweep(1e-5, 0.02));
        assert!(above.mean > there.mean + 0.03, "{above:?}, {there:?}");
    }

    #[test]
    fn runs_that_break_with_their_own_ladder_give_no_floor() {
        for excess in [-0.5, 0.8] {
            assert!(
                floor_fraction(&HoldoutSplit::new(&sweep(1e-5, excess), 5e11).unwrap()).is_none(),
                "{excess}"
            );
        }
    }

    #[test]
    fn a_law_that_misses_the_large_reference_runs_loses_its_weight() {
        let table = sweep(0.003, 0.0);
        let additive = |n: f64, d: f64| FLOOR + 20.0 / n.powf(0.3) + 25.0 / d.powf(0.28);
        let points = table.points().iter().map(|p| {
            let (n, d) = (p.n_params.unwrap(), p.n_tokens.unwrap());
            Point { loss: p.loss / law(n, d) * additive(n, d), ..p.clone() }
        });
        let of_its_own = Table::new(points.collect()).unwrap();
        let on = |tables: &[&Table]| {
            let of = |table: &&Table| {
                held_out_residuals(&HoldoutSplit::new(table, 5e11).unwrap(), Form::Chinchilla).unwrap()
            };
            excess_log_evidence(&tables.iter().map(of).collect::<Vec<_>>(), &Priors::default())
        };
        assert_eq!(on(&[&of_its_own; 5]), 0.0, "right on all five");
        let (once, thrice) = (on(&[&table]), on(&[&table; 3]));
        assert!(once < -0.2 && thrice < 1.5 * once, "{once}, {thrice}");
        assert_eq!(on(&[]), 0.0);
    }

    #[test]
    fn a_cut_keeps_the_runs_of_one_budget_together() {
        let table = sweep(1e-5, 0.0);
        let of = |flops: f64| HoldoutSplit::new(&table, flops).unwrap().cut();
        // Five budgets of four shapes with two seeds each, and the one large run; twelve configurations are needed.
        assert_eq!((of(4.9e11), of(2.5e11), of(3.1e10)), ([40, 40, 1], [32, 32, 1], [8, 24, 1]));
    }

    #[test]
    fn without_small_or_large_runs_there_is_no_split() {
        let table = sweep(1e-5, 0.0);
        assert!(HoldoutSplit::new(&table, 1e10).is_none(), "nothing lies below");
        assert!(HoldoutSplit::new(&table, 1e14).is_none(), "nothing lies beyond");
        let few = table.filtered(|point| point.flops < 1e11 || point.flops > 1e13);
        assert!(HoldoutSplit::new(&few, 5e11).is_none(), "too few configurations for the law");
    }
}
