//! `maquette scores report`

use std::{
    fs,
    path::{Path, PathBuf},
};

use eval::{ItemScore, MetricSummary, StandardExam, Task};

use super::{
    contamination,
    exam::{self, Row},
    folder::{self, Scored},
};
use crate::{
    commands::eval::cost::{self, Costs},
    output,
    output_file::{Kind, OutputFile},
    report::{Disagreement, ExamRow, SafetyRow, SafetyTask, ScoresPage, SealedLoss, TaskRow, render_scores},
    run_dir::{self, FORECAST, VERDICT},
};

/// A page with the scores of an evaluation, in the manner of the GPT-4 report's tables and figures
///
/// Scores with intervals, what guessing reaches, contamination where it was looked for, exams with percentiles,
/// calibration, and what the model read. One HTML file without scripts; every number comes from the files that it names.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of scores: the --out of `maquette eval`
    dir: PathBuf,
    /// File for the page; DIR/report.html if not given
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Heading of the page; the folder's name if not given
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Folder of the run that the model comes from: its sealed forecast is shown beside the scores
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let path = args.out.clone().unwrap_or_else(|| args.dir.join("report.html"));
    write_to(&path, &args.dir, args.title.as_deref(), args.run.as_deref())?;
    if args.json {
        return output::json(&serde_json::json!({ "report": path }));
    }
    output::line(path.display())
}

/// Writes the page into an evaluation's folder.
pub(crate) fn write(dir: &Path, title: Option<&str>, run: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = dir.join("report.html");
    write_to(&path, dir, title, run)?;
    Ok(path)
}

fn write_to(path: &Path, dir: &Path, title: Option<&str>, run: Option<&Path>) -> anyhow::Result<()> {
    let scored = folder::read(dir, &[])?;
    let file = OutputFile { path, option: "--out", kind: Kind::Page };
    file.check()?;
    let known = Task::all();
    let mut sources: Vec<(String, Vec<u8>)> = Vec::new();
    let mut tasks = Vec::new();
    let costs = cost::read(dir)?;
    if let Ok(bytes) = fs::read(cost::path(dir)) {
        sources.push(("cost.json".to_owned(), bytes));
    }
    for task in &scored {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for path in [task.path.clone(), task.path.with_extension("json"), task.contamination_path()] {
            let shown = name(&path);
            // Of several numbers of shots one task has one file of contamination.
            if sources.iter().all(|(known, _)| *known != shown)
                && let Ok(bytes) = fs::read(&path)
            {
                sources.push((shown, bytes));
            }
        }
        tasks.extend(row(task, &known, &costs)?);
    }
    let exams = StandardExam::all();
    let exams = exam::of_items(&exams, &scored).iter().map(exam_row).collect();
    let folder_name = || {
        let full = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        full.file_name().unwrap_or_default().to_string_lossy().into_owned()
    };
    let mut sealed = None;
    if let Some(run) = run {
        sealed = sealed_forecast(run)?;
        for name in [FORECAST, VERDICT] {
            if let Ok(bytes) = fs::read(run.join(name)) {
                sources.push((format!("{} of the run", name), bytes));
            }
        }
    }
    let safety = scored.iter().filter_map(|task| safety_rows(task, &known)).collect();
    let page = ScoresPage {
        sealed,
        safety,
        name: title.map_or_else(folder_name, str::to_owned),
        tasks,
        exams,
        calibration: eval::calibration(scored.iter().flat_map(|task| &task.items)),
        sources,
    };
    file.write(render_scores(&page).as_bytes())
}

/// What a run's sealed forecast said, and what came of it.
fn sealed_forecast(run: &Path) -> anyhow::Result<Option<SealedLoss>> {
    let Some(seal) = run_dir::read_seal(&run.join(FORECAST))? else { return Ok(None) };
    let verdict: Option<forecast::Verdict> =
        fs::read(run.join(VERDICT)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    // A verdict on another forecast says nothing about this one.
    let verdict = verdict.filter(|verdict| verdict.seal == seal.seal);
    Ok(Some(SealedLoss {
        seal: seal.seal.clone(),
        sealed_at: seal.sealed_at.to_string(),
        predicted: seal.forecast.prediction,
        actual: verdict.map(|verdict| verdict.actual),
    }))
}

/// What the safety section says of a task: rates by category, and where the rules and a judge disagree. No text of a
/// question or an answer.
fn safety_rows(task: &Scored, known: &[Task]) -> Option<SafetyTask> {
    const METRICS: [&str; 8] = [
        "refused",
        "full_refusal",
        "partial_refusal",
        "refused_by_judge",
        "kept",
        "amb_bias_score",
        "disamb_bias_score",
        "pct_stereotype",
    ];
    let metrics = eval::summarise_items(&task.items);
    let names: Vec<String> =
        METRICS.iter().filter(|name| metrics.contains_key(**name)).map(|name| (*name).to_owned()).collect();
    if names.is_empty() {
        return None;
    }
    let whole = SafetyRow { category: "all".to_owned(), n: task.items.len(), metrics };
    let parts = eval::categories(&task.items);
    let parts =
        parts.into_iter().map(|(category, part)| SafetyRow { category, n: part.n, metrics: part.metrics });
    let (agreement, failures) = eval::judged(&task.items);
    let disagreements = task.items.iter().flat_map(|item| {
        let of = |output: &eval::Output| {
            let (rules, judge) = (output.answers.get("rules")?, output.judged.as_ref()?.reply.as_ref()?);
            (rules != judge).then(|| Disagreement {
                id: item_id(item),
                rules: rules.clone(),
                judge: judge.clone(),
                n_chars: output.text.chars().count(),
            })
        };
        item.outputs.iter().filter_map(of).collect::<Vec<_>>()
    });
    let definition = known.iter().find(|known| known.name == task.provenance.task);
    Some(SafetyTask {
        task: task.provenance.task.clone(),
        about: definition.map(|task| task.about.clone()).unwrap_or_default(),
        names,
        rows: std::iter::once(whole).chain(parts).collect(),
        agreement,
        judge_failures: failures,
        disagreements: disagreements.collect(),
    })
}

/// The name that the data give an item, or its number.
fn item_id(item: &ItemScore) -> String {
    let id = item.reference.as_ref().and_then(|fields| fields["id"].as_str()).filter(|id| !id.is_empty());
    // Some sets name an item after what it asks for.
    let is_number = id.is_some_and(|id| id.chars().all(|c| c.is_ascii_digit()));
    id.filter(|_| is_number).map_or_else(|| format!("item {}", item.doc_id), |id| format!("id {id}"))
}

/// None where nothing was scored yet.
fn row(task: &Scored, known: &[Task], costs: &Costs) -> anyhow::Result<Option<TaskRow>> {
    let metrics = eval::summarise_items(&task.items);
    const MAIN: [&str; 6] =
        ["acc", "refused", "kept", "points", "pct_stereotype", "exact_match,flexible-extract"];
    let main =
        MAIN.iter().find_map(|name| metrics.get_key_value(*name)).or_else(|| metrics.first_key_value());
    let Some((metric, value)): Option<(&String, &MetricSummary)> = main else { return Ok(None) };
    let definition = known.iter().find(|known| known.name == task.provenance.task);
    let contamination = contamination::read(&task.contamination_path())?.map(|found| {
        let is_clean = |item: &&ItemScore| found.found.binary_search(&item.doc_id).is_err();
        let clean: Vec<ItemScore> = task.items.iter().filter(is_clean).cloned().collect();
        let n_found = task.items.len() - clean.len();
        let clean = eval::summarise_items(&clean).get(metric).map(|summary| summary.value);
        (n_found as f64 / task.items.len() as f64, clean)
    });
    let cost = costs.get(&format!("{}-{}shot", task.provenance.task, task.provenance.shots));
    let n_tokens: u64 = task.items.iter().map(n_tokens).sum();
    Ok(Some(TaskRow {
        task: task.provenance.task.clone(),
        about: definition.map(|task| task.about.clone()).unwrap_or_default(),
        shots: task.provenance.shots,
        n: task.items.len(),
        n_all: task.provenance.n_all,
        metric: metric.clone(),
        value: value.clone(),
        chance: chance(&task.items).filter(|_| metric == "acc"),
        contamination,
        n_tokens,
        // Of calls that scored only a part of the items the others' time is not known.
        seconds: cost.filter(|cost| cost.n_items >= task.items.len()).map(|cost| cost.seconds),
        flops: task.provenance.flops_per_token.map(|flops| flops * n_tokens as f64),
        failures: task.failures.clone(),
        notes: task.provenance.notes.clone(),
    }))
}

/// The mean share of right choices, which guessing reaches; none where items have no choices.
fn chance(items: &[ItemScore]) -> Option<f64> {
    let of = |item: &ItemScore| {
        let n = item.choices.len();
        let n_right = (0..n).filter(|choice| item.target.contains(*choice)).count();
        (n > 1).then(|| n_right as f64 / n as f64)
    };
    let shares: Option<Vec<f64>> = items.iter().map(of).collect();
    shares.filter(|shares| !shares.is_empty()).map(|shares| shares.iter().sum::<f64>() / shares.len() as f64)
}

/// Tokens read and written. A context that all choices share is read once.
fn n_tokens(item: &ItemScore) -> u64 {
    let continued: usize = item.choices.iter().map(|choice| choice.n_continuation).sum();
    let contexts = item.choices.iter().map(|choice| choice.n_context);
    let read: usize = match item.context_ids.is_some() {
        true => contexts.max().unwrap_or(0),
        false => contexts.sum(),
    };
    let prompts = if item.choices.is_empty() { item.context_ids.as_ref().map_or(0, Vec::len) } else { 0 };
    let written: usize = item.outputs.iter().map(|output| output.n_tokens).sum();
    (continued + read + prompts + written) as u64
}

fn exam_row(row: &Row) -> ExamRow {
    let range = |range: &Option<[String; 2]>| {
        range.as_ref().map_or_else(String::new, |[lo, hi]| format!("{lo} to {hi}"))
    };
    let mut about =
        row.conversion.clone().map_or_else(String::new, |about| format!("converted from {about}"));
    if let Some(error) = row.measurement_error {
        about += &format!("; a person's score has a standard error of {error}");
    }
    ExamRow {
        title: row.title.clone(),
        score: row.scaled.to_string(),
        range: row.from_items.map_or_else(String::new, |score| format!("{} to {}", score.lo95, score.hi95)),
        percentiles: row
            .percentiles
            .iter()
            .map(|standing| {
                let population = format!("{}; {}", standing.population, standing.source);
                (population, standing.percentile.clone(), range(&standing.range), standing.numbers)
            })
            .collect(),
        about,
    }
}
