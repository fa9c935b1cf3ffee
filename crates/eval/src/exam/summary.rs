//! The metrics of a task with their intervals.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::score::{ItemScore, Target};
use crate::{
    generation::{BLEU, CHRF, INSTRUCTION_LEVEL},
    interval::{self, Mean},
    translation::{Sentence, bleu_of, chrf_of},
};

/// One metric over the items of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricSummary {
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
    /// What differs from the original data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The metrics over items.
pub fn summarise_items(items: &[ItemScore]) -> BTreeMap<String, MetricSummary> {
    let names =
        items.first().map(|item| item.metrics.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let summary = |name: String| {
        let values: Vec<f64> = items.iter().filter_map(|item| item.metrics.get(&name)).copied().collect();
        let summary = match &*name {
            name if name.starts_with(INSTRUCTION_LEVEL) => of_instructions(items, &values),
            CHRF => of_mean(chrf_of(&sentences(items))),
            BLEU => of_mean(bleu_of(&sentences(items))),
            _ => of_values(&name, &values),
        };
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
    MetricSummary { value: mean.value, stderr: mean.stderr, lo95: mean.lo95, hi95: mean.hi95 }
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
    !["perplexity", CHRF, BLEU].contains(&metric)
}

fn of_values(name: &str, values: &[f64]) -> MetricSummary {
    let mean = interval::mean(values);
    if name == "perplexity" {
        let value = (-mean.value).exp();
        let [lo95, hi95] = [mean.hi95, mean.lo95].map(|end| end.map(|end| (-end).exp()));
        return MetricSummary { value, stderr: mean.stderr.map(|stderr| stderr * value), lo95, hi95 };
    }
    let is_binary = values.iter().all(|value| *value == 0.0 || *value == 1.0);
    let [lo95, hi95] = if is_binary {
        let n_right = values.iter().filter(|value| **value == 1.0).count();
        interval::wilson(n_right, values.len()).map_or([None; 2], |ends| ends.map(Some))
    } else {
        [mean.lo95, mean.hi95]
    };
    MetricSummary { value: mean.value, stderr: mean.stderr, lo95, hi95 }
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
    (n > 0.0).then_some(MetricSummary { value, stderr, lo95, hi95 })
}

/// A group of tasks: means weighted by their items, with the pooled standard error, as lm-evaluation-harness has it.
/// None where the tasks have no metric in common.
pub fn group(name: &str, tasks: &[TaskSummary]) -> Option<TaskSummary> {
    let first = tasks.first()?;
    let n: usize = tasks.iter().map(|task| task.n).sum();
    let mut metrics = BTreeMap::new();
    for metric in first.metrics.keys().filter(|name| is_share(name)) {
        let parts: Option<Vec<(usize, &MetricSummary)>> =
            tasks.iter().map(|task| Some((task.n, task.metrics.get(metric)?))).collect();
        let Some(parts) = parts else { continue };
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
        let (lo95, hi95) = (margin.map(|margin| value - margin), margin.map(|margin| value + margin));
        metrics.insert(metric.clone(), MetricSummary { value, stderr, lo95, hi95 });
    }
    (!metrics.is_empty()).then(|| TaskSummary {
        task: name.to_owned(),
        version: first.version,
        shots: first.shots,
        n,
        n_all: tasks.iter().map(|task| task.n_all).sum(),
        metrics,
        notes: Vec::new(),
    })
}
