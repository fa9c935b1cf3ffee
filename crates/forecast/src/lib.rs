//! Points of small runs in, a forecast with intervals out: pure mathematics, which reads no clock and no file.
//!
//! A [`Table`] holds finished runs, read from what other programs write ([`Table::read`]) and checked.
//! [`Forecaster::fit`] fits scaling laws to it, weighs them by cross-validation and gives a [`Forecast`] for a
//! [`Target`]: the loss as a [`Prediction`], a median with 50, 80 and 95 % intervals. [`ReferenceRuns`] on other data
//! make it sharper; [`backtest()`] counts how often the intervals held on a table's own larger runs. A [`Seal`] holds
//! a forecast together under a hash and a [`Verdict`] compares it with the finished run. [`CurveForecast`] is for
//! the whole loss curve, [`Watch`] raises an alarm where a run leaves it, [`PassRateForecast`] is for capabilities
//! and [`PartForecast`] for further losses of the same runs.
//!
//! ```
//! use forecast::{ColumnChoice, Forecaster, Settings, Table, Target};
//!
//! // Runs of 10^15 to 10^18 FLOPs whose loss is 1.7 + 400/C^0.15.
//! let mut csv = String::from("run,flops,loss\n");
//! for i in 0..7 {
//!     let flops = 1e15 * 10f64.powf(f64::from(i) / 2.0);
//!     csv += &format!("{i},{flops},{}\n", 1.7 + 400.0 / flops.powf(0.15));
//! }
//! let table = Table::read(csv.as_bytes(), &ColumnChoice::default())?;
//! let settings = Settings { n_draws: 100, ..Settings::default() };
//! let forecast = Forecaster::fit(&table, &settings, &[])?.forecast(&Target::at_flops(1e19)?)?;
//!
//! let actual = 1.7 + 400.0 / 1e19f64.powf(0.15);
//! assert!(forecast.prediction.covers(95, actual));
//! assert!((forecast.prediction.median / actual - 1.0).abs() < 0.02);
//! # Ok::<(), forecast::ForecastError>(())
//! ```

#![forbid(unsafe_code)]

mod alarm;
mod backtest;
mod band;
mod chain;
mod column;
mod curve;
mod error;
mod forecast;
mod loss;
mod number;
mod part;
mod pass_rate;
mod seal;
mod sheet;
mod stats;
mod table;
mod units;
mod verdict;
mod warning;

pub use alarm::{Alarm, AlarmError, AlarmKind, Watch};
pub use backtest::{Backtest, BacktestPoint, Coverage, backtest, backtest_with};
pub use band::{BandPoint, band};
pub use chain::{Sigmoid, chained};
pub use column::ColumnChoice;
pub use curve::{
    Alignment, Channel, CurveBlock, CurveError, CurveForecast, CurveForm, CurveMethod, CurvePoint,
    CurveSchedule, FinalLoss, RunPlan, RungCurve,
};
pub use error::ForecastError;
pub use forecast::{Forecast, LawChoice, LawSummary, Settings, Target};
pub use loss::{
    forecaster::Forecaster,
    isoflop::{IsoflopMinimum, isoflop_minima},
    priors::{LogPrior, Priors},
    reference_runs::ReferenceRuns,
};
pub use part::{MAX_HALF_WIDTH_PCT, PartForecast, PartLoss, PartOutcome};
pub use pass_rate::{
    BucketForecast, FormScore, Outcome, PassRateError, PassRateForecast, PassRateForm, PassRateRow,
    PassRateSettings, PassRateTable,
};
pub use seal::{ReferencePoints, SEAL_FORMAT, Seal, SealError, content_hash};
pub use sheet::Sheet;
pub use stats::interval::Prediction;
pub use table::{Point, Table};
pub use units::{Quantity, UnitFault, WrongUnit};
pub use verdict::{Actual, Inside, Timing, Verdict, VerdictError};
pub use warning::{Warning, WarningKind};
