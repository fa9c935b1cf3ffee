//! The stages of a run, in order, and what decides whether one is kept.
//!
//! A run lives in a folder: `tokenizer/`, `data/`, `ladder/`, `forecast.json`, `pretrain/`, then `report.html`. A stage is a value
//! (`stage.rs`) with the hash of what it is made from; a finished one leaves that hash, and is kept as long as it stays the same.

mod answers;
mod aside;
mod budget;
pub(crate) mod capability;
mod claim;
mod data;
mod explain;
mod finished;
mod forecast;
pub(crate) mod ladder;
mod moved;
mod objective;
mod once;
mod plan;
mod pretrain;
mod resolve;
mod run;
mod samples;
mod sources;
mod stage;
mod tokenizer;
mod training;
mod validation;
mod vocabulary;
pub(crate) mod watch;
mod whole;

pub(crate) use self::{data::PrepareData, explain::ExplainAnswers, forecast::SealForecast};
pub(crate) use capability::SUITE_SEED;
pub(crate) use finished::Finished;
pub(crate) use ladder::TrainLadder;
pub(crate) use pretrain::Pretrain;
pub(crate) use resolve::default_precision;
pub(crate) use run::Run;
pub(crate) use samples::{WriteSamples, prompt_ids};
pub(crate) use stage::{Stage, run_all};
pub(crate) use tokenizer::TrainTokenizer;
