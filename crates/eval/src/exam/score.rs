//! What a model made of one item: one JSON object.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Item, Likelihood, Pair, Task, sandbox::Outcome};

/// One item, scored. No clock and no path is in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemScore {
    /// The task.
    pub task: String,
    /// Number of the item in the data, from 0.
    pub doc_id: usize,
    /// The right choice or answer, or all of them.
    pub target: Target,
    /// Ids of the context, where all choices have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_ids: Option<Vec<u32>>,
    /// What was scored, where choices are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<ChoiceScore>,
    /// What was written, where answers are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
    /// Fields of the data that answers are judged by, beside the right one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Value>,
    /// Why there is nothing to judge, where an endpoint gave no answer. Such an item has no metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// `acc`, `acc_norm` …
    #[serde(flatten)]
    pub metrics: BTreeMap<String, f64>,
}

/// What is right: a choice or a text, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Target {
    /// One is right.
    One(usize),
    /// Any of these is.
    Any(Vec<usize>),
    /// This answer is.
    Text(String),
    /// Any of these answers is.
    Texts(Vec<String>),
}

impl Target {
    /// Whether a choice is right.
    pub fn contains(&self, choice: usize) -> bool {
        match self {
            Self::One(target) => *target == choice,
            Self::Any(targets) => targets.contains(&choice),
            Self::Text(_) | Self::Texts(_) => false,
        }
    }
}

/// One answer that a model wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// What was written, up to the text that ended it.
    pub text: String,
    /// Tokens that were drawn.
    pub n_tokens: usize,
    /// Why it ended: `stop`, `length` or `context`.
    pub finish: String,
    /// The answer in it by each extractor.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<String, String>,
    /// How the program in it ended, where it is one that was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Outcome>,
    /// What a grader says about it, if one was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<Judged>,
    /// Whether it is right, by metric.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub verdicts: BTreeMap<String, bool>,
}

/// What a grader, a model or a person, says about an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Who: a model's name, with a hash of what it was asked; or `person`.
    pub by: String,
    /// The kind of answer that it is: see [`crate::refusal::Reply`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// Points by a rubric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<f64>,
    /// Why there is no verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// One choice, scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChoiceScore {
    /// Its log-likelihood behind the context, in nats.
    pub loglikelihood: f64,
    /// Tokens of the context.
    pub n_context: usize,
    /// Tokens that were scored.
    pub n_continuation: usize,
    /// Whether each of them was the most likely.
    pub is_greedy: bool,
    /// Characters of the choice, without what separates it from the context.
    pub n_chars: usize,
    /// Bytes of the choice.
    pub n_bytes: usize,
    /// Ids of its own context, where choices differ in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_ids: Option<Vec<u32>>,
    /// Ids that were scored.
    pub continuation_ids: Vec<u32>,
}

impl ItemScore {
    /// Without metrics: see [`super::metric::scored`].
    pub(super) fn new(task: &Task, doc_id: usize, item: &Item, scored: &[(&Pair, Likelihood)]) -> Self {
        let shares_context = scored.windows(2).all(|two| two[0].0.context() == two[1].0.context());
        let context_ids = scored.first().map(|(pair, _)| pair.context().to_vec()).filter(|_| shares_context);
        let choices =
            scored.iter().zip(&item.lengths).map(|((pair, likelihood), &(n_chars, n_bytes))| ChoiceScore {
                loglikelihood: likelihood.loglikelihood,
                n_context: pair.context().len(),
                n_continuation: pair.continuation().len(),
                is_greedy: likelihood.is_greedy,
                n_chars,
                n_bytes,
                context_ids: (!shares_context).then(|| pair.context().to_vec()),
                continuation_ids: pair.continuation().to_vec(),
            });
        let target = match item.gold[..] {
            [one] => Target::One(one),
            _ => Target::Any(item.gold.clone()),
        };
        let (task_name, choices) = (task.name.clone(), choices.collect());
        Self {
            task: task_name,
            doc_id,
            target,
            context_ids,
            choices,
            outputs: Vec::new(),
            reference: Some(item.reference.clone()).filter(|reference| !reference.is_null()),
            failure: None,
            metrics: BTreeMap::new(),
        }
    }

    pub(super) fn line(&self) -> String {
        let json = serde_json::to_string(self).expect("numbers and texts become JSON");
        json + "\n"
    }
}
