//! The forecast tried on runs that are already trained: fit the small ones, predict the large ones.

use serde::{Deserialize, Serialize};

use crate::{
    ForecastError, Forecaster, Prediction, Priors, ReferenceRuns, Settings, Table, Target,
    stats::interval::median,
};

/// One run that was held out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BacktestPoint {
    /// Name of the run.
    pub run: String,
    /// Its compute in FLOPs.
    pub flops: f64,
    /// Its loss.
    pub actual: f64,
    /// What was forecast for it.
    #[serde(flatten)]
    pub prediction: Prediction,
    /// Its compute over the largest compute fitted.
    pub extrapolation: f64,
    /// The threshold below which runs were fitted.
    pub fit_max_flops: f64,
    /// Runs fitted.
    pub n_fit: usize,
}

/// Fractions of the held-out runs that lay inside of each interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Of the 50 % interval.
    #[serde(rename = "50")]
    pub c50: f64,
    /// Of the 80 % interval.
    #[serde(rename = "80")]
    pub c80: f64,
    /// Of the 95 % interval.
    #[serde(rename = "95")]
    pub c95: f64,
}

/// How forecasts from part of a table did on the rest of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backtest {
    /// Every held-out run, once for each threshold below it.
    pub points: Vec<BacktestPoint>,
    /// Coverage over `points`.
    pub coverage: Coverage,
    /// Median of |median − actual| / actual, in %.
    pub median_abs_error_pct: f64,
    /// Median width of the 80 % interval, in % of the median forecast: how sharp the forecasts are.
    pub median_width80_pct: f64,
    /// Median width of the 95 % interval, in % of the median forecast.
    pub median_width95_pct: f64,
    /// The thresholds used, in FLOPs.
    pub thresholds: Vec<f64>,
}

impl Backtest {
    /// Sums up `points`, which may come from several tables.
    pub fn from_points(points: Vec<BacktestPoint>, thresholds: Vec<f64>) -> Self {
        let share = |percent| {
            let n_inside =
                points.iter().filter(|point| point.prediction.covers(percent, point.actual)).count();
            n_inside as f64 / points.len().max(1) as f64
        };
        let coverage = Coverage { c50: share(50), c80: share(80), c95: share(95) };
        let error = |p: &BacktestPoint| 100.0 * (p.prediction.median - p.actual).abs() / p.actual;
        let width80 =
            |p: &BacktestPoint| 100.0 * (p.prediction.hi80 - p.prediction.lo80) / p.prediction.median;
        let width95 =
            |p: &BacktestPoint| 100.0 * (p.prediction.hi95 - p.prediction.lo95) / p.prediction.median;
        Self {
            coverage,
            median_abs_error_pct: median(points.iter().map(error)),
            median_width80_pct: median(points.iter().map(width80)),
            median_width95_pct: median(points.iter().map(width95)),
            points,
            thresholds,
        }
    }
}

/// The rolling protocol fits below the largest compute divided by each of these.
const ROLLING_FACTORS: [f64; 6] = [1000.0, 300.0, 100.0, 30.0, 10.0, 3.0];

/// Fits the runs up to `fit_max_flops` and forecasts every run above it.
///
/// Without a threshold the rolling protocol: the largest compute divided by 1000, 300, 100, 30, 10 and 3 in turn,
/// leaving out thresholds below which no law can be fitted; at equal sets of fitted runs only one counts.
///
/// # Errors
/// If no threshold leaves runs on both sides that can be fitted and forecast.
pub fn backtest(
    table: &Table,
    fit_max_flops: Option<f64>,
    settings: &Settings,
    references: &[ReferenceRuns],
) -> Result<Backtest, ForecastError> {
    backtest_with(table, fit_max_flops, settings, references, &Priors::default())
}

/// [`backtest`] with other priors than the default.
///
/// # Errors
/// As [`backtest`].
pub fn backtest_with(
    table: &Table,
    fit_max_flops: Option<f64>,
    settings: &Settings,
    references: &[ReferenceRuns],
    priors: &Priors,
) -> Result<Backtest, ForecastError> {
    if let Some(threshold) = fit_max_flops {
        let points = one_threshold(table, threshold, settings, references, priors)?;
        return Ok(Backtest::from_points(points, vec![threshold]));
    }
    let largest = table.points().last().map_or(0.0, |point| point.flops);
    let (mut points, mut thresholds, mut last_error, mut last_n_fit) = (Vec::new(), Vec::new(), None, 0);
    for factor in ROLLING_FACTORS {
        let threshold = largest / factor;
        let n_fit = table.points().iter().filter(|point| point.flops <= threshold).count();
        if n_fit == last_n_fit {
            continue;
        }
        last_n_fit = n_fit;
        match one_threshold(table, threshold, settings, references, priors) {
            Ok(found) => {
                points.extend(found);
                thresholds.push(threshold);
            }
            Err(error) => last_error = Some(error),
        }
    }
    match last_error {
        Some(error) if points.is_empty() => Err(error),
        _ if points.is_empty() => Err(empty_split(table, 0)),
        _ => Ok(Backtest::from_points(points, thresholds)),
    }
}

fn one_threshold(
    table: &Table,
    threshold: f64,
    settings: &Settings,
    references: &[ReferenceRuns],
    priors: &Priors,
) -> Result<Vec<BacktestPoint>, ForecastError> {
    let small = table.filtered(|point| point.flops <= threshold);
    let n_fit = small.points().len();
    if n_fit == 0 || n_fit == table.points().len() {
        return Err(empty_split(table, n_fit));
    }
    let fitted = Forecaster::fit_with(&small, settings, references, priors)?;
    let held_out = table.points().iter().filter(|point| point.flops > threshold);
    held_out
        .map(|point| {
            let target = Target { flops: point.flops, n_params: point.n_params, n_tokens: point.n_tokens };
            let forecast = fitted.forecast(&target)?;
            Ok(BacktestPoint {
                run: point.run.clone(),
                flops: point.flops,
                actual: point.loss,
                prediction: forecast.prediction,
                extrapolation: forecast.extrapolation,
                fit_max_flops: threshold,
                n_fit,
            })
        })
        .collect()
}

fn empty_split(table: &Table, n_fit: usize) -> ForecastError {
    let flops = |point: Option<&crate::Point>| point.map_or(0.0, |point| point.flops);
    ForecastError::EmptySplit {
        n_fit,
        n_held_out: table.points().len() - n_fit,
        lowest: flops(table.points().first()),
        highest: flops(table.points().last()),
    }
}
