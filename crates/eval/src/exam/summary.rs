//! The metrics of a task with their intervals.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::score::{ItemScore, Target};
use crate::{
    agreement::{Agreement, kappa},
    generation::{BLEU, CHRF, INSTRUCTION_LEVEL},
    interval::{self, Mean},
    refusal::Reply,
    translation::{Sentence, bleu_of, chrf_of},
};

/// One metric over the items of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricSummary {
    /// Items that have it, where not all do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<usize>,
    /// The mean over the items; of `perplexity`, `exp` of the mean negative log-likelihood; of `chrf` and `bleu`, that of
    /// all items as one corpus.
    pub value: f64,
    /// Standard error of the mean, `s/√n`, as lm-evaluation-harness has it. Of `perplexity`, to first order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<f64>,
    /// Lower end of the 95 % interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lo95: Option<f64>,
    /// Upper end of the 95 % interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hi95: Option<f64>,
}

/// A task, or a group of tasks, summarised: one row of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSummary {
    /// The task or group.
    pub task: String,
    /// Version of the task.
    pub version: u32,
    /// Examples in front of an item.
    pub shots: usize,
    /// Items.
    pub n: usize,
    /// Items that the data have; more than `n` where a limit was given.
    pub n_all: usize,
    /// By name.
    pub metrics: BTreeMap<String, MetricSummary>,
    /// The same for each category of the data.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub categories: BTreeMap<String, CategorySummary>,
    /// How far the rules and a judge agree, where one was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
    /// Answers that a judge gave no verdict on, by the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub judge_failures: BTreeMap<String, usize>,
    /// Items without an answer, by the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<String, usize>,
    /// What differs from the original data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// How far the rules and a judge agree on what answers are, and why some have no verdict.
pub fn judged(items: &[ItemScore]) -> (Option<Agreement>, BTreeMap<String, usize>) {
    const KINDS: [Reply; 4] = [Reply::Compliance, Reply::PartialRefusal, Reply::FullRefusal, Reply::Empty];
    let number = |reply: Reply| KINDS.iter().position(|kind| *kind == reply);
    let (mut pairs, mut failures) = (Vec::new(), BTreeMap::new());
    for output in items.iter().flat_map(|item| &item.outputs) {
        let Some(judged) = &output.judged else { continue };
        if let Some(failure) = &judged.failure {
            *failures.entry(failure.clone()).or_default() += 1;
        }
        let by_rules = output.answers.get("rules").and_then(|name| Reply::named(name));
        let by_judge = judged.reply.as_ref().and_then(|name| Reply::named(name));
        pairs.extend(by_rules.and_then(number).zip(by_judge.and_then(number)));
    }
    (kappa(&pairs, KINDS.len()), failures)
}

/// The items of one category.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CategorySummary {
    /// How many.
    pub n: usize,
    /// By name.
    pub metrics: BTreeMap<String, MetricSummary>,
}

/// The metrics of each category, where the data have such.
pub fn categories(items: &[ItemScore]) -> BTreeMap<String, CategorySummary> {
    let mut sorted: BTreeMap<&str, Vec<ItemScore>> = BTreeMap::new();
    for item in items {
        let category = item.reference.as_ref().and_then(|fields| fields["category"].as_str());
        if let Some(category) = category.filter(|category| !category.is_empty()) {
            sorted.entry(category).or_default().push(item.clone());
        }
    }
    let summary = |(name, items): (&str, Vec<ItemScore>)| {
        (name.to_owned(), CategorySummary { n: items.len(), metrics: summarise_items(&items) })
    };
    sorted.into_iter().map(summary).collect()
}

/// The metrics over items; those that an endpoint gave no answer to do not count.
pub fn summarise_items(items: &[ItemScore]) -> BTreeMap<String, MetricSummary> {
    let names: BTreeSet<String> = items.iter().flat_map(|item| item.metrics.keys().cloned()).collect();
    let summary = |name: String| {
        let values: Vec<f64> = items.iter().filter_map(|item| item.metrics.get(&name)).copied().collect();
        let mut summary = match &*name {
            name if name.starts_with(INSTRUCTION_LEVEL) => of_instructions(items, &values),
            CHRF => of_mean(chrf_of(&sentences(items))),
            BLEU => of_mean(bleu_of(&sentences(items))),
            _ => of_values(&name, &values),
        };
        summary.n = (values.len() < items.len()).then_some(values.len());
        (name, summary)
    };
    names.into_iter().map(summary).collect()
}

/// The mean over the instructions of all items, of which those of an item are alike.
fn of_instructions(items: &[ItemScore], shares: &[f64]) -> MetricSummary {
    let n_of = |item: &ItemScore| {
        let ids = item.reference.as_ref().and_then(|fields| fields["instruction_id_list"].as_array());
        ids.map_or(0, Vec::len)
    };
    let (mut values, mut names) = (Vec::new(), Vec::new());
    for (i, (item, share)) in items.iter().zip(shares).enumerate() {
        values.extend(vec![*share; n_of(item)]);
        names.extend(vec![i.to_string(); n_of(item)]);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    of_mean(interval::clustered_mean(&values, &names))
}

fn of_mean(mean: Mean) -> MetricSummary {
    MetricSummary { n: None, value: mean.value, stderr: mean.stderr, lo95: mean.lo95, hi95: mean.hi95 }
}

/// Every translation that was written, with its references.
fn sentences(items: &[ItemScore]) -> Vec<Sentence<'_>> {
    items.iter().flat_map(outputs_with_references).collect()
}

fn outputs_with_references(item: &ItemScore) -> Vec<Sentence<'_>> {
    let references: Vec<&str> = match &item.target {
        Target::Text(text) => vec![text],
        Target::Texts(texts) => texts.iter().map(String::as_str).collect(),
        Target::One(_) | Target::Any(_) => Vec::new(),
    };
    item.outputs.iter().map(|output| (output.text.as_str(), references.clone())).collect()
}

/// Whether a metric is a share of items, which is shown in percent.
pub fn is_share(metric: &str) -> bool {
    !["perplexity", "likelihood_diff", CHRF, BLEU].contains(&metric)
}

fn of_values(name: &str, values: &[f64]) -> MetricSummary {
    let mean = interval::mean(values);
    if name == "perplexity" {
        let value = (-mean.value).exp();
        let [lo95, hi95] = [mean.hi95, mean.lo95].map(|end| end.map(|end| (-end).exp()));
        return MetricSummary {
            n: None,
            value,
            stderr: mean.stderr.map(|stderr| stderr * value),
            lo95,
            hi95,
        };
    }
    let is_between = |low: f64| values.iter().all(|value| (low..=1.0).contains(value));
    let is_bias = name.ends_with("bias_score");
    let is_binary = values.iter().all(|value| *value == 0.0 || *value == 1.0);
    let [lo95, hi95] = if is_binary || is_share(name) && !is_bias && is_between(0.0) {
        let mean = interval::bounded_mean(values);
        [mean.lo95, mean.hi95]
    } else if is_bias {
        // Its values are from -1 to 1.
        [mean.lo95, mean.hi95].map(|end| end.map(|end| end.clamp(-1.0, 1.0)))
    } else {
        [mean.lo95, mean.hi95]
    };
    MetricSummary { n: None, value: mean.value, stderr: mean.stderr, lo95, hi95 }
}

/// The mean over tasks of how far each accuracy is on the way from what guessing reaches to 1: `(acc − b)/(1 − b)`, as DCLM's
/// CORE has it, <https://arxiv.org/abs/2406.11794>. None where a task has no accuracy.
pub fn centred(tasks: &[(&TaskSummary, f64)]) -> Option<MetricSummary> {
    let n = tasks.len() as f64;
    let (mut value, mut variance) = (0.0, Some(0.0));
    for (task, baseline) in tasks {
        let acc = task.metrics.get("acc")?;
        value += (acc.value - baseline) / (1.0 - baseline) / n;
        let stderr = acc.stderr.map(|stderr| stderr / (1.0 - baseline) / n);
        variance = variance.zip(stderr).map(|(sum, stderr): (f64, f64)| sum + stderr * stderr);
    }
    let stderr = variance.map(f64::sqrt).filter(|_| n > 0.0);
    let margin = stderr.map(|stderr| interval::Z95 * stderr);
    let (lo95, hi95) = (margin.map(|margin| value - margin), margin.map(|margin| value + margin));
    (n > 0.0).then_some(MetricSummary { n: None, value, stderr, lo95, hi95 })
}

/// A group of tasks: means weighted by their items, with the pooled standard error, as lm-evaluation-harness has it.
/// None where the tasks have no metric in common.
pub fn group(name: &str, tasks: &[TaskSummary]) -> Option<TaskSummary> {
    let first = tasks.first()?;
    let n: usize = tasks.iter().map(|task| task.n).sum();
    let mut metrics = BTreeMap::new();
    for metric in first.metrics.keys().filter(|name| is_share(name)) {
        let parts: Option<Vec<(usize, &MetricSummary)>> = tasks
            .iter()
            .map(|task| task.metrics.get(metric).map(|part| (part.n.unwrap_or(task.n), part)))
            .collect();
        let Some(parts) = parts else { continue };
        let n: usize = parts.iter().map(|(n, _)| n).sum();
        let value = parts.iter().map(|(n, part)| *n as f64 * part.value).sum::<f64>() / n as f64;
        // Σ(n−1)s² with s² = n·stderr², over the degrees of freedom.
        let squares: Option<f64> = parts
            .iter()
            .map(|(n, part)| part.stderr.map(|stderr| (*n as f64 - 1.0) * *n as f64 * stderr * stderr))
            .sum();
        let stderr = squares
            .filter(|_| n > parts.len())
            .map(|squares| (squares / (n - parts.len()) as f64 / n as f64).sqrt());
        let margin = stderr.map(|stderr| interval::t95(n - parts.len()) * stderr);
        let (mut lo95, mut hi95) = (margin.map(|margin| value - margin), margin.map(|margin| value + margin));
        // Where all items are alike, the pooled error of shares is 0, and says nothing about others.
        if stderr == Some(0.0) && (value == 0.0 || value == 1.0) {
            [lo95, hi95] =
                interval::wilson((value * n as f64) as usize, n).map_or([None; 2], |ends| ends.map(Some));
        }
        metrics.insert(metric.clone(), MetricSummary { n: None, value, stderr, lo95, hi95 });
    }
    (!metrics.is_empty()).then(|| TaskSummary {
        task: name.to_owned(),
        version: first.version,
        shots: first.shots,
        n,
        n_all: tasks.iter().map(|task| task.n_all).sum(),
        metrics,
        categories: BTreeMap::new(),
        agreement: None,
        judge_failures: BTreeMap::new(),
        failures: BTreeMap::new(),
        notes: Vec::new(),
    })
}
