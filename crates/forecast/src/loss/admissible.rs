//! Which forms of the law a table can carry.

use crate::{ForecastError, LawChoice, Point, Settings, Table};

use super::law::Form;

/// Two rungs give a line through any two points, and no way to see that it is wrong.
const LEAST_COMPUTE: usize = 3;
const LEAST_SHAPE: usize = 6;
/// Configurations that a coupled law needs.
pub(crate) const LEAST_COUPLED: usize = 12;
const LEAST_SPAN: f64 = 2.0;
/// The same where both N and D span [`LEAST_SPAN_OF_SHAPES`].
const LEAST_SPAN_WITH_SHAPES: f64 = 1.2;
const LEAST_SPAN_OF_SHAPES: f64 = 4.0;
/// Standard deviation of ln N about its trend in ln C below which N and D say nothing that C does not.
pub(crate) const LEAST_SHAPE_SPREAD: f64 = 0.1;

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
    // Shapes that differ widely show both terms of a law in N and D where compute spans little.
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
        // Cross-validation of a law with six coefficients needs small configurations beside the ones it forecasts.
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
pub(crate) fn shape_spread(table: &Table) -> Option<f64> {
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
