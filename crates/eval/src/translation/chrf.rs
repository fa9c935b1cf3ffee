//! chrF, <https://aclanthology.org/W15-3049>: F₂ of character n-grams up to six.

use super::{Counts, counts, of_sentence};
use crate::python::is_space;

/// Longest n-gram, in characters.
const ORDER: usize = 6;
/// β²: recall counts twice as much as precision.
const FACTOR: f64 = 4.0;

/// For each order: n-grams of the hypothesis, of the reference, and of both.
pub(super) type Statistics = [[usize; 3]; ORDER];

/// chrF of a corpus, from 0 to 100. White space makes no difference. Of several references each hypothesis is compared
/// with the one that it is nearest to.
///
/// # Panics
/// If there are not as many references as hypotheses.
#[track_caller]
pub fn chrf(hypotheses: &[&str], references: &[&[&str]]) -> f64 {
    let mut total = Statistics::default();
    for (i, hypothesis) in hypotheses.iter().enumerate() {
        add(&mut total, &statistics(hypothesis, &of_sentence(references, i, hypotheses.len())));
    }
    f_score(&total)
}

/// What a sentence adds to those of a corpus.
pub(super) fn statistics(hypothesis: &str, references: &[&str]) -> Statistics {
    let own = characters(hypothesis);
    let own = ngrams(&own);
    let mut best: Option<(f64, Statistics)> = None;
    for reference in references {
        let other = characters(reference);
        let statistics = compared(&own, &ngrams(&other));
        let score = f_score(&statistics);
        if best.as_ref().is_none_or(|(before, _)| score > *before) {
            best = Some((score, statistics));
        }
    }
    best.map_or_else(Statistics::default, |(_, best)| best)
}

pub(super) fn add(total: &mut Statistics, of_sentence: &Statistics) {
    total.iter_mut().flatten().zip(of_sentence.iter().flatten()).for_each(|(sum, own)| *sum += own);
}

fn characters(text: &str) -> Vec<char> {
    text.chars().filter(|c| !is_space(*c)).collect()
}

fn ngrams(text: &[char]) -> [Counts<&[char]>; ORDER] {
    std::array::from_fn(|i| counts(text.windows(i + 1)))
}

fn compared(own: &[Counts<&[char]>; ORDER], other: &[Counts<&[char]>; ORDER]) -> Statistics {
    std::array::from_fn(|i| {
        let (own, other) = (&own[i], &other[i]);
        let n_own = if other.is_empty() { 0 } else { own.values().sum() };
        let n_both = own.iter().map(|(ngram, n)| *n.min(other.get(ngram).unwrap_or(&0))).sum();
        [n_own, other.values().sum(), n_both]
    })
}

/// Precision and recall are averaged over the orders that both texts have, then joined.
pub(super) fn f_score(statistics: &Statistics) -> f64 {
    let (mut precision, mut recall, mut n_orders) = (0.0, 0.0, 0.0);
    for [n_own, n_other, n_both] in statistics.iter().filter(|[own, other, _]| *own > 0 && *other > 0) {
        precision += *n_both as f64 / *n_own as f64;
        recall += *n_both as f64 / *n_other as f64;
        n_orders += 1.0;
    }
    if n_orders == 0.0 || precision + recall == 0.0 {
        return 0.0;
    }
    let (precision, recall) = (precision / n_orders, recall / n_orders);
    100.0 * ((1.0 + FACTOR) * precision * recall / (FACTOR * precision + recall))
}
