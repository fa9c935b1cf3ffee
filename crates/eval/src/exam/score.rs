//! What a model made of one item: one JSON object.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Item, Likelihood, Pair, Task};

/// One item, scored. No clock and no path is in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemScore {
    /// The task.
    pub task: String,
    /// Number of the item in the data, from 0.
    pub doc_id: usize,
    /// The right choice, or all of them.
    pub target: Target,
    /// Ids of the context, where all choices have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_ids: Option<Vec<u32>>,
    /// What was scored.
    pub choices: Vec<ChoiceScore>,
    /// `acc`, `acc_norm` …
    #[serde(flatten)]
    pub metrics: BTreeMap<String, f64>,
}

/// One choice or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Target {
    /// One is right.
    One(usize),
    /// Any of these is.
    Any(Vec<usize>),
}

impl Target {
    /// Whether a choice is right.
    pub fn contains(&self, choice: usize) -> bool {
        match self {
            Self::One(target) => *target == choice,
            Self::Any(targets) => targets.contains(&choice),
        }
    }
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
        Self { task: task_name, doc_id, target, context_ids, choices, metrics: BTreeMap::new() }
    }

    pub(super) fn line(&self) -> String {
        let json = serde_json::to_string(self).expect("numbers and texts become JSON");
        json + "\n"
    }
}
