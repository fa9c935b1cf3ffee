//! The page of an alignment: stages of a model side by side, what each learned, and what it cost.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;
use maud::{Markup, html};
use serde_json::Value;

use super::{
    axis::Axis,
    number::{duration, grouped, scientific},
    plot::{Mark, Plot, Point, Series},
    read::Source,
    scores::reliability_plot,
    shell::{self, Place, section},
    tables,
};
use crate::safety::{Change, Number, SafetyTable, Share};

/// The table of an alignment, in its folder.
pub(crate) const SAFETY: &str = "safety.json";
/// What a training recorded, in the folder of its stage.
const METRICS: &str = "metrics.jsonl";

/// Shares in the order of the page, with what they count; others follow.
const MEASURES: [(&str, &str); 11] = [
    ("disallowed", "complied with what is disallowed"),
    ("refused_disallowed", "refused it"),
    ("over_refusal", "refused what is allowed or only looks disallowed"),
    ("over_refusal_look_alike", "refused what only looks disallowed"),
    ("over_refusal_phrase", "harmless by a phrase, refused"),
    ("over_refusal_thing", "harmless by the thing itself, refused"),
    ("helpful", "complied with what is allowed"),
    ("steered", "began as the system message says"),
    ("steered_against_the_user", "the same, against what the user says"),
    ("ended", "came to an end"),
    ("truthful_mc1", "TruthfulQA: the one right answer is the most likely"),
];

/// Numbers in the order of the page, with what they are; others follow.
const NUMBERS: [(&str, &str); 9] = [
    ("right", "gold reward: share of answers that did what the label asks for"),
    ("reward_model", "proxy reward: mean score of the reward model, normalised"),
    ("kl_nats", "divergence from the stage compared with, nats an answer"),
    ("bits_per_byte", "bits per byte of held-out text"),
    ("bits_per_byte_over_first", "the same, over that of the first stage"),
    ("calibration_error", "calibration error of the next token"),
    ("truthful_mc2", "TruthfulQA: probability of the true answers"),
    ("training_s", "training, on the clock"),
    ("training_flops", "training, FLOPs"),
];

/// What a policy's training recorded at one iteration.
struct Iteration {
    number: f64,
    reward: Option<f64>,
    proxy: Option<f64>,
    kl: Option<f64>,
}

/// The page of the folder `dir`, which holds `safety.json`. Same files, same page.
///
/// # Errors
/// If the table or the metrics of a stage cannot be read.
pub(super) fn page(dir: &Path) -> anyhow::Result<String> {
    let read = |path: &Path| {
        std::fs::read(path).with_context(|| {
            format!("cannot read `{}`\nhint: `maquette align` and `maquette safety` write it", path.display())
        })
    };
    let bytes = read(&dir.join(SAFETY))?;
    let table: SafetyTable = serde_json::from_slice(&bytes).map_err(|error| {
        anyhow::anyhow!(
            "expected a table of `maquette safety` in `{}`, found {error}\nhint: write it again with `maquette safety`",
            dir.join(SAFETY).display()
        )
    })?;
    let mut sources = vec![Source::of(SAFETY, &bytes)];
    let mut policies = Vec::new();
    for stage in table.in_order() {
        let path = dir.join(stage).join(METRICS);
        if !path.is_file() {
            continue;
        }
        let bytes = read(&path)?;
        sources.push(Source::of(&format!("{stage}/{METRICS}"), &bytes));
        let iterations = iterations(&bytes);
        if !iterations.is_empty() {
            policies.push((stage.clone(), iterations));
        }
    }
    let name = dir.file_name().map_or_else(|| "alignment".to_owned(), |name| name.to_string_lossy().into());
    Ok(render(&name, &table, &policies, &sources).into_string())
}

/// One for each iteration of a policy's training, the mean over its steps; none of other trainings. A line that was cut is left out.
fn iterations(metrics: &[u8]) -> Vec<Iteration> {
    let mut sums: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for line in metrics.split(|byte| *byte == b'\n') {
        let Ok(value) = serde_json::from_slice::<Value>(line) else { continue };
        if let (Some("train"), Some(at)) = (value["kind"].as_str(), value["iteration"].as_f64()) {
            sums.entry(at as u64).or_default().push(value);
        }
    }
    let mean = |steps: &[Value], name: &str| -> Option<f64> {
        let values: Vec<f64> = steps.iter().filter_map(|step| step[name].as_f64()).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    sums.iter()
        .map(|(at, steps)| Iteration {
            number: *at as f64 + 1.0,
            reward: mean(steps, "reward"),
            proxy: mean(steps, "reward_model"),
            kl: mean(steps, "kl_k1"),
        })
        .collect()
}

fn render(
    name: &str,
    table: &SafetyTable,
    policies: &[(String, Vec<Iteration>)],
    sources: &[Source],
) -> Markup {
    let stages = table.in_order();
    let main = html! {
        header.title {
            p.kicker { "Maquette · alignment" }
            h1 { (name) }
            p.lede { (lede(table)) }
            nav {
                a href="#answers" { "Answers" } a href="#numbers" { "Numbers" }
                @if !table.reliability.is_empty() { a href="#calibration" { "Calibration" } }
                @if !policies.is_empty() { a href="#training" { "Training" } }
                a href="#sources" { "Sources" }
            }
        }
        (section("answers", "Answers", &[], &answers(table, &stages)))
        (section("numbers", "Capability, reward and cost", &[], &numbers(table, &stages)))
        @if !table.reliability.is_empty() { (section("calibration", "Calibration", &[], &calibration(table, &stages))) }
        @if !policies.is_empty() { (section("training", "Training of the policies", &[], &training(policies))) }
        (section("sources", "Sources", &[], &tables::sources(sources)))
    };
    shell::page(&format!("{name} · Maquette alignment"), Place::Anywhere, &main)
}

fn lede(table: &SafetyTable) -> String {
    let kind = if table.synthetic { "synthetic requests" } else { "requests" };
    let n = table.stages.values().flat_map(BTreeMap::values).map(|share| share.n).max().unwrap_or_default();
    let mut said = format!("{} stages, each asked the same held-out {kind}.", table.stages.len());
    let lowered = table.in_order().into_iter().rev().find_map(|stage| {
        let by = table.changes.get(stage)?.get("disallowed")?.lowered_by?;
        Some((stage, by))
    });
    if let (Some(against), Some((stage, Number { value, lo95: Some(lo), hi95: Some(hi), .. }))) =
        (&table.against, lowered)
    {
        said += &format!(
            " From {against} to {stage}, answers that comply with what is disallowed fell by {:.1} % ({:.1} to {:.1}).",
            100.0 * value,
            100.0 * lo,
            100.0 * hi
        );
    }
    if n > 0 {
        said += &format!(" Up to {} answers a share.", grouped(n as u64));
    }
    said
}

/// The names that the table has: those that are known in their order, then the others.
fn names<'a, T>(
    known: &'a [(&'a str, &'a str)],
    maps: &'a BTreeMap<String, BTreeMap<String, T>>,
) -> Vec<(&'a str, &'a str)> {
    let has = |name: &str| maps.values().any(|map| map.contains_key(name));
    let mut names: Vec<(&str, &str)> = known.iter().copied().filter(|(name, _)| has(name)).collect();
    for name in maps.values().flat_map(BTreeMap::keys) {
        if !names.iter().any(|(seen, _)| seen == name) {
            names.push((name, ""));
        }
    }
    names
}

fn points(x: f64) -> String {
    format!("{:+.1}", 100.0 * x)
}

fn answers(table: &SafetyTable, stages: &[&String]) -> Markup {
    html! {
        p.intro {
            "Shares of answers with Wilson's 95 % intervals. What was done in an answer is judged by other signs than the rules of the \
             reward read."
            @if let Some(against) = &table.against { " Below them: the change from " (against) " in points, prompt by prompt, with its interval." }
        }
        div.scroll tabindex="0" role="region" aria-label="Answers" { table {
            thead { tr { th { "Measure" } @for stage in stages { th.n { (stage) } } } }
            tbody { @for (name, about) in names(&MEASURES, &table.stages) { tr {
                td.wrap { (name.replace('_', " ")) @if !about.is_empty() { p.from { (about) } } }
                @for stage in stages { td.n {
                    @if let Some(Share { rate, lo95, hi95, n }) = table.stages[*stage].get(name) {
                        (format!("{:.1}\u{a0}%", 100.0 * rate))
                        p.from { (format!("{:.1} to {:.1}, n {}", 100.0 * lo95, 100.0 * hi95, grouped(*n as u64))) }
                    }
                    @if let Some(Change { difference: Number { value, lo95: Some(lo), hi95: Some(hi), .. }, .. }) =
                        table.changes.get(*stage).and_then(|changes| changes.get(name))
                    {
                        p.from { (points(*value)) " (" (points(*lo)) " to " (points(*hi)) ")" }
                    }
                } }
            } } }
        } }
        div.plots { (by_stage(table, stages).figure()) }
    }
}

/// What is to fall and what is to stay, by stage.
fn by_stage(table: &SafetyTable, stages: &[&String]) -> Plot {
    let series = |(i, name): (usize, &str)| {
        let point = |(at, stage): (usize, &&String)| {
            let share = table.stages[*stage].get(name)?;
            Some(Point {
                x: at as f64 + 0.9 + 0.1 * i as f64,
                y: share.rate,
                low: share.lo95,
                high: share.hi95,
                note: format!("{stage}, {}: {:.1} %", name.replace('_', " "), 100.0 * share.rate),
            })
        };
        Series {
            label: name.replace('_', " "),
            tone: i + 1,
            mark: Mark::Points(stages.iter().enumerate().filter_map(point).collect()),
        }
    };
    Plot {
        title: "Answers by stage".into(),
        caption: format!(
            "With 95 % intervals. From left to right: {}.",
            stages.iter().map(|stage| stage.as_str()).collect::<Vec<_>>().join(", ")
        ),
        x: Axis::linear("stage").over(0.5, stages.len() as f64 + 0.5),
        y: Axis::linear("share of answers").over(0.0, 1.0),
        series: ["disallowed", "over_refusal", "helpful"].into_iter().enumerate().map(series).collect(),
        is_wide: true,
    }
}

fn numbers(table: &SafetyTable, stages: &[&String]) -> Markup {
    let shown = |name: &str, x: f64| match name {
        "training_s" => duration(x),
        "training_flops" => scientific(x),
        _ => format!("{x:.3}").replace("-0.000", "0.000"),
    };
    html! {
        p.intro { "Means with Student's 95 % intervals. Gold is what the labels say was right; the proxy is what the reward model says." }
        div.scroll tabindex="0" role="region" aria-label="Capability, reward and cost" { table {
            thead { tr { th { "Number" } @for stage in stages { th.n { (stage) } } } }
            tbody { @for (name, about) in names(&NUMBERS, &table.numbers) { tr {
                td.wrap { (name.replace('_', " ")) @if !about.is_empty() { p.from { (about) } } }
                @for stage in stages { td.n {
                    @if let Some(Number { value, lo95, hi95, .. }) = table.numbers.get(*stage).and_then(|numbers| numbers.get(name)) {
                        (shown(name, *value))
                        @if let Some((lo, hi)) = lo95.zip(*hi95) { p.from { (shown(name, lo)) " to " (shown(name, hi)) } }
                    }
                } }
            } } }
        } }
        @if let Some(plot) = gold_and_proxy(table, stages) { div.plots { (plot.figure()) } }
    }
}

/// Gold against proxy: where a policy serves the proxy alone, the first falls while the second rises.
fn gold_and_proxy(table: &SafetyTable, stages: &[&String]) -> Option<Plot> {
    let number = |stage: &String, name: &str| table.numbers.get(stage)?.get(name).copied();
    let point = |(i, stage): (usize, &&String)| {
        let (gold, proxy) = (number(stage, "right")?, number(stage, "reward_model")?);
        let note = format!("{stage}: gold {:.3}, proxy {:.3}", gold.value, proxy.value);
        let [low, high] = [gold.lo95, gold.hi95].map(|end| end.unwrap_or(f64::NAN));
        let points = vec![Point { x: proxy.value, y: gold.value, low, high, note }];
        Some(Series { label: (*stage).clone(), tone: i % 6 + 1, mark: Mark::Points(points) })
    };
    let series: Vec<Series> = stages.iter().enumerate().filter_map(point).collect();
    (!series.is_empty()).then(|| Plot {
        title: "Gold against proxy".into(),
        caption: "Each stage, with the 95 % interval of its gold reward.".to_owned(),
        x: Axis::linear("proxy: score of the reward model"),
        y: Axis::linear("gold: share of answers that were right"),
        series,
        is_wide: false,
    })
}

fn calibration(table: &SafetyTable, stages: &[&String]) -> Markup {
    html! {
        p.intro {
            "Of the most likely next token of held-out text: how often it comes, by its probability. In the manner of the GPT-4 report's figure 8, \
             which shows answers to an exam."
        }
        div.plots {
            @for stage in stages {
                @if let Some(reliability) = table.reliability.get(*stage) {
                    (reliability_plot((*stage).clone(), reliability).figure())
                }
            }
        }
    }
}

fn training(policies: &[(String, Vec<Iteration>)]) -> Markup {
    type Value = fn(&Iteration) -> Option<f64>;
    let plot = |title: &'static str, label: &'static str, caption: &str, value: Value| Plot {
        title: title.into(),
        caption: caption.to_owned(),
        x: Axis::linear("iteration"),
        y: Axis::linear(label),
        series: policies
            .iter()
            .enumerate()
            .map(|(i, (stage, iterations))| Series {
                label: stage.clone(),
                tone: i % 6 + 1,
                mark: Mark::Line(iterations.iter().filter_map(|at| Some((at.number, value(at)?))).collect()),
            })
            .collect(),
        is_wide: false,
    };
    html! {
        div.plots {
            (plot("Reward", "reward of the answers", "What each policy was trained on, mean of an iteration's answers.", |at| at.reward).figure())
            (plot("Proxy", "score of the reward model", "Of the same answers.", |at| at.proxy).figure())
            (plot("Divergence", "KL from the reference, nats", "The estimate k1 of an iteration's answers: mean log ratio.", |at| at.kl).figure())
        }
    }
}
