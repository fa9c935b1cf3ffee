//! BLEU, <https://aclanthology.org/P02-1040>, of a corpus.

use std::collections::HashMap;

use super::{Counts, Tokenization, counts, of_sentence};

/// Longest n-gram, in words.
const ORDER: usize = 4;

/// How BLEU is computed. Orders without a match are smoothed exponentially.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bleu {
    /// What a word is.
    pub tokenization: Tokenization,
    /// Leaves out orders for which the hypotheses are too short: for single sentences.
    pub effective_order: bool,
}

#[derive(Clone, Default)]
pub(super) struct Statistics {
    n_own: usize,
    n_other: usize,
    n_right: [usize; ORDER],
    n_all: [usize; ORDER],
}

impl Statistics {
    pub(super) fn add(&mut self, other: &Self) {
        self.n_own += other.n_own;
        self.n_other += other.n_other;
        for n in 0..ORDER {
            self.n_right[n] += other.n_right[n];
            self.n_all[n] += other.n_all[n];
        }
    }
}

impl Bleu {
    /// BLEU of a corpus, from 0 to 100. The reference of the nearest length counts, of two the shorter.
    ///
    /// # Panics
    /// If there are not as many references as hypotheses.
    #[track_caller]
    pub fn corpus(&self, hypotheses: &[&str], references: &[&[&str]]) -> f64 {
        let mut total = Statistics::default();
        for (i, hypothesis) in hypotheses.iter().enumerate() {
            let others = of_sentence(references, i, hypotheses.len());
            self.add(hypothesis, &others, &mut total);
        }
        self.score(&total)
    }

    /// What a sentence adds to those of a corpus.
    pub(super) fn statistics(&self, hypothesis: &str, references: &[&str]) -> Statistics {
        let mut total = Statistics::default();
        self.add(hypothesis, references, &mut total);
        total
    }

    fn add(&self, hypothesis: &str, references: &[&str], total: &mut Statistics) {
        let own = self.tokenization.words(hypothesis);
        let mut most: Vec<Counts<Vec<String>>> = vec![HashMap::new(); ORDER];
        let mut nearest: Option<usize> = None;
        for reference in references {
            let other = self.tokenization.words(reference);
            let gap = |n: usize| (n.abs_diff(own.len()), n);
            nearest = Some(
                nearest.map_or(other.len(), |n| if gap(other.len()) < gap(n) { other.len() } else { n }),
            );
            for (n, most) in most.iter_mut().enumerate() {
                for (ngram, count) in counts(other.windows(n + 1).map(<[String]>::to_vec)) {
                    let known = most.entry(ngram).or_default();
                    *known = count.max(*known);
                }
            }
        }
        total.n_own += own.len();
        total.n_other += nearest.unwrap_or(0);
        for (n, most) in most.iter().enumerate() {
            for (ngram, count) in counts(own.windows(n + 1)) {
                total.n_all[n] += count;
                total.n_right[n] += count.min(most.get(ngram).copied().unwrap_or(0));
            }
        }
    }

    pub(super) fn score(&self, statistics: &Statistics) -> f64 {
        let Statistics { n_own, n_other, n_right, n_all } = statistics;
        if n_right.iter().all(|n| *n == 0) {
            return 0.0;
        }
        let brevity = if n_own < n_other { (1.0 - *n_other as f64 / *n_own as f64).exp() } else { 1.0 };
        let (mut smoothing, mut n_orders, mut logs) = (1.0, ORDER, 0.0);
        let mut n_summed = 0;
        for (n, (right, all)) in n_right.iter().zip(n_all).enumerate() {
            if *all == 0 {
                break;
            }
            if self.effective_order {
                n_orders = n + 1;
            }
            let precision = if *right == 0 {
                smoothing *= 2.0;
                100.0 / (smoothing * *all as f64)
            } else {
                100.0 * *right as f64 / *all as f64
            };
            logs += precision.ln();
            n_summed += 1;
        }
        // The logarithm of nothing is -9999999999 there, which makes the score 0.
        if n_summed < n_orders { 0.0 } else { brevity * (logs / n_orders as f64).exp() }
    }
}
