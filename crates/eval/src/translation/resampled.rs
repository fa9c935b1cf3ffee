//! Scores of a corpus with the intervals that its sentences give.

use base::Rng;

use super::{Bleu, bleu, chrf};
use crate::interval::Mean;

/// How often a corpus is drawn again from its own sentences.
const N_DRAWS: usize = 1000;

/// A sentence: a hypothesis with its references.
pub(crate) type Sentence<'t> = (&'t str, Vec<&'t str>);

/// chrF of a corpus.
pub(crate) fn chrf_of(sentences: &[Sentence<'_>]) -> Mean {
    let statistics: Vec<chrf::Statistics> =
        sentences.iter().map(|(own, others)| chrf::statistics(own, others)).collect();
    resampled(&statistics, chrf::add, chrf::f_score)
}

/// BLEU of a corpus.
pub(crate) fn bleu_of(sentences: &[Sentence<'_>]) -> Mean {
    let settings = Bleu::default();
    let statistics: Vec<bleu::Statistics> =
        sentences.iter().map(|(own, others)| settings.statistics(own, others)).collect();
    resampled(&statistics, bleu::Statistics::add, |total| settings.score(total))
}

/// The score of all, and the 2.5 and 97.5 % points of those of as many sentences drawn with replacement. Paper:
/// <https://aclanthology.org/W04-3250>.
fn resampled<S: Default>(sentences: &[S], add: fn(&mut S, &S), score: impl Fn(&S) -> f64) -> Mean {
    let of = |drawn: &mut dyn Iterator<Item = usize>| {
        let mut total = S::default();
        drawn.for_each(|i| add(&mut total, &sentences[i]));
        score(&total)
    };
    let n = sentences.len();
    let value = of(&mut (0..n));
    if n < 2 {
        return Mean { value, stderr: None, lo95: None, hi95: None };
    }
    let mut rng = Rng::named(0, "sentences of a corpus");
    let mut scores: Vec<f64> =
        (0..N_DRAWS).map(|_| of(&mut (0..n).map(|_| rng.below(n as u64) as usize))).collect();
    scores.sort_by(f64::total_cmp);
    let mean = scores.iter().sum::<f64>() / N_DRAWS as f64;
    let variance = scores.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (N_DRAWS - 1) as f64;
    let at = |share: f64| Some(scores[(share * (N_DRAWS - 1) as f64).round() as usize]);
    Mean { value, stderr: Some(variance.sqrt()), lo95: at(0.025), hi95: at(0.975) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translation::chrf as of_corpus;

    #[test]
    fn the_score_is_that_of_the_corpus_within_its_interval() {
        let own = ["the cat sat on a mat", "it was late in the year", "nothing at all", "a b c d e f"];
        let other = ["the cat sat on the mat", "it was early in the year", "everything", "a b c d e f"];
        let sentences: Vec<Sentence<'_>> =
            own.iter().zip(other).map(|(own, other)| (*own, vec![other])).collect();
        for (mean, whole) in [
            (chrf_of(&sentences), of_corpus(&own, &[&other])),
            (bleu_of(&sentences), Bleu::default().corpus(&own, &[&other])),
        ] {
            assert_eq!(mean.value, whole);
            assert!(
                mean.lo95 < Some(whole) && Some(whole) < mean.hi95 && mean.stderr > Some(1.0),
                "{mean:?}"
            );
        }
        assert_eq!(chrf_of(&sentences[..1]).stderr, None);
    }
}
