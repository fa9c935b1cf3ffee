//! Cross-validation within the table: each form predicts the larger runs from the smaller ones, which says how much weight
//! it gets and how large its model error is.

use super::{
    fitted_law::FittedLaw,
    law::Form,
    model_error::{HeldOutResidual, ModelErrorDistribution},
    priors::{Floor, Priors},
    runs::Runs,
};

/// Fractions of the configurations, from the smallest compute up, that are fitted in turn.
const FITTED: [f64; 6] = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// How one form did in all folds.
#[derive(Clone, Debug)]
pub(crate) struct CrossValidation {
    /// The held-out runs of each fold.
    pub(crate) folds: Vec<Vec<HeldOutResidual>>,
    /// ln of the evidence: the probability of the held-out runs, each fold counted as one observation.
    pub(crate) log_evidence: f64,
    pub(crate) model_error: ModelErrorDistribution,
}

/// Folds of held-out runs of other tables, and how many observations each of them is worth.
#[derive(Clone, Debug, Default)]
pub(crate) struct Folds {
    pub(crate) folds: Vec<Vec<HeldOutResidual>>,
    pub(crate) weight: f64,
}

impl CrossValidation {
    /// Fits `form` below each cut and predicts every run above. `floor` says what is known of the floor of a law of given
    /// runs; `between_references` updates the model error of transferred laws beforehand.
    pub(crate) fn new(
        form: Form,
        runs: &Runs,
        full: &FittedLaw,
        floor: &dyn Fn(Form, &Runs) -> Floor,
        priors: &Priors,
        between_references: &Folds,
    ) -> Self {
        let least = (form.n_params() - 1).max(3);
        let mut sizes: Vec<usize> = FITTED
            .iter()
            .map(|fraction| (fraction * runs.n_clusters as f64).round() as usize)
            .filter(|n| (least..runs.n_clusters).contains(n))
            .collect();
        sizes.dedup();
        let folds = sizes.into_iter().filter_map(|n| {
            let small = runs.only(priors.recency_exponent, |cluster| cluster < n);
            let fitted = FittedLaw::fit(form, &small, floor(form, &small), priors, Some(&full.theta))?;
            // Reference runs that say nothing to so small a table leave another law than the one in question.
            if fitted.shown_to.is_some() != full.shown_to.is_some() {
                return None;
            }
            let held_out = runs.only(priors.recency_exponent, |cluster| cluster >= n);
            let held_out = held_out.features.iter().zip(&held_out.log_losses);
            Some(held_out.map(|(x, y)| HeldOutResidual::new(&fitted, x, *y)).collect::<Vec<_>>())
        });
        let mut model_error = match full.shown_to {
            Some(_) => ModelErrorDistribution::new(priors.coupled_error, None),
            None if form == Form::Transferred => {
                ModelErrorDistribution::new(priors.transfer_error, Some(priors.transfer_error_per_log_ratio))
            }
            None => ModelErrorDistribution::new(priors.model_error, None),
        };
        if form == Form::Transferred {
            model_error.learn(&between_references.folds, between_references.weight);
        }
        let folds: Vec<Vec<HeldOutResidual>> = folds.collect();
        let log_evidence = model_error.learn(&folds, priors.fold_weight);
        Self { folds, log_evidence, model_error }
    }

    /// Mean absolute error over the folds, in % of the loss.
    pub(crate) fn error_pct(&self) -> Option<f64> {
        let means: Vec<f64> = self
            .folds
            .iter()
            .map(|fold| fold.iter().map(|residual| residual.error.abs()).sum::<f64>() / fold.len() as f64)
            .collect();
        (!means.is_empty()).then(|| 100.0 * means.iter().sum::<f64>() / means.len() as f64)
    }
}
