//! How near translations are to references: chrF and BLEU, to the bit of rounding those of sacreBLEU 2.6.0.
//!
//! ```
//! use eval::translation::{Bleu, chrf};
//! let (hypotheses, references) = (["the cat sat on a mat"], ["the cat sat on the mat"]);
//! assert!((chrf(&hypotheses, &[&references]) - 65.98).abs() < 0.01);
//! assert!((Bleu::default().corpus(&hypotheses, &[&references]) - 53.73).abs() < 0.01);
//! ```

mod bleu;
mod chrf;
mod resampled;
mod tokenize;

pub use bleu::Bleu;
pub use chrf::chrf;
pub use tokenize::Tokenization;

pub(crate) use resampled::{Sentence, bleu_of, chrf_of};

use std::{collections::HashMap, hash::Hash};

/// How often each of some n-grams stands in a sentence.
type Counts<T> = HashMap<T, usize>;

fn counts<T: Hash + Eq>(ngrams: impl Iterator<Item = T>) -> Counts<T> {
    let mut counts = Counts::new();
    ngrams.for_each(|ngram| *counts.entry(ngram).or_default() += 1);
    counts
}

/// The references of sentence `i`, one of each set.
#[track_caller]
fn of_sentence<'r>(references: &[&'r [&'r str]], i: usize, n: usize) -> Vec<&'r str> {
    let check = |set: &&[&str]| assert!(set.len() == n, "{n} hypotheses, {} references", set.len());
    references.iter().inspect(|set| check(set)).map(|set| set[i]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sentences in six scripts, changed at random, with the scores that sacreBLEU gives them:
    /// `tools/reference/translation.py`.
    #[test]
    fn scores_are_those_of_sacrebleu() {
        let path = std::env::var("TRANSLATION_CASES").unwrap_or_else(|_| {
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/translation.jsonl").to_owned()
        });
        let text = std::fs::read_to_string(path).unwrap();
        let (mut worst, mut n_pairs) = (0.0_f64, 0);
        for line in text.lines().skip(1) {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let texts = |value: &serde_json::Value| -> Vec<String> {
                value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
            };
            let hypotheses = texts(&case["hypotheses"]);
            let hypotheses: Vec<&str> = hypotheses.iter().map(String::as_str).collect();
            let sets: Vec<Vec<String>> = case["references"].as_array().unwrap().iter().map(texts).collect();
            let sets: Vec<Vec<&str>> =
                sets.iter().map(|set| set.iter().map(String::as_str).collect()).collect();
            let references: Vec<&[&str]> = sets.iter().map(Vec::as_slice).collect();
            let bleu = |tokenization| Bleu { tokenization, ..Bleu::default() };
            let found = [
                ("chrf", chrf(&hypotheses, &references)),
                ("13a", Bleu::default().corpus(&hypotheses, &references)),
                ("intl", bleu(Tokenization::International).corpus(&hypotheses, &references)),
                ("char", bleu(Tokenization::Characters).corpus(&hypotheses, &references)),
            ];
            for (name, score) in found {
                let gap = (score - case[name].as_f64().unwrap()).abs();
                assert!(gap < 1e-9, "{name} {score} in {line}");
                worst = worst.max(gap);
            }
            if hypotheses.len() == 1 {
                let score =
                    Bleu { effective_order: true, ..Bleu::default() }.corpus(&hypotheses, &references);
                assert!((score - case["sentence"].as_f64().unwrap()).abs() < 1e-9, "{score} in {line}");
            }
            n_pairs += hypotheses.len();
        }
        assert!(n_pairs >= 60, "{n_pairs}");
        println!("{n_pairs} pairs, largest difference {worst:e}");
    }

    #[test]
    fn nothing_scores_nothing() {
        assert_eq!((chrf(&[""], &[&["a"]]), chrf(&["a"], &[&[""]]), chrf(&[], &[&[]])), (0.0, 0.0, 0.0));
        assert_eq!(Bleu::default().corpus(&[""], &[&["a"]]), 0.0);
        let same = Bleu::default().corpus(&["a b c d e"], &[&["a b c d e"]]);
        assert!((same - 100.0).abs() < 1e-9, "{same}");
    }
}
