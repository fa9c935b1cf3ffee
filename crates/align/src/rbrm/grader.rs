//! What says of an answer which propositions hold.

use std::{collections::BTreeMap, fmt};

use data::Message;
use serde::{Deserialize, Serialize};

use super::grade;

/// What grades. A validation holds for this alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GraderId {
    /// Deterministic rules.
    Rules,
    /// A model in a file, by its likelihoods.
    Model {
        /// Where it was.
        path: String,
        /// Hash of its weights.
        weights: String,
        /// What it is computed in.
        precision: String,
    },
    /// A model behind an endpoint, by what it writes.
    Endpoint {
        /// Its address.
        url: String,
        /// Its name there.
        model: String,
    },
}

impl fmt::Display for GraderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rules => f.write_str("rules"),
            Self::Model { path, weights, .. } => {
                write!(f, "the model `{path}` ({})", weights.get(..12).unwrap_or(weights))
            }
            Self::Endpoint { url, model } => write!(f, "`{model}` at {url}"),
        }
    }
}

/// An answer with what was asked.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The conversation before it.
    pub messages: &'a [Message],
    /// The answer.
    pub answer: &'a str,
}

/// Whether each proposition holds of an answer, or why there is no verdict.
pub type Grades = BTreeMap<String, Result<bool, String>>;

/// Says of answers which propositions hold.
pub trait Grader: Send + Sync {
    /// What it is.
    fn id(&self) -> GraderId;

    /// Its verdict about each of the propositions `names`, on each of the answers. What has no verdict has its reason, and is
    /// counted neither as true nor as false.
    fn grade(&self, answers: &[Answered<'_>], names: &[&str]) -> Vec<Grades>;

    /// What may be done about the last answer that had no verdict.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// Deterministic rules; a proposition that they do not know is false.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules;

impl Grader for Rules {
    fn id(&self) -> GraderId {
        GraderId::Rules
    }

    fn grade(&self, answers: &[Answered<'_>], names: &[&str]) -> Vec<Grades> {
        let of = |answered: &Answered<'_>| {
            let found = grade(answered.messages, answered.answer);
            let holds = |name: &&str| ((*name).to_owned(), Ok(found.get(name).copied().unwrap_or(false)));
            names.iter().map(holds).collect()
        };
        answers.iter().map(of).collect()
    }
}
