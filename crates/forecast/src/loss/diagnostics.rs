//! What the reader of a forecast must know about its table, its fit and its target.

use crate::{Table, Target, Warning, WarningKind, stats::interval::median, table::names};

use super::{
    admissible::{LEAST_SHAPE_SPREAD, shape_spread},
    cross_validation::CrossValidation,
    fitted_law::{FittedLaw, OUTLIER_SDS},
    law::Form,
    model_error::{HeldOutResidual, ModelError},
    runs::Runs,
};

/// Fewer configurations than this and the interval rests mostly on other tables.
const FEW: usize = 6;
const NARROW_SPAN: f64 = 10.0;
/// Beyond this factor of compute cross-validation has tested nothing like it.
const FAR: f64 = 1000.0;

/// What the table and the fit say about themselves.
pub(crate) fn warnings(
    table: &Table,
    runs: &Runs,
    fitted: &FittedLaw,
    cross_validation: &CrossValidation,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |kind, text: String| warnings.push(Warning::new(kind, text));
    let points = table.points();
    if runs.n_clusters < FEW {
        warn(
            WarningKind::FewRuns,
            format!(
                "There are {} different configurations; with fewer than {FEW} the interval rests mostly on priors from other tables.",
                runs.n_clusters
            ),
        );
    }
    let span = points.last().map_or(1.0, |last| last.flops / points[0].flops);
    if span < NARROW_SPAN {
        warn(
            WarningKind::NarrowRange,
            format!(
                "Compute spans a factor of {span:.1}; below {NARROW_SPAN} the curvature of the law is poorly determined."
            ),
        );
    }
    let outliers: Vec<&str> = fitted
        .kept
        .iter()
        .zip(points)
        .filter(|(kept, _)| **kept == 0.0)
        .map(|(_, p)| p.run.as_str())
        .collect();
    if !outliers.is_empty() {
        let n = outliers.len();
        warn(
            WarningKind::Outliers,
            format!(
                "{n} runs lie more than {OUTLIER_SDS} robust standard deviations from the law and were left out of the fit: {}.",
                names(&outliers)
            ),
        );
    }
    if let Some(text) = reversal(table, runs, fitted, cross_validation) {
        warn(WarningKind::Reversal, text);
    }
    let undetermined: Vec<&str> = (0..fitted.form.n_params())
        .filter(|i| fitted.prior.precision[*i] > 0.0 && !fitted.is_determined(*i, runs))
        .map(|i| fitted.form.coefficient_names()[i])
        .collect();
    if !undetermined.is_empty() {
        warn(
            WarningKind::Undetermined,
            format!(
                "The runs barely constrain {}: {} priors from other tables decide, and the interval is as wide as those.",
                names(&undetermined),
                if undetermined.len() == 1 { "its" } else { "their" }
            ),
        );
    }
    if !fitted.form.needs_shape() && shape_spread(table).is_some_and(|sd| sd > LEAST_SHAPE_SPREAD) {
        warn(WarningKind::MixedShapes, "Runs of equal compute differ in N and D, which a law in compute alone counts as scatter; `--law auto` lets a law in N and D compete where there are enough runs.".to_owned());
    }
    warnings
}

/// What lies in the choice of the target.
pub(crate) fn target_warnings(
    table: &Table,
    runs: &Runs,
    target: &Target,
    form: Form,
    extrapolation: f64,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if extrapolation > FAR {
        let text = format!(
            "The target is {extrapolation:.0} times the largest run; beyond {FAR} no back-test of this program says how wide the interval must be."
        );
        warnings.push(Warning::new(WarningKind::FarExtrapolation, text));
    }
    if let (Some((n, d)), true) = (target.n_params.zip(target.n_tokens), table.has_shapes()) {
        let ratios: Vec<f64> =
            table.points().iter().filter_map(|p| p.shape()).map(|(n, d)| (d / n).ln()).collect();
        let (lo, hi) =
            ratios.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), r| (lo.min(*r), hi.max(*r)));
        let ratio = (d / n).ln();
        let slack = if form.needs_shape() { 0.1 } else { 0.7 };
        if !(lo - slack..=hi + slack).contains(&ratio) && runs.n_clusters > 0 {
            let what = if form.needs_shape() {
                "no run shows the law there, and the interval is wider for it"
            } else {
                "a law in compute alone cannot tell the difference"
            };
            let text = format!(
                "The target has {:.1} tokens per parameter, the runs {:.1} to {:.1}: {what}.",
                d / n,
                lo.exp(),
                hi.exp()
            );
            warnings.push(Warning::new(WarningKind::MixedShapes, text));
        }
    }
    warnings
}

/// Whether the largest runs break the trend of the smaller ones upwards.
fn reversal(
    table: &Table,
    runs: &Runs,
    fitted: &FittedLaw,
    cross_validation: &CrossValidation,
) -> Option<String> {
    let points = table.points();
    let last = runs.n_clusters.checked_sub(1)?;
    let mean = |cluster: usize| {
        let logs: Vec<f64> = runs
            .clusters
            .iter()
            .zip(&runs.log_losses)
            .filter(|(c, _)| **c == cluster)
            .map(|(_, y)| *y)
            .collect();
        logs.iter().sum::<f64>() / logs.len() as f64
    };
    if !fitted.form.needs_shape() && last > 1 {
        let least = (0..last).map(mean).fold(f64::INFINITY, f64::min);
        let rise = mean(last) - least;
        if rise > 3.0 * fitted.sigma {
            let run = &points[points.len() - 1].run;
            return Some(format!(
                "The largest run `{run}` has a loss {:.1} % above that of a smaller one: if the curve has turned, no law here describes it.",
                100.0 * rise
            ));
        }
    }
    let fold = cross_validation.folds.last()?;
    let typical = |residual: &HeldOutResidual| ModelError {
        base: cross_validation.model_error.median(residual.log_exponent_ratio),
        per_log_ratio: 0.0,
    };
    let score = median(fold.iter().map(|residual| residual.error / residual.sd(typical(residual))));
    (score > 3.0).then(|| format!("The largest runs lie above the forecast from the smaller ones by {score:.1} standard deviations: they may have been cut short or trained with settings that do not scale."))
}
