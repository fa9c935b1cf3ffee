//! What a table can carry beyond its runs: few budgets of many shapes, floors that a ladder does not show, runs trained far longer
//! than any of the table.

#![allow(clippy::unwrap_used, reason = "a helper of a test is part of the test")]

use forecast::{Forecast, ForecastError, Forecaster, LawChoice, Point, Settings, Table, Target, WarningKind};

/// The same scatter on every machine, of about this share of the loss.
fn scatter(i: usize, share: f64) -> f64 {
    1.0 + share * (((i * 7919 + 13) % 101) as f64 / 50.0 - 1.0)
}

fn loss(n: f64, d: f64) -> f64 {
    1.75 + 420.0 / n.powf(0.34) + 900.0 / d.powf(0.31)
}

fn point(i: usize, n: f64, d: f64, loss: f64) -> Point {
    Point { run: format!("r{i}"), n_params: Some(n), n_tokens: Some(d), flops: 6.0 * n * d, loss, seed: None }
}

/// Runs at each of these budgets, with shapes that span `span` times in N.
fn budgets(budgets: &[f64], n_shapes: usize, span: f64, law: impl Fn(f64, f64) -> f64) -> Vec<Point> {
    let mut points = Vec::new();
    for budget in budgets {
        let best = (budget / 120.0).sqrt();
        for k in 0..n_shapes {
            let n = best * span.powf(k as f64 / (n_shapes - 1) as f64 - 0.5);
            let d = budget / 6.0 / n;
            points.push(point(points.len(), n, d, law(n, d) * scatter(points.len(), 0.002)));
        }
    }
    points
}

fn forecast(points: Vec<Point>, n: f64, d: f64) -> Forecast {
    let table = Table::new(points).unwrap();
    Forecaster::fit(&table, &Settings::default(), &[])
        .unwrap()
        .forecast(&Target::at_shape(n, d).unwrap())
        .unwrap()
}

#[test]
fn two_budgets_of_many_shapes_are_enough_for_a_law_in_parameters_and_tokens() {
    for step in [1.3, 1.74] {
        let runs = budgets(&[6e18, 6e18 * step], 24, 8.5, loss);
        let (n, d) = (4.5e8, 3e19 / 6.0 / 4.5e8);
        let found = forecast(runs.clone(), n, d);
        let actual = loss(n, d);
        assert!(
            (found.prediction.median / actual - 1.0).abs() < 0.02,
            "{step}: {:?} {actual}",
            found.prediction
        );
        assert!(found.prediction.covers(95, actual), "{step}: {:?} {actual}", found.prediction);
        assert!(found.warnings.iter().any(|w| w.kind == WarningKind::NarrowRange), "{:?}", found.warnings);
        let compute = Settings { law: LawChoice::Compute, ..Settings::default() };
        let error = Forecaster::fit(&Table::new(runs).unwrap(), &compute, &[]).unwrap_err();
        assert!(matches!(error, ForecastError::NarrowRange { .. }), "{error}");
    }
    // One budget says nothing of what more compute buys, nor do two of nearly one shape.
    for runs in [budgets(&[6e18], 24, 8.5, loss), budgets(&[6e18, 1e19], 12, 1.5, loss)] {
        let error = Forecaster::fit(&Table::new(runs).unwrap(), &Settings::default(), &[]).unwrap_err();
        assert!(matches!(error, ForecastError::NarrowRange { .. }), "{error}");
    }
}

#[test]
fn a_run_trained_far_longer_than_any_other_gets_a_wider_interval_and_a_word() {
    let runs = budgets(&[3e18, 1e19, 3e19, 1e20], 12, 100.0, loss);
    let width = |found: &Forecast| (found.prediction.hi95 / found.prediction.lo95).ln();
    let at = |ratio: f64| {
        let n = (2e20 / 6.0 / ratio).sqrt();
        forecast(runs.clone(), n, ratio * n)
    };
    let said = |found: &Forecast| found.warnings.iter().any(|w| w.kind == WarningKind::MixedShapes);
    // The runs have 0.2 to 2,000 tokens per parameter.
    let (inside, outside) = (at(1500.0), at(8000.0));
    assert!(!said(&inside), "{:?}", inside.warnings);
    assert!(said(&outside), "{:?}", outside.warnings);
    assert!(width(&outside) > 1.5 * width(&inside), "{:?} {:?}", outside.prediction, inside.prediction);
}

#[test]
fn a_floor_that_a_ladder_feigns_does_not_close_the_interval() {
    // What the runs show flattens to a floor of 3.0 that is not there: the run 16 times further falls 5.5 % below.
    let flat = |n: f64, d: f64| 3.0 + 5.5e4 / n.powf(0.67) + 4.7e5 / d.powf(0.67);
    let steps: Vec<f64> = (0..8).map(|k| 1.25e16 * 2f64.powi(k)).collect();
    let mut runs = budgets(&steps, 8, 10.0, flat);
    for (i, run) in runs.iter_mut().enumerate() {
        run.loss *= scatter(3 * i + 1, 0.02);
    }
    let (n, d) = (4.55e8, 9.37e9);
    let found = forecast(runs, n, d);
    assert!(found.prediction.covers(95, 0.945 * flat(n, d)), "{:?}", found.prediction);
}
