//! Answers compared as SQuAD compares them: words without case, punctuation and articles.
//!
//! Paper: <https://arxiv.org/abs/1606.05250>. The arithmetic is that of `squad_metrics` in transformers.

use std::{collections::HashMap, sync::LazyLock};

use crate::python::{Regex, is_space};

/// A text without what does not matter.
fn normal(text: &str) -> String {
    static ARTICLES: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\b(a|an|the)\b").expect("the pattern is a constant"));
    let text: String = text.to_lowercase().chars().filter(|c| !c.is_ascii_punctuation()).collect();
    let text = ARTICLES.replace(&text, " ");
    text.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Whether two texts are the same answer.
pub(super) fn is_same(target: &str, answer: &str) -> bool {
    normal(target) == normal(answer)
}

/// The harmonic mean of the shares of words that two texts have in common.
pub(super) fn f1(target: &str, answer: &str) -> f64 {
    let [target, answer] = [target, answer].map(normal);
    let words = |text: &str| text.split(' ').filter(|word| !word.is_empty()).count();
    let (n_target, n_answer) = (words(&target), words(&answer));
    if n_target == 0 || n_answer == 0 {
        return f64::from(u8::from(n_target == n_answer));
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    target.split(' ').for_each(|word| *counts.entry(word).or_default() += 1);
    let mut n_same = 0;
    for word in answer.split(' ') {
        if let Some(count) = counts.get_mut(word).filter(|count| **count > 0) {
            *count -= 1;
            n_same += 1;
        }
    }
    if n_same == 0 {
        return 0.0;
    }
    let (precision, recall) = (f64::from(n_same) / n_answer as f64, f64::from(n_same) / n_target as f64);
    (2.0 * precision * recall) / (precision + recall)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers in nine scripts, changed at random, as transformers compares them: `tools/reference/squad.py`.
    #[test]
    fn answers_are_compared_as_by_transformers() {
        let path = std::env::var("SQUAD_CASES").unwrap_or_else(|_| {
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/squad.jsonl").to_owned()
        });
        let text = std::fs::read_to_string(path).unwrap();
        let mut n = 0;
        for line in text.lines().skip(1) {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let (target, answer) = (case["target"].as_str().unwrap(), case["answer"].as_str().unwrap());
            assert_eq!(is_same(target, answer), case["exact"] == 1, "{line}");
            assert_eq!(f1(target, answer), case["f1"].as_f64().unwrap(), "{line}");
            n += 1;
        }
        assert!(n >= 200, "{n}");
    }
}
