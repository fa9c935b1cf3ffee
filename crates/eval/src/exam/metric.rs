//! From log-likelihoods to metrics, as lm-evaluation-harness computes them.

use std::collections::BTreeMap;

use super::{
    bias,
    score::{ChoiceScore, ItemScore},
};
use crate::{
    ExamError, Item, Kind, Likelihood, Metric, Pair, Task,
    generation::{self, judge},
    sandbox::Sandbox,
};

/// An item with its metrics, from what was scored of it.
pub(super) fn scored(task: &Task, doc_id: usize, item: &Item, pairs: &[(&Pair, Likelihood)]) -> ItemScore {
    rescore(task, &ItemScore::new(task, doc_id, item, pairs))
}

/// The metrics of an item by what the model made of its choices.
pub(super) fn of_item(kind: Kind, metrics: &[Metric], item: &ItemScore) -> BTreeMap<String, f64> {
    let is_right = |score: fn(&ChoiceScore) -> f64| {
        let choice = first_largest(item.choices.iter().map(score));
        f64::from(u8::from(item.target.contains(choice)))
    };
    let value = |metric: &Metric| match metric {
        Metric::PctStereotype => {
            f64::from(u8::from(item.choices[0].loglikelihood > item.choices[1].loglikelihood))
        }
        Metric::LikelihoodDiff => (item.choices[0].loglikelihood - item.choices[1].loglikelihood).abs(),
        Metric::Acc if kind == Kind::Continuation => f64::from(u8::from(item.choices[0].is_greedy)),
        Metric::Acc => is_right(|choice| choice.loglikelihood),
        Metric::AccNorm => is_right(|choice| choice.loglikelihood / choice.n_chars as f64),
        Metric::AccBytes => is_right(|choice| choice.loglikelihood / choice.n_bytes as f64),
        Metric::AccTokens => is_right(|choice| choice.loglikelihood / choice.n_continuation as f64),
        Metric::Mass => mass(item),
        // Of generated answers, which are judged elsewhere.
        Metric::ExactMatch
        | Metric::Ifeval
        | Metric::Program
        | Metric::Squad
        | Metric::Translation
        | Metric::Refusal
        | Metric::Points
        | Metric::Steering
        | Metric::Bbq => f64::NAN,
        // Of an item; the perplexity is made of their mean.
        Metric::Perplexity => item.choices[0].loglikelihood,
    };
    let (several, single): (Vec<&Metric>, Vec<&Metric>) =
        metrics.iter().partition(|metric| **metric == Metric::Bbq);
    let mut values: BTreeMap<String, f64> =
        single.into_iter().map(|metric| (metric.name().to_owned(), value(metric))).collect();
    if !several.is_empty() {
        let answer = first_largest(item.choices.iter().map(|choice| choice.loglikelihood));
        values.extend(bias::metrics(item, answer));
    }
    values
}

/// The same item with its metrics computed again from its log-likelihoods, or from what the model wrote.
pub fn rescore(task: &Task, item: &ItemScore) -> ItemScore {
    if item.failure.is_some() {
        return ItemScore { metrics: BTreeMap::new(), ..item.clone() };
    }
    if let Some(generate) = &task.generate {
        return judge(generate, &task.metrics, item);
    }
    ItemScore { metrics: of_item(task.kind, &task.metrics, item), ..item.clone() }
}

/// The same item after the programs in its outputs were run.
///
/// # Errors
/// If a program cannot be started.
pub fn run_programs(task: &Task, item: &ItemScore, sandbox: &Sandbox) -> Result<ItemScore, ExamError> {
    let mut item = item.clone();
    if let Some(generate) = &task.generate {
        generation::run(generate, &mut item, sandbox)?;
    }
    Ok(rescore(task, &item))
}

/// The first of the largest, as `numpy.argmax` has it; one that is not a number comes before all others.
fn first_largest(scores: impl Iterator<Item = f64>) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (i, score) in scores.enumerate() {
        if score.is_nan() {
            return i;
        }
        if i == 0 || score > best.1 {
            best = (i, score);
        }
    }
    best.0
}

/// The share of the choices' probability that right ones have.
fn mass(item: &ItemScore) -> f64 {
    let scores = || item.choices.iter().map(|choice| choice.loglikelihood);
    // The largest is taken off first, so that long choices do not underflow.
    let max = scores().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = scores().map(|score| (score - max).exp()).sum();
    let right = scores().enumerate().filter(|(i, _)| item.target.contains(*i));
    right.map(|(_, score)| (score - max).exp()).sum::<f64>() / total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exam::score::Target;

    fn item(target: Target, choices: &[(f64, usize, usize)]) -> ItemScore {
        let choice = |&(loglikelihood, n_chars, n_bytes): &(f64, usize, usize)| ChoiceScore {
            loglikelihood,
            n_context: 1,
            n_continuation: 1,
            is_greedy: loglikelihood > -1.5,
            n_chars,
            n_bytes,
            context_ids: None,
            continuation_ids: vec![1],
        };
        let choices = choices.iter().map(choice).collect();
        ItemScore {
            task: "t".into(),
            doc_id: 0,
            target,
            context_ids: None,
            choices,
            outputs: Vec::new(),
            reference: None,
            failure: None,
            metrics: BTreeMap::new(),
        }
    }

    #[test]
    fn accuracies_normalise_by_characters_and_bytes() {
        const ALL: [Metric; 3] = [Metric::Acc, Metric::AccNorm, Metric::AccBytes];
        let choices = [(-2.0, 1, 1), (-3.0, 2, 8), (-4.0, 3, 3)];
        for (target, expected) in [(0, [1.0, 0.0, 0.0]), (1, [0.0, 0.0, 1.0]), (2, [0.0, 1.0, 0.0])] {
            let metrics = of_item(Kind::Choices, &ALL, &item(Target::One(target), &choices));
            let found = ["acc", "acc_norm", "acc_bytes"].map(|name| metrics[name]);
            assert_eq!(found, expected, "{target}");
        }
        // Of equal ones the first counts, and any of several targets.
        let tied = item(Target::Any(vec![1, 2]), &[(-2.0, 1, 1), (-2.0, 1, 1), (-1.9, 2, 2)]);
        assert_eq!(of_item(Kind::Choices, &[Metric::Acc, Metric::AccNorm], &tied)["acc"], 1.0);
        let tied = item(Target::One(1), &[(-2.0, 1, 1), (-2.0, 1, 1)]);
        assert_eq!(of_item(Kind::Choices, &[Metric::Acc], &tied)["acc"], 0.0);
    }

    #[test]
    fn the_mass_of_right_choices_does_not_underflow() {
        let far = item(Target::Any(vec![0, 2]), &[(-2000.0, 1, 1), (-2000.0, 1, 1), (-2000.0, 1, 1)]);
        let mass = of_item(Kind::Choices, &[Metric::Mass], &far)["acc"];
        assert!((mass - 2.0 / 3.0).abs() < 1e-12, "{mass}");
    }

    #[test]
    fn a_continuation_is_right_where_it_is_greedy() {
        let metrics = [Metric::Perplexity, Metric::Acc];
        let found = of_item(Kind::Continuation, &metrics, &item(Target::One(0), &[(-1.0, 1, 1)]));
        assert_eq!((found["perplexity"], found["acc"]), (-1.0, 1.0));
        let found = of_item(Kind::Continuation, &metrics, &item(Target::One(0), &[(-2.0, 1, 1)]));
        assert_eq!(found["acc"], 0.0);
    }
}
