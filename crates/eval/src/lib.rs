//! A checkpoint in, scores out. Knows neither the trainer nor the forecast.
//!
//! Benchmarks: a [`Task`] is one small file; [`Items::of`] makes prompts of its data, a [`Scorer`] gives the likelihood of
//! each choice, [`examine`] writes an [`ItemScore`] an item to an [`ItemsFile`], and [`summarise_items`] takes the means.
//! Where a task asks for written answers, [`examine_generated`] does the same with the engine that decodes.
//!
//! Of items that were scored, [`calibration()`] says whether probabilities are right as often as they say, [`abstention()`] what
//! withheld answers gain, [`compare()`] pairs two checkpoints, and [`contamination`] looks for them in the text that a model was trained on.
//!
//! [`data::tasks::suite`] makes problems; [`capability`] gives each a [`Score`], how likely a model is to solve it;
//! [`summarise`] takes the means for each task and difficulty ([`LevelSummary`]), with their standard errors. [`vision`]
//! scores answers about pictures, texts against texts; [`attribution`] says which parts of a picture an answer depends on.
//!
//! ```
//! use data::tasks::{Problem, Task};
//!
//! let tokenizer = data::Tokenizer::bytes();
//! let shape = model::scaling::ModelOverrides::default();
//! let gpt = model::Gpt::new(shape.config(tokenizer.vocab_size(), 64, 16), 1); // random weights
//! let problem = Problem {
//!     task: Task::Copy,
//!     difficulty: 1,
//!     prompt: "copy: a =>".into(),
//!     answer: " a\n".into(),
//! };
//! let scores =
//!     eval::capability(&gpt, &tensor::Cpu::new(1), &tokenizer, &[problem], &Default::default())?;
//! let level = &eval::summarise(&scores)[0];
//! assert!(level.pass_rate > 0.0 && level.pass_rate < 1e-3); // three bytes to guess
//! # Ok::<(), eval::EvalError>(())
//! ```

#![forbid(unsafe_code)]

mod abstention;
pub mod agreement;
pub mod attribution;
mod calibration;
mod capability;
mod compare;
pub mod contamination;
pub mod endpoint;
mod error;
mod exam;
mod generation;
pub mod interval;
mod judge;
mod likelihood;
pub mod picture_likelihood;
pub mod pictures;
pub mod python;
pub mod refusal;
mod sampled;
pub mod sandbox;
mod score;
mod standard_exam;
mod task;
#[cfg(test)]
mod tests;
pub mod translation;
pub mod vision;
mod yes_no;

pub use abstention::{Abstention, abstention};
pub use calibration::{Bin, Calibration, Event, Reliability, calibration, reliability};
pub use capability::{CapabilitySettings, capability, capability_while};
pub use compare::{Comparison, compare};
pub use error::{EvalError, ExamError};
pub use exam::{
    CategorySummary, ChoiceScore, ItemScore, ItemsFile, Judged, MetricSummary, Output, Provenance, Target,
    TaskSummary, categories, centred, examine, group, is_share, judged, rescore, run_programs,
    summarise_items,
};
pub use generation::{Drawing, GenerationSettings, Writer, examine_generated, pass_at_k};
pub use judge::{Judge, JudgedCount, judge_items};
pub use likelihood::{Likelihood, Pair, Scorer};
pub use score::{LevelSummary, Outcome, Score, summarise};
pub use standard_exam::{
    Conversion, ExamScore, Percentile, Percentiles, Section, SectionResult, StandardExam,
};
pub use task::{ChatFormat, DataFolder, Found, Item, Items, Kind, Metric, Presence, Task};
pub use yes_no::{Asker, YesNo, read_yes_or_no, yes_or_no};
