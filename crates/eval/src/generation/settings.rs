//! How answers are written: what a task says, and what a caller may change.

use data::Template;
use serde::{Deserialize, Serialize};

use super::{ExactMatch, Filter, exact_match, extract};
use crate::ExamError;

/// What a task says about the answers that it asks for.
#[derive(Debug)]
pub(crate) struct Generate {
    /// Texts that end an answer, and are no part of it.
    pub(crate) until: Vec<String>,
    pub(crate) max_tokens: usize,
    sampling: SamplingFile,
    pub(crate) filters: Vec<Filter>,
    pub(crate) exact_match: ExactMatch,
    /// Whether the prompt is a message of a conversation, behind the field `system` where there is one.
    pub(crate) chat: bool,
    /// The program that is run: made of the fields that are kept, of `target` and `answer`.
    pub(crate) program: Option<Template>,
}

/// The same in a task's file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    until: Vec<String>,
    #[serde(default = "max_tokens")]
    max_tokens: usize,
    #[serde(default)]
    sampling: SamplingFile,
    #[serde(default)]
    filters: Vec<extract::File>,
    #[serde(default)]
    exact_match: exact_match::File,
    #[serde(default)]
    chat: bool,
    /// Fields that stand beside an item.
    #[serde(default)]
    pub(crate) keep: Vec<String>,
    program: Option<String>,
}

/// How tokens are drawn where there are several samples of an item.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SamplingFile {
    temperature: f64,
    top_p: f64,
}

impl Default for SamplingFile {
    fn default() -> Self {
        Self { temperature: 0.2, top_p: 0.95 }
    }
}

/// As in lm-evaluation-harness.
fn max_tokens() -> usize {
    256
}

impl Generate {
    pub(crate) fn new(file: File) -> Result<Self, ExamError> {
        let filters = file.filters.into_iter().map(Filter::new);
        Ok(Self {
            until: file.until.into_iter().filter(|stop| !stop.is_empty()).collect(),
            max_tokens: file.max_tokens,
            sampling: file.sampling,
            filters: filters.collect::<Result<_, _>>()?,
            exact_match: ExactMatch::new(file.exact_match)?,
            chat: file.chat,
            program: file.program.as_ref().map(|source| Template::parse(source)).transpose()?,
        })
    }
}

/// What a caller asks of generated answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GenerationSettings {
    /// Answers to each item. One is the most likely token each time, unless `temperature` says otherwise.
    pub n_samples: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// In place of the task's own.
    pub temperature: Option<f64>,
    /// In place of the task's own.
    pub max_tokens: Option<usize>,
}

impl Default for GenerationSettings {
    fn default() -> Self {
        Self { n_samples: 1, seed: 0, temperature: None, max_tokens: None }
    }
}

/// How the answers to a task are drawn, with nothing left open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drawing {
    /// Answers to each item.
    pub n_samples: usize,
    /// Most tokens of an answer.
    pub max_tokens: usize,
    /// 0 for the most likely token each time.
    pub temperature: f64,
    /// The most likely tokens that have this much of the probability are drawn from.
    pub top_p: f64,
    /// Seed of the draws; 0 where nothing is drawn.
    pub seed: u64,
}

impl Drawing {
    /// How the answers to a task are drawn.
    ///
    /// # Errors
    /// If a setting is outside its range, or samples would all be the same.
    pub(crate) fn of(task: &Generate, settings: &GenerationSettings) -> Result<Self, ExamError> {
        let GenerationSettings { n_samples, seed, .. } = *settings;
        let refuse = |name, expected, found: String, hint| ExamError::Setting { name, expected, found, hint };
        if n_samples == 0 {
            return Err(refuse("samples", "at least 1", "0".to_owned(), "1 takes the most likely answer"));
        }
        let own = if n_samples > 1 { task.sampling.temperature } else { 0.0 };
        let temperature = settings.temperature.unwrap_or(own);
        if !(0.0..=100.0).contains(&temperature) {
            let found = temperature.to_string();
            return Err(refuse("temperature", "from 0 to 100", found, "0 takes the most likely token"));
        }
        if n_samples > 1 && temperature == 0.0 {
            let found = "0".to_owned();
            return Err(refuse(
                "temperature",
                "above 0 for several samples",
                found,
                "without it they are all the same",
            ));
        }
        let max_tokens = settings.max_tokens.unwrap_or(task.max_tokens);
        if max_tokens == 0 {
            return Err(refuse(
                "max-tokens",
                "at least 1",
                "0".to_owned(),
                "leave it out for the task's own",
            ));
        }
        let is_drawn = temperature > 0.0;
        Ok(Self {
            n_samples,
            max_tokens,
            temperature,
            top_p: if is_drawn { task.sampling.top_p } else { 1.0 },
            seed: if is_drawn { seed } else { 0 },
        })
    }
}
