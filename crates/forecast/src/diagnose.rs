//! What a table can carry, and what its reader must be told.

use crate::{
    ForecastError, LawChoice, Point, Settings, Table, Target, Warning, WarningKind,
    candidate::{Data, FittedForm, OUTLIER_SDS},
    interval::median,
    law::Form,
    rehearsal::Rehearsal,
    share::{Miss, Share},
    table::names,
};

/// Two rungs give a line through any two points, and no way to see that it is wrong.
const LEAST_COMPUTE: usize = 3;
const LEAST_SHAPE: usize = 6;
/// Configurations that a coupled law needs.
pub(crate) const LEAST_COUPLED: usize = 12;
/// Fewer configurations than this and the interval rests mostly on other tables.
const FEW: usize = 6;
const LEAST_SPAN: f64 = 2.0;
/// The same where both N and D span [`LEAST_SPAN_OF_SHAPES`].
const LEAST_SPAN_WITH_SHAPES: f64 = 1.2;
const LEAST_SPAN_OF_SHAPES: f64 = 4.0;
const NARROW_SPAN: f64 = 10.0;
/// Standard deviation of ln N about its trend in ln C below which N and D say nothing that C does not.
const LEAST_SHAPE_SPREAD: f64 = 0.1;
/// Beyond this factor of compute the rehearsal has tested nothing like it.
const FAR: f64 = 1000.0;

/// The forms that may compete on `table`.
pub(crate) fn admissible(table: &Table, settings: &Settings) -> Result<Vec<Form>, ForecastError> {
    let n_configurations = table.clusters().iter().max().map_or(0, |last| last + 1);
    let is_shape = settings.law == LawChoice::Chinchilla;
    let (law, needed) = if is_shape {
        ("a law in parameters and tokens", LEAST_SHAPE)
    } else {
        ("a law in compute", LEAST_COMPUTE)
    };
    if n_configurations < needed {
        return Err(ForecastError::TooFewRuns { law, needed, found: n_configurations });
    }
    let flops = |point: Option<&crate::Point>| point.map_or(f64::NAN, |point| point.flops);
    let span = flops(table.points().last()) / flops(table.points().first());
    let spread = shape_spread(table);
    let is_identified = n_configurations >= LEAST_SHAPE && spread.is_some_and(|sd| sd > LEAST_SHAPE_SPREAD);
    // Shapes that differ widely show both wants of a law in N and D where compute spans little.
    let shows_shapes = is_identified && settings.law != LawChoice::Compute && spans_shapes(table);
    let needed = if shows_shapes { LEAST_SPAN_WITH_SHAPES } else { LEAST_SPAN };
    if span < needed {
        return Err(ForecastError::NarrowRange { needed, found: span });
    }
    let correlation = rank_correlation(table);
    if correlation > 0.0 {
        return Err(ForecastError::Rising { correlation, n_points: table.points().len() });
    }
    if is_shape && !table.has_shapes() {
        let found = table.points().iter().filter(|point| point.shape().is_some()).count();
        return Err(ForecastError::NoShapes { found, n_points: table.points().len() });
    }
    let mut forms = Vec::new();
    if is_shape || (settings.law == LawChoice::Auto && is_identified) {
        // Who names the law gets the law, with its two exponents.
        // A rehearsal of a law with six coefficients needs small configurations beside the ones it forecasts.
        let has_enough = |form: &&Form| **form != Form::Coupled || n_configurations >= LEAST_COUPLED;
        forms.extend(
            Form::SHAPE.iter().filter(|form| !is_shape || **form == Form::Chinchilla).filter(has_enough),
        );
    }
    if settings.law == LawChoice::Compute || forms.is_empty() {
        forms.extend(Form::COMPUTE);
    }
    if settings.irreducible.is_some() {
        forms.retain(|form| form.floor().is_some());
    }
    Ok(forms)
}

/// What the table and the fit say about themselves.
pub(crate) fn warnings(
    table: &Table,
    data: &Data,
    fitted: &FittedForm,
    rehearsal: &Rehearsal,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |kind, text: String| warnings.push(Warning::new(kind, text));
    let points = table.points();
    if data.n_clusters < FEW {
        warn(
            WarningKind::FewRuns,
            format!(
                "There are {} different configurations; with fewer than {FEW} the interval rests mostly on what other tables taught.",
                data.n_clusters
            ),
        );
    }
    let span = points.last().map_or(1.0, |last| last.flops / points[0].flops);
    if span < NARROW_SPAN {
        warn(
            WarningKind::NarrowRange,
            format!(
                "Compute spans a factor of {span:.1}; below {NARROW_SPAN} the bend of the curve can hardly be seen."
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
                "{n} runs lie more than {OUTLIER_SDS} robust standard deviations off the law and were left out of its fit: {}.",
                names(&outliers)
            ),
        );
    }
    if let Some(text) = reversal(table, data, fitted, rehearsal) {
        warn(WarningKind::Reversal, text);
    }
    let undetermined: Vec<&str> = (0..fitted.form.n_params())
        .filter(|i| fitted.prior.precision[*i] > 0.0 && !fitted.is_determined(*i, data))
        .map(|i| fitted.form.coefficient_names()[i])
        .collect();
    if !undetermined.is_empty() {
        warn(
            WarningKind::Undetermined,
            format!(
                "The runs hardly determine {}: {} beliefs from other tables decide, and the draws vary as widely as those.",
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
    data: &Data,
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
        if !(lo - slack..=hi + slack).contains(&ratio) && data.n_clusters > 0 {
            let what = if form.needs_shape() {
                "no run shows the law there, and the interval is wider for it"
            } else {
                "a law in compute alone takes it for a run of their kind"
            };
            let text = format!(
                "The target has {:.1} tokens a parameter, the runs {:.1} to {:.1}: {what}.",
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
fn reversal(table: &Table, data: &Data, fitted: &FittedForm, rehearsal: &Rehearsal) -> Option<String> {
    let points = table.points();
    let last = data.n_clusters.checked_sub(1)?;
    let mean = |cluster: usize| {
        let logs: Vec<f64> = data
            .clusters
            .iter()
            .zip(&data.log_losses)
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
    let cut = rehearsal.cuts.last()?;
    let typical = |miss: &Miss| Share { plain: rehearsal.shares.median(miss.pace_gap), per_pace: 0.0 };
    let score = median(cut.iter().map(|miss| miss.error / miss.sd(typical(miss))));
    (score > 3.0).then(|| format!("The largest runs lie above the forecast from the smaller ones by {score:.1} standard deviations: they may have been cut short or trained with settings that do not scale."))
}

/// Spearman's rank correlation of loss with compute.
fn rank_correlation(table: &Table) -> f64 {
    let ranks = |values: Vec<f64>| -> Vec<f64> {
        values
            .iter()
            .map(|v| {
                let n_less = values.iter().filter(|w| *w < v).count() as f64;
                n_less + 0.5 * (values.iter().filter(|w| *w == v).count() as f64 - 1.0)
            })
            .collect()
    };
    let x = ranks(table.points().iter().map(|p| p.flops).collect());
    let y = ranks(table.points().iter().map(|p| p.loss).collect());
    let mean = 0.5 * (x.len() as f64 - 1.0);
    let product: f64 = x.iter().zip(&y).map(|(a, b)| (a - mean) * (b - mean)).sum();
    let squares = |r: &[f64]| r.iter().map(|a| (a - mean).powi(2)).sum::<f64>();
    let norm = (squares(&x) * squares(&y)).sqrt();
    // Equal losses all through say nothing about the sign.
    if norm > 0.0 { product / norm } else { 0.0 }
}

/// Whether both N and D span enough for the runs to show what each of them buys.
fn spans_shapes(table: &Table) -> bool {
    let span = |of: fn(&Point) -> Option<f64>| {
        let values: Vec<f64> = table.points().iter().filter_map(of).collect();
        let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        largest / values.iter().copied().fold(f64::INFINITY, f64::min)
    };
    span(|point| point.n_params) >= LEAST_SPAN_OF_SHAPES
        && span(|point| point.n_tokens) >= LEAST_SPAN_OF_SHAPES
}

/// Standard deviation of ln N about its straight trend in ln C; `None` without shapes.
fn shape_spread(table: &Table) -> Option<f64> {
    let pairs: Option<Vec<(f64, f64)>> =
        table.points().iter().map(|p| p.shape().map(|(n, d)| ((n * d).ln(), n.ln()))).collect();
    let pairs = pairs?;
    let n = pairs.len() as f64;
    let (mx, my) = (pairs.iter().map(|p| p.0).sum::<f64>() / n, pairs.iter().map(|p| p.1).sum::<f64>() / n);
    let sxx: f64 = pairs.iter().map(|p| (p.0 - mx).powi(2)).sum();
    let sxy: f64 = pairs.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum();
    let syy: f64 = pairs.iter().map(|p| (p.1 - my).powi(2)).sum();
    Some(((syy - sxy * sxy / sxx.max(f64::MIN_POSITIVE)).max(0.0) / n).sqrt())
}
