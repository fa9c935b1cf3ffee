//! `watch.json`: the alarms of a run.

use forecast::Alarm;
use serde::{Deserialize, Serialize};

use super::file::RunFile;

/// In the run's folder.
pub(crate) const WATCH: &str = "pretrain/watch.json";

/// What `watch.json` holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Watched {
    /// [`Seal::seal`] of the forecast.
    pub(crate) seal: String,
    /// Part of healthy runs that raise an alarm.
    pub(crate) false_alarm_rate: f64,
    /// Steps that were watched.
    pub(crate) n_steps: u64,
    pub(crate) alarms: Vec<Alarm>,
}

impl RunFile for Watched {
    const PATH: &'static str = WATCH;
}
