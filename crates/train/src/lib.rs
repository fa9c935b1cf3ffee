//! Batches in, weights out.
//!
//! [`plan()`] turns a budget into [`TrainSettings`], in which every number is fixed. [`Trainer`] runs the loop: a
//! [`Learner`] takes each step with an [`Optimizer`], at the learning rate that [`Schedule`] gives, and [`evaluate()`]
//! computes the validation loss. An [`Objective`] is what is minimised: [`Pretraining`], [`Masked`], or one of another crate;
//! [`Tuning`] says which parameters are trained. Each [`Monitor`] reports what no healthy run shows. A run's folder holds `metrics.jsonl` ([`MetricsReader`]), `checkpoints/step-N/` and
//! `summary.json`; a run that is opened again goes on from its newest checkpoint, to the same bits.
//!
//! ```
//! use std::{ops::ControlFlow, sync::{Arc, atomic::AtomicBool}};
//! # let dir = tempfile::tempdir().unwrap();
//! # let (corpus, folder) = (dir.path().join("corpus.txt"), dir.path().join("run"));
//! # std::fs::write(&corpus, "All work and no play makes a dull boy.\n".repeat(200)).unwrap();
//! # let mut sources = data::DataConfig::new(vec![data::SourceConfig::new(corpus.display().to_string())]);
//! # sources.validation = data::ValidationConfig::Tail { fraction: 0.1 };
//! let tokenizer = data::Tokenizer::bytes();
//! let data = data::prepare(&sources, &tokenizer, &dir.path().join("data"), &mut |_| ControlFlow::Continue(()))?;
//!
//! let fixed = train::TrainOverrides { seq_len: Some(32), batch_rows: Some(4), ..Default::default() };
//! let vocab_size = tokenizer.vocab_size();
//! let (config, settings) = train::plan(Some(3e8), vocab_size, &Default::default(), &fixed, 1)?;
//! let objective = train::Pretraining::new(Arc::new(data), &settings, tokenizer.token_bytes())?;
//! let inputs = train::Inputs {
//!     kernels: Arc::new(tensor::Cpu::new(1)),
//!     config,
//!     settings,
//!     objective: Box::new(objective),
//!     tuning: train::Tuning::default(),
//!     tokenizer,
//!     chat_template: None,
//!     start: None,
//!     forecast: None,
//! };
//! let mut trainer = train::Trainer::open(inputs, &folder)?;
//! let outcome = trainer.run(&AtomicBool::new(false), &mut |_event| ())?;
//! let train::Outcome::Finished(summary) = outcome else { panic!("nobody asked it to stop") };
//! assert!(summary.validation.loss_nats < (vocab_size as f64).ln()); // better than guessing
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod cadence;
mod error;
mod evaluate;
mod learner;
mod metric;
mod metric_kinds;
mod metrics_file;
mod metrics_reader;
mod monitor;
mod objective;
mod optimizer;
mod overrides;
mod plan;
mod schedule;
mod settings;
mod settings_list;
mod state;
mod trainer;
mod tuning;

pub use cadence::Cadence;
pub use error::TrainError;
pub use evaluate::{Validation, evaluate};
pub use learner::{Learner, Update, clip_coefficient};
pub use metric::{Metric, MetricKind};
pub use metric_kinds::{
    ParamStalled, RecordLost, RowsRepeated, RunBegun, RunResumed, Spiked, TrainStep, Validated,
};
pub use metrics_reader::{MetricsLine, MetricsReader};
pub use monitor::{
    Monitor, RepeatedRows, RepetitionDetector, Spike, SpikeDetector, StalledDetector, StalledParams, StepView,
};
pub use objective::{
    Batch, Example, Eyes, Masked, MicroBatch, Objective, PictureExample, PictureReader, Pretraining,
    Readiness, ReplaySettings, Scalars, Shuffled, WithPictures, WithReplay, not_a_cursor, read_cursor,
};
pub use optimizer::Optimizer;
pub use overrides::LearningRateOverrides;
pub use plan::plan;
pub use schedule::Schedule;
pub use settings::{OptimizerKind, Precision};
pub use settings_list::{TrainOverrides, TrainSettings};
pub use state::{
    DamagedCheckpoint, TrainerState, checkpoint_bytes, holds_run, latest_checkpoint, special_ids,
};
pub use trainer::{Event, Inputs, Outcome, Sealed, Summary, Trainer};
pub use tuning::Tuning;
