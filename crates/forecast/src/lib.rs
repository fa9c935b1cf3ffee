//! Points of small runs in, a forecast with an honest interval out: pure mathematics, with no internal dependency.

#![forbid(unsafe_code)]

mod alarm;
mod backtest;
mod band;
mod candidate;
mod chain;
mod column;
mod curve;
mod diagnose;
mod error;
mod experience;
mod fit;
mod fitted;
mod forecast;
mod interval;
mod isoflop;
mod kin;
mod kinship;
mod law;
mod number;
mod pass_rate;
mod quantile;
mod random;
mod rehearsal;
mod seal;
mod share;
mod sheet;
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
pub use experience::{Belief, Experience};
pub use fitted::Fitted;
pub use forecast::{Candidate, Forecast, LawChoice, Settings, Target};
pub use interval::Prediction;
pub use isoflop::{IsoflopMinimum, isoflop_minima};
pub use kin::Kin;
pub use pass_rate::{
    BucketForecast, FormScore, Outcome, PassRateError, PassRateForecast, PassRateForm, PassRateRow,
    PassRateSettings, PassRateTable,
};
pub use seal::{KinPoints, SEAL_FORMAT, Seal, SealError, content_hash};
pub use sheet::Sheet;
pub use table::{Point, Table};
pub use units::{Quantity, UnitFault, WrongUnit};
pub use verdict::{Actual, Inside, Timing, Verdict, VerdictError};
pub use warning::{Warning, WarningKind};
