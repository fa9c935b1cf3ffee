//! A validated grader as a reward.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use super::{PropositionScore, ResponseType, Weights, grade};
use crate::{
    AlignError,
    environment::{Judge, Prompt},
};

/// What `maquette rbrm` writes: weights, and how well the grader agrees with people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RbrmFile {
    /// What grades: `rules`.
    pub grader: String,
    /// By what a prompt asks for.
    pub weights: BTreeMap<ResponseType, Weights>,
    /// F1 of each proposition on labelled answers; a grader without them is refused.
    #[serde(default)]
    pub validation: BTreeMap<String, PropositionScore>,
}

impl RbrmFile {
    /// Reads it.
    ///
    /// # Errors
    /// If it cannot be read, has no weights, or its grader was never validated.
    pub fn read(path: &Path) -> Result<Self, AlignError> {
        let refuse = |expected: &str, found: String| AlignError::Grader {
            path: path.to_owned(),
            expected: expected.into(),
            found,
        };
        let bytes =
            std::fs::read(path).map_err(|error| refuse("a grader with its weights", error.to_string()))?;
        let file: Self = serde_json::from_slice(&bytes)
            .map_err(|error| refuse("a grader with its weights", error.to_string()))?;
        if file.grader != "rules" {
            return Err(refuse("the grader `rules`", format!("`{}`", file.grader)));
        }
        if file.weights.is_empty() {
            return Err(refuse("weights for some response type", "none".into()));
        }
        let used =
            file.weights.values().flat_map(|weights| weights.of.iter()).filter(|(_, weight)| **weight != 0.0);
        for (name, _) in used {
            if !file.validation.contains_key(name) {
                return Err(refuse(
                    "a grader that was validated on labelled answers",
                    format!("no F1 of `{name}`, which has a weight"),
                ));
            }
        }
        Ok(file)
    }
}

/// Rewards answers by rules, on the prompts whose row says in `label` or `response_type` what they ask for.
pub struct RbrmJudge(RbrmFile);

impl RbrmJudge {
    /// A grader that was validated.
    pub fn new(file: RbrmFile) -> Self {
        Self(file)
    }
}

fn kind(prompt: &Prompt) -> Option<ResponseType> {
    let named = ["response_type", "label"].iter().find_map(|name| prompt.fields.get(*name)?.as_str());
    ResponseType::named(named?)
}

impl Judge for RbrmJudge {
    fn name(&self) -> &str {
        "rbrm"
    }

    fn lacks(&self, prompt: &Prompt) -> Option<String> {
        match kind(prompt) {
            None => Some("a `label` (disallowed, allowed or look_alike) or a `response_type`".into()),
            Some(kind) => (!self.0.weights.contains_key(&kind))
                .then(|| format!("weights for `{}` in the grader", kind.name())),
        }
    }

    fn reward(&self, prompt: &Prompt, answer: &str) -> f64 {
        let Some(weights) = kind(prompt).and_then(|kind| self.0.weights.get(&kind)) else { return 0.0 };
        let graded = grade(&prompt.messages, answer);
        weights.reward(|name| graded.get(name).copied().unwrap_or(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::Message;

    #[test]
    fn a_grader_that_was_not_validated_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rbrm.json");
        let score = PropositionScore { f1: 0.9, lo95: 0.8, hi95: 1.0, n_true: 5, n: 10 };
        let weights = Weights { bias: 0.1, of: [("apology".to_owned(), 0.5)].into(), n: 10, r2: 0.5 };
        let mut file = RbrmFile {
            grader: "rules".into(),
            weights: [(ResponseType::HardRefuse, weights)].into(),
            validation: [("apology".to_owned(), score)].into(),
        };
        let write = |file: &RbrmFile| std::fs::write(&path, serde_json::to_vec(file).unwrap()).unwrap();
        write(&file);
        assert_eq!(RbrmFile::read(&path).unwrap(), file);
        let judge = RbrmJudge::new(file.clone());
        let prompt = |label: &str| Prompt {
            messages: vec![Message::new("user", "q")],
            fields: [("label".to_owned(), label.into())].into_iter().collect(),
            path: "p".into(),
            row: 1,
        };
        assert!((judge.reward(&prompt("disallowed"), "Sorry.") - 0.6).abs() < 1e-12);
        assert!((judge.reward(&prompt("disallowed"), "Yes.") - 0.1).abs() < 1e-12);
        assert!(judge.lacks(&prompt("disallowed")).is_none());
        assert!(judge.lacks(&prompt("allowed")).unwrap().contains("weights for `comply`"));
        assert!(judge.lacks(&prompt("other")).unwrap().contains("label"));

        file.validation.clear();
        write(&file);
        let error = RbrmFile::read(&path).unwrap_err().to_string();
        assert!(error.contains("no F1 of `apology`") && error.contains("hint:"), "{error}");
    }
}
