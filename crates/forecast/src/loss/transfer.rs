//! What reference runs say of the laws of another table.

use std::sync::Arc;

use super::{
    cross_validation::Folds,
    fitted_law::FittedLaw,
    frame::{BEYOND, ReferenceCurve},
    holdout::{Estimate, residuals},
    law::Form,
    member::Transfer,
    model_error::HeldOutResidual,
    priors::{Floor, FloorPrior, LogPrior, Priors},
    reference_runs::ReferenceRuns,
    runs::Runs,
};

/// Several sweeps of reference runs, as a table uses them.
pub(crate) struct References<'a> {
    pub(crate) runs: Vec<&'a ReferenceRuns>,
    pub(crate) priors: &'a Priors,
}

impl Transfer for References<'_> {
    fn curves(&self) -> Vec<Arc<ReferenceCurve>> {
        self.runs.iter().map(|runs| runs.curve()).collect()
    }

    /// What the reference runs that give a floor for runs of up to `flops` have in common; `None` without any.
    fn floor_prior(&self, flops: f64) -> Option<FloorPrior> {
        let with_floor = |runs: &&ReferenceRuns| Some((runs.floor_fraction(flops)?, runs.largest_flops()));
        let estimates: Vec<(Estimate, f64)> = self.runs.iter().filter_map(with_floor).collect();
        let fractions: Vec<Estimate> = estimates.iter().map(|(fraction, _)| *fraction).collect();
        let typical =
            fractions.iter().map(|fraction| fraction.mean).sum::<f64>() / fractions.len().max(1) as f64;
        let spread = self.priors.reference_floor_spread * typical;
        let fraction = random_effects(&fractions, spread, self.priors.reference_floor_degrees)?;
        Some(FloorPrior {
            // Errors of a fraction are as wide on both sides; a prior is on its logarithm, and no vaguer than without
            // reference runs.
            fraction: LogPrior {
                mean: fraction.mean.ln(),
                sd: (fraction.variance.sqrt() / fraction.mean).min(self.priors.floor.sd),
            },
            shown_to: estimates.iter().map(|(_, largest)| *largest).fold(0.0, f64::max).ln(),
        })
    }

    /// Residuals of the reference runs about one another's laws.
    ///
    /// The large runs of each sweep are predicted from its runs of up to `flops` by the law transferred from each other sweep
    /// that has at least half its compute, as the target is to be. Runs that break with their ladder are predicted like the
    /// others: the table may do so too. k·(k − 1) pairs say no more than the k − 1 numbers by which k sweeps differ.
    fn between_references(&self, flops: f64) -> Folds {
        let (mut folds, mut takes_part) = (Vec::new(), vec![false; self.runs.len()]);
        for (i, of) in self.runs.iter().enumerate() {
            let Some(split) = of.split(flops) else {
                continue;
            };
            for (j, by) in self.runs.iter().enumerate() {
                if i == j || of.largest_flops() > BEYOND * by.largest_flops() {
                    continue;
                }
                let runs = Runs::new(&split.small, self.priors.recency_exponent, Some(by.curve()));
                let fitted = FittedLaw::fit(Form::Transferred, &runs, Floor::Open(None), self.priors, None);
                if let Some(fitted) = fitted {
                    folds.push(residuals(&split, &runs, &fitted));
                    (takes_part[i], takes_part[j]) = (true, true);
                }
            }
        }
        let n = takes_part.iter().filter(|takes| **takes).count() as f64;
        let weight = self.priors.fold_weight * (n - 1.0).max(0.0) / folds.len().max(1) as f64;
        Folds { folds, weight }
    }

    fn held_out_residuals(&self, form: Form, flops: f64) -> Vec<Vec<HeldOutResidual>> {
        self.runs.iter().filter_map(|runs| runs.held_out_residuals(form, flops)).collect()
    }
}

/// Random-effects estimate of one more value of a kind of which `values` were seen: their mean, each weighed by the inverse of `τ² + v`, with the
/// variance `τ²` plus that of the mean. τ² is the mean square by which they deviate from their mean beyond what their own
/// variances explain, each counted by the square of its weight, with `degrees` of `spread²` beside it.
fn random_effects(values: &[Estimate], spread: f64, degrees: f64) -> Option<Estimate> {
    const N_ROUNDS: usize = 20;
    if values.is_empty() {
        return None;
    }
    let others = values.len() as f64 - 1.0;
    let mut tau_squared = spread * spread;
    let mut mean = 0.0;
    let mut precision = 0.0;
    for _ in 0..N_ROUNDS {
        let weights: Vec<f64> = values.iter().map(|v| 1.0 / (tau_squared + v.variance)).collect();
        precision = weights.iter().sum();
        mean = weights.iter().zip(values).map(|(w, v)| w * v.mean).sum::<f64>() / precision;
        let squares: f64 = weights.iter().map(|w| w * w).sum();
        let beyond = weights.iter().zip(values).map(|(w, v)| w * w * ((v.mean - mean).powi(2) - v.variance));
        // One of n degrees went into the mean.
        let seen = (beyond.sum::<f64>() / squares).max(0.0) * (others + 1.0);
        tau_squared = (degrees * spread * spread + seen) / (degrees + others);
    }
    Some(Estimate { mean, variance: tau_squared + 1.0 / precision })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Point, Table,
        loss::{
            cross_validation::CrossValidation,
            law::Theta,
            testing::{FLOOR, law, sweep},
        },
        stats::random::Stream,
    };

    #[test]
    fn each_sweep_is_predicted_by_each_other_that_reaches_half_as_far() {
        let far = sweep(0.003, 0.0);
        let runs = far.points().iter().filter(|point| point.flops < 1e13).cloned();
        let near = runs.chain([Point {
            run: "near".to_owned(),
            n_params: Some(4e5),
            n_tokens: Some(4e6),
            flops: 9.6e12,
            loss: law(4e5, 4e6) * 1.1,
            seed: Some(0),
        }]);
        let near = Table::new(near.collect()).unwrap();
        let among = |tables: &[&Table]| {
            let runs: Vec<_> =
                tables.iter().map(|table| ReferenceRuns::new("other", table).unwrap()).collect();
            References { runs: runs.iter().collect(), priors: &Priors::default() }.between_references(5e11)
        };
        // The run of 5e13 FLOPs predicts that of 1e13, which is 10 % too high, and is not predicted by it.
        let one = among(&[&far, &near]);
        assert_eq!((one.folds.len(), one.weight), (1, Priors::default().fold_weight));
        assert!((one.folds[0][0].error - 1.1f64.ln()).abs() < 0.02, "{one:?}");
        let all = among(&[&far, &far, &far]);
        assert_eq!((all.folds.len(), all.weight), (6, Priors::default().fold_weight / 3.0));
        assert!(among(&[&far]).folds.is_empty() && among(&[]).folds.is_empty());
    }

    /// The median model error of the law transferred from one sweep among `excesses`, fitted beside the laws of all of them.
    fn model_error(excesses: &[f64]) -> f64 {
        let of = |excess: &f64| ReferenceRuns::new("other", &sweep(0.003, *excess)).unwrap();
        let all: Vec<_> = excesses.iter().map(of).collect();
        let priors = Priors::default();
        let table = sweep(0.003, 0.0).filtered(|point| point.flops < 1e12);
        let runs = Runs::new(&table, priors.recency_exponent, all.last().map(ReferenceRuns::curve));
        let fitted = FittedLaw::fit(Form::Transferred, &runs, Floor::Open(None), &priors, None).unwrap();
        let between = References { runs: all.iter().collect(), priors: &priors }.between_references(5e11);
        let open = |_: Form, _: &Runs| Floor::Open(None);
        let cross_validation =
            CrossValidation::new(Form::Transferred, &runs, &fitted, &open, &priors, &between);
        cross_validation.model_error.median(fitted.log_exponent_ratio())
    }

    #[test]
    fn a_transferred_law_is_as_sure_as_reference_runs_are_right_of_one_another() {
        let (alone, agreed, at_odds) =
            (model_error(&[0.0]), model_error(&[0.0; 3]), model_error(&[-0.04, 0.04, 0.0]));
        assert!(agreed < 0.8 * alone && at_odds > 1.5 * alone, "{alone}, {agreed}, {at_odds}");
    }

    #[test]
    fn draws_hold_the_floor_of_the_reference_runs_and_the_curvature_agrees() {
        let table = sweep(0.005, 0.0);
        let (priors, reference) = (Priors::default(), ReferenceRuns::new("other", &table).unwrap());
        let of_reference = References { runs: vec![&reference], priors: &priors }.floor_prior(5e11);
        let fraction = of_reference.unwrap().fraction;
        let small = table.filtered(|point| point.flops < 1e12);
        let runs = Runs::new(&small, priors.recency_exponent, None);
        let fitted = FittedLaw::fit(Form::Coupled, &runs, Floor::Open(of_reference), &priors, None).unwrap();
        let floor = Form::Coupled.floor().unwrap();
        assert!(
            (fitted.theta[floor] - runs.least_log_loss() - fraction.mean).abs() < 1e-12,
            "no run pulls at it"
        );
        assert_eq!(fitted.n_free(), 5);
        let far = runs.frame.shifted(&[5e13, 6e5, 1.4e7].map(f64::ln));
        let draws: Vec<Theta> =
            (0..400).map(|idx| fitted.resampled(&runs, &mut Stream::new(3, idx))).collect();
        let sd = |values: Vec<f64>| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
        };
        let of_floor = sd(draws.iter().map(|theta| theta[floor]).collect());
        assert!((of_floor / fraction.sd - 1.0).abs() < 0.15, "{of_floor} and {}", fraction.sd);
        let at_far = sd(draws.iter().map(|theta| Form::Coupled.log_loss(theta, &far)).collect());
        let ratio = at_far / fitted.log_loss_sd(&far);
        assert!((0.6..1.7).contains(&ratio), "{at_far}, {ratio} times what the curvature says");
        // Most of it is the floor: with that known, the forecast is sharper.
        let known = FittedLaw::fit(Form::Coupled, &runs, Floor::Known(FLOOR), &priors, None).unwrap();
        assert!(known.log_loss_sd(&far) < 0.9 * fitted.log_loss_sd(&far));
    }

    #[test]
    fn a_spread_that_the_errors_explain_is_none_of_the_kind() {
        let estimate = |mean, sd: f64| Estimate { mean, variance: sd * sd };
        let vague =
            random_effects(&[estimate(0.3, 0.1), estimate(0.4, 0.1), estimate(0.5, 0.1)], 0.02, 2.0).unwrap();
        let clear =
            random_effects(&[estimate(0.3, 0.01), estimate(0.4, 0.01), estimate(0.5, 0.01)], 0.02, 2.0)
                .unwrap();
        assert!((vague.mean - 0.4).abs() < 1e-9 && (clear.mean - 0.4).abs() < 1e-9);
        // One more of the kind: the error of the mean, 0.1/√3, and next to no spread; or the spread that was seen, and no error.
        assert!((vague.variance.sqrt() - 0.06).abs() < 0.005, "{vague:?}");
        assert!((clear.variance.sqrt() - 0.083).abs() < 0.01, "{clear:?}");
        // What is known well counts for more.
        let mixed = random_effects(&[estimate(0.3, 0.1), estimate(0.4, 0.01)], 0.02, 2.0).unwrap();
        assert!(mixed.mean > 0.38, "{mixed:?}");
        assert!(random_effects(&[], 0.02, 2.0).is_none());
    }
}
