//! Answers with what people say is true of them, and how well a grader agrees.

use std::{collections::BTreeMap, path::PathBuf};

use base::Rng;
use data::Message;
use serde::{Deserialize, Serialize};

use super::{ResponseType, grade};
use crate::{
    AlignError, OnRow, Read,
    conversation::{Problem, messages, read},
};

/// Draws of the test set that an interval is made of.
const N_DRAWS: usize = 1000;

/// An answer with what is true of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Gold {
    /// What was asked.
    pub messages: Vec<Message>,
    /// What was answered.
    pub answer: String,
    /// What the prompt asks for.
    pub kind: ResponseType,
    /// What people say of the answer.
    pub propositions: BTreeMap<String, bool>,
}

/// Reads rows of `prompt`, `completion`, `response_type` and `propositions`, as OpenAI published them.
///
/// # Errors
/// If a file cannot be read; with [`OnRow::Refuse`] at the first row that is something else.
pub fn read_gold(paths: &[PathBuf], on_row: OnRow) -> Result<Read<Gold>, AlignError> {
    read(paths, on_row, |_, row| {
        let field = |name: &str| row.fields.get(name);
        let mut all = Vec::new();
        for name in ["prompt", "completion"] {
            let list = field(name).and_then(serde_json::Value::as_array);
            all.extend(
                list.ok_or_else(|| Problem::new(format!("a list of messages as `{name}`"), "none"))?.clone(),
            );
        }
        let mut all = messages(&serde_json::Value::Array(all))?;
        let answer = all.pop().filter(|message| message.role == "assistant");
        let answer =
            answer.ok_or_else(|| Problem::new("a completion of the assistant", "another end"))?.content;
        let kind = field("response_type").and_then(serde_json::Value::as_str).unwrap_or_default();
        let kind = ResponseType::named(kind).ok_or_else(|| {
            Problem::new("a `response_type` such as Comply or Hard Refuse", format!("`{kind}`"))
        })?;
        let propositions = field("propositions").cloned().unwrap_or_default();
        let propositions: BTreeMap<String, bool> = serde_json::from_value(propositions)
            .map_err(|error| Problem::new("`propositions` that are true or false", error.to_string()))?;
        Ok(Gold { messages: all, answer, kind, propositions })
    })
}

/// How well a grader agrees with people about a proposition.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PropositionScore {
    /// `2·TP/(2·TP + FP + FN)`; 0 where nothing was found of what there is.
    pub f1: f64,
    /// Lower end of its 95 % interval, by drawing the items again and again.
    pub lo95: f64,
    /// Upper end.
    pub hi95: f64,
    /// Items of which people say that it is true.
    pub n_true: usize,
    /// Items altogether.
    pub n: usize,
}

/// F1 of the rules on labelled answers, by proposition.
pub fn validate(gold: &[Gold], seed: u64) -> BTreeMap<String, PropositionScore> {
    let graded: Vec<BTreeMap<&'static str, bool>> =
        gold.iter().map(|item| grade(&item.messages, &item.answer)).collect();
    let names: std::collections::BTreeSet<&String> =
        gold.iter().flat_map(|item| item.propositions.keys()).collect();
    names
        .into_iter()
        .map(|name| {
            let pairs = gold.iter().zip(&graded).filter_map(|(item, graded)| {
                Some((*item.propositions.get(name)?, graded.get(&name[..]).copied().unwrap_or(false)))
            });
            (name.clone(), score(&pairs.collect::<Vec<_>>(), seed))
        })
        .collect()
}

/// F1 of pairs of what is true and what was found.
fn score(pairs: &[(bool, bool)], seed: u64) -> PropositionScore {
    let n = pairs.len();
    let mut rng = Rng::named(seed, "items drawn again");
    let mut draws: Vec<f64> =
        (0..N_DRAWS).map(|_| f1((0..n).map(|_| pairs[rng.below(n as u64) as usize]))).collect();
    draws.sort_by(f64::total_cmp);
    let at = |share: f64| draws[(share * (N_DRAWS - 1) as f64).round() as usize];
    let n_true = pairs.iter().filter(|(is_true, _)| *is_true).count();
    PropositionScore { f1: f1(pairs.iter().copied()), lo95: at(0.025), hi95: at(0.975), n_true, n }
}

fn f1(pairs: impl Iterator<Item = (bool, bool)>) -> f64 {
    let (mut twice_right, mut wrong) = (0.0, 0.0);
    for (is_true, is_found) in pairs {
        match (is_true, is_found) {
            (true, true) => twice_right += 2.0,
            (true, false) | (false, true) => wrong += 1.0,
            (false, false) => {}
        }
    }
    if twice_right == 0.0 { 0.0 } else { twice_right / (twice_right + wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f1_by_hand() {
        // TP 2, FP 1, FN 1: 4/6.
        let pairs = [(true, true), (true, true), (false, true), (true, false), (false, false)];
        assert!((f1(pairs.into_iter()) - 2.0 / 3.0).abs() < 1e-12);
        let many: Vec<(bool, bool)> = pairs.iter().copied().cycle().take(500).collect();
        let PropositionScore { f1, lo95, hi95, n_true, n } = score(&many, 1);
        assert!(lo95 < f1 && f1 < hi95 && hi95 - lo95 < 0.15, "{lo95} {f1} {hi95}");
        assert_eq!((n_true, n), (300, 500));
    }

    #[test]
    fn gold_is_read_and_what_is_none_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gold.jsonl");
        let row = |kind: &str| {
            serde_json::json!({
                "prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "Sorry."}],
                "response_type": kind, "propositions": {"apology": true, "judgement": false},
            })
        };
        std::fs::write(&path, format!("{}\n", row("Hard Refuse"))).unwrap();
        let gold = read_gold(std::slice::from_ref(&path), OnRow::Refuse).unwrap().rows;
        assert_eq!((gold[0].kind, &gold[0].answer[..]), (ResponseType::HardRefuse, "Sorry."));
        let scores = validate(&gold, 1);
        assert_eq!((scores["apology"].f1, scores["judgement"].f1), (1.0, 0.0));
        std::fs::write(&path, format!("{}\n", row("Perhaps"))).unwrap();
        let error = read_gold(&[path], OnRow::Refuse).unwrap_err().to_string();
        assert!(error.contains("found `Perhaps`") && error.contains("row 1"), "{error}");
    }
}
