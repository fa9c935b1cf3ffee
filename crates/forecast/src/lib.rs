//! Points of small runs in, a forecast with intervals out: pure mathematics on hashes and timestamps of `base` alone.

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
