//! A forecast over a range of compute: the line and the band of a figure.

use serde::{Deserialize, Serialize};

use crate::{ForecastError, Forecaster, Prediction, Table, Target};

/// Places at which a band is computed: enough for a line that bends nowhere sharply.
const N_PLACES: usize = 41;

/// The forecast at one compute.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BandPoint {
    /// C in FLOPs.
    pub flops: f64,
    /// The loss there.
    #[serde(flatten)]
    pub prediction: Prediction,
}

/// What `fitted` forecasts from the smallest run of `table` to `target`, or to the largest run where that is
/// larger, at equal ratios of compute.
///
/// Where the target has a shape, N and D go along the power laws of compute that lead through it and fit the
/// table's shapes best, so that the line meets the target's own forecast.
///
/// # Errors
/// As [`Forecaster::forecast`].
pub fn band(fitted: &Forecaster, table: &Table, target: &Target) -> Result<Vec<BandPoint>, ForecastError> {
    let (from, to) = range(table, target);
    let shape = target.n_params.zip(target.n_tokens);
    let path = |anchor: f64, of: fn(&crate::Point) -> Option<f64>| {
        let slope = slope(table, target.flops, anchor, of);
        move |flops: f64| anchor * (flops / target.flops).powf(slope)
    };
    let paths = shape.map(|(n, d)| (path(n, |p| p.n_params), path(d, |p| p.n_tokens)));
    let place = |i: usize| from * (to / from).powf(i as f64 / (N_PLACES - 1) as f64);
    // The target itself is a place: elsewhere the figure could show another number than the forecast.
    let mut places: Vec<f64> = (0..N_PLACES).map(place).filter(|flops| *flops < to).collect();
    places.extend([to, target.flops]);
    places.sort_by(f64::total_cmp);
    places.dedup();
    let at = |flops: f64| {
        let shape = paths.as_ref().map(|(n, d)| (n(flops), d(flops)));
        let place = Target { flops, n_params: shape.map(|(n, _)| n), n_tokens: shape.map(|(_, d)| d) };
        Ok(BandPoint { flops, prediction: fitted.prediction_by(&place, target.flops)? })
    };
    places.into_iter().map(at).collect()
}

fn range(table: &Table, target: &Target) -> (f64, f64) {
    let all = table.points().iter().map(|point| point.flops).chain([target.flops]);
    all.fold((f64::INFINITY, 0.0), |(low, high), flops| (low.min(flops), high.max(flops)))
}

/// The exponent `b` of `anchor·(C/flops)^b` with the least squares in logarithms; a half where no run determines it.
fn slope(table: &Table, flops: f64, anchor: f64, of: impl Fn(&crate::Point) -> Option<f64>) -> f64 {
    let (mut xy, mut xx) = (0.0, 0.0);
    for point in table.points() {
        if let Some(value) = of(point) {
            let (x, y) = ((point.flops / flops).ln(), (value / anchor).ln());
            xy += x * y;
            xx += x * x;
        }
    }
    if xx > 0.0 { xy / xx } else { 0.5 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Point, Settings};

    /// A ladder on `L = 1.5 + 400·C^-0.15` with N and D on power laws.
    fn ladder() -> Table {
        let point = |i: i32| {
            let flops = 1e13 * 4f64.powi(i);
            let n_params = 0.1 * flops.powf(0.45);
            let loss = 1.5 + 400.0 * flops.powf(-0.15) * (1.0 + 1e-3 * f64::from(i % 3 - 1));
            let n_tokens = Some(flops / 6.0 / n_params);
            Point { run: format!("r{i}"), n_params: Some(n_params), n_tokens, flops, loss, seed: None }
        };
        Table::new((0..8).map(point).collect()).unwrap()
    }

    #[test]
    fn a_shape_goes_through_the_target_along_the_shapes_of_the_runs() {
        let table = ladder();
        let found = slope(&table, 1e20, 0.1 * 1e20f64.powf(0.45), |p| p.n_params);
        assert!((found - 0.45).abs() < 1e-12, "{found}");
        assert_eq!(slope(&Table::new(Vec::new()).unwrap(), 1e20, 5.0, |p| p.n_params), 0.5);
    }

    #[test]
    fn the_band_spans_runs_and_target_and_meets_the_forecast() {
        let table = ladder();
        let fitted = Forecaster::fit(&table, &Settings { n_draws: 200, ..Settings::default() }, &[]).unwrap();
        for target in [Target::at_flops(1e20).unwrap(), Target::at_shape(1.2e9, 1.4e10).unwrap()] {
            let band = band(&fitted, &table, &target).unwrap();
            assert_eq!(band[0].flops, 1e13);
            let last = band.last().unwrap();
            assert_eq!(last.flops, target.flops);
            let own = fitted.forecast(&target).unwrap().prediction;
            assert!((last.prediction.median / own.median - 1.0).abs() < 1e-9, "{last:?} {own:?}");
            assert!(band.windows(2).all(|pair| pair[0].flops < pair[1].flops));
        }
    }
}
