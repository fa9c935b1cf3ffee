//! Batches in, weights out.
//!
//! [`Trainer`] runs the loop, [`Learner`] takes a step of it; [`Optimizer`] holds moments, [`Schedule`] the learning rate over time, [`evaluate()`]
//! the validation loss. What a run writes: `metrics.jsonl`, `checkpoints/step-N/` and `summary.json`.
#![forbid(unsafe_code)]

mod cadence;
mod error;
mod evaluate;
mod learner;
mod metric;
mod metric_kinds;
mod metrics_file;
mod metrics_reader;
mod optimizer;
mod overrides;
mod plan;
mod repetition;
mod schedule;
mod settings;
mod settings_list;
mod spike;
mod stalled;
mod state;
mod trainer;

pub use cadence::Cadence;
pub use error::TrainError;
pub use evaluate::{Validation, evaluate};
pub use learner::{Learner, Update, clip_coefficient};
pub use metric::{Metric, MetricKind};
pub use metric_kinds::{
    ParamStalled, RecordLost, RowsRepeated, RunBegun, RunResumed, Spiked, TrainStep, Validated,
};
pub use metrics_reader::{MetricsLine, MetricsReader};
pub use optimizer::Optimizer;
pub use overrides::LearningRateOverrides;
pub use plan::plan;
pub use repetition::RepetitionDetector;
pub use schedule::Schedule;
pub use settings::{OptimizerKind, Precision};
pub use settings_list::{TrainOverrides, TrainSettings};
pub use spike::{Spike, SpikeDetector};
pub use stalled::StalledDetector;
pub use state::{
    DamagedCheckpoint, TrainerState, checkpoint_bytes, holds_run, latest_checkpoint, special_ids,
};
pub use trainer::{Event, Inputs, Outcome, Sealed, Summary, Trainer};
