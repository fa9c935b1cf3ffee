//! Accuracy where answers below a confidence are withheld.

use serde::Serialize;

use crate::{ItemScore, interval};

/// Shares of items that are to be answered.
const COVERAGES: [f64; 6] = [1.0, 0.8, 0.6, 0.4, 0.2, 0.1];

/// Answers given where the most likely choice is at least as probable as a threshold.
///
/// The threshold is the one that answers the wanted share of *other* items: those with even numbers get it from those with odd
/// numbers, and the other way round. Items that a threshold was chosen on would look better than those to come.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Abstention {
    /// Share of the other items that the threshold answers.
    pub wanted: f64,
    /// Thresholds of the even and of the odd items.
    pub thresholds: [f64; 2],
    /// Items.
    pub n: usize,
    /// Items that were answered.
    pub n_answered: usize,
    /// Of them, right.
    pub n_right: usize,
    /// Lower end of Wilson's 95 % interval of the share of answers that are right; none without an answer.
    pub lo95: Option<f64>,
    /// Upper end.
    pub hi95: Option<f64>,
}

/// For several shares of answers. Empty where fewer than two items have choices.
pub fn abstention<'a>(items: impl IntoIterator<Item = &'a ItemScore>) -> Vec<Abstention> {
    let mut halves: [Vec<(f64, bool)>; 2] = Default::default();
    for item in items {
        halves[item.doc_id % 2].extend(answer(item));
    }
    if halves.iter().any(Vec::is_empty) {
        return Vec::new();
    }
    COVERAGES.iter().map(|&wanted| at(wanted, &halves)).collect()
}

/// Probability of the most likely choice, the first of several, and whether it is right.
fn answer(item: &ItemScore) -> Option<(f64, bool)> {
    let logs = || item.choices.iter().map(|choice| choice.loglikelihood);
    let max = logs().fold(f64::NEG_INFINITY, f64::max);
    let best = logs().position(|log| log == max).filter(|_| item.choices.len() > 1 && max.is_finite())?;
    let total: f64 = logs().map(|log| (log - max).exp()).sum();
    Some((1.0 / total, item.target.contains(best)))
}

fn at(wanted: f64, halves: &[Vec<(f64, bool)>; 2]) -> Abstention {
    let thresholds = [threshold(&halves[1], wanted), threshold(&halves[0], wanted)];
    let answered = || {
        let of = |half: usize| halves[half].iter().filter(move |(p, _)| *p >= thresholds[half]);
        of(0).chain(of(1))
    };
    let (n_answered, n_right) = (answered().count(), answered().filter(|(_, is_right)| *is_right).count());
    let interval = interval::wilson(n_right, n_answered);
    Abstention {
        wanted,
        thresholds,
        n: halves.iter().map(Vec::len).sum(),
        n_answered,
        n_right,
        lo95: interval.map(|[lo, _]| lo),
        hi95: interval.map(|[_, hi]| hi),
    }
}

/// The confidence that a share of these answers has at least.
fn threshold(answers: &[(f64, bool)], share: f64) -> f64 {
    if share >= 1.0 {
        return 0.0;
    }
    let mut confidences: Vec<f64> = answers.iter().map(|(p, _)| *p).collect();
    confidences.sort_unstable_by(|a, b| b.total_cmp(a));
    let n = ((share * confidences.len() as f64).round() as usize).clamp(1, confidences.len());
    confidences[n - 1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exam::testing::item;

    /// Items that are right with the probability that the model gives, in even steps from 0.5 to 1.
    #[test]
    fn the_surest_answers_are_right_most_often() {
        let mut rng = base::Rng::named(1, "abstention");
        let items: Vec<ItemScore> = (0..4000)
            .map(|i| {
                let p = 0.5 + 0.5 * (rng.uniform() + 1e-9);
                let mut item = item(usize::from(rng.uniform() > p), &[p.ln(), (1.0 - p).ln()]);
                item.doc_id = i;
                item
            })
            .collect();
        let found = abstention(&items);
        for of in &found {
            let (coverage, accuracy) =
                (of.n_answered as f64 / 4000.0, of.n_right as f64 / of.n_answered as f64);
            assert!((coverage - of.wanted).abs() < 0.03, "{of:?}");
            // The mean of probabilities from 1 − wanted/2 to 1.
            assert!((accuracy - (1.0 - 0.25 * of.wanted)).abs() < 0.04, "{of:?}");
        }
        assert_eq!((found[0].n_answered, found[0].thresholds), (4000, [0.0, 0.0]));
        assert!(abstention(&items[..1]).is_empty() && abstention([&item(0, &[-1.0])]).is_empty());
    }
}
