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
    output,
    output_file::{Kind, OutputFile},
    report::{ExamRow, ScoresPage, TaskRow, render_scores},
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
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let scored = folder::read(&args.dir, &[])?;
    let path = args.out.clone().unwrap_or_else(|| args.dir.join("report.html"));
    let file = OutputFile { path: &path, option: "--out", kind: Kind::Page };
    file.check()?;
    let known = Task::all();
    let mut sources: Vec<(String, Vec<u8>)> = Vec::new();
    let mut tasks = Vec::new();
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
        tasks.extend(row(task, &known)?);
    }
    let exams = StandardExam::all();
    let exams = exam::of_items(&exams, &scored).iter().map(exam_row).collect();
    let folder_name = || {
        let full = fs::canonicalize(&args.dir).unwrap_or_else(|_| args.dir.clone());
        full.file_name().unwrap_or_default().to_string_lossy().into_owned()
    };
    let page = ScoresPage {
        name: args.title.clone().unwrap_or_else(folder_name),
        tasks,
        exams,
        calibration: eval::calibration(scored.iter().flat_map(|task| &task.items)),
        sources,
    };
    file.write(render_scores(&page).as_bytes())?;
    if args.json {
        return output::json(&serde_json::json!({ "report": path }));
    }
    output::line(path.display())
}

/// None where nothing was scored yet.
fn row(task: &Scored, known: &[Task]) -> anyhow::Result<Option<TaskRow>> {
    let metrics = eval::summarise_items(&task.items);
    let main = metrics.get_key_value("acc").or_else(|| metrics.first_key_value());
    let Some((metric, value)): Option<(&String, &MetricSummary)> = main else { return Ok(None) };
    let definition = known.iter().find(|known| known.name == task.provenance.task);
    let contamination = contamination::read(&task.contamination_path())?.map(|found| {
        let is_clean = |item: &&ItemScore| found.found.binary_search(&item.doc_id).is_err();
        let clean: Vec<ItemScore> = task.items.iter().filter(is_clean).cloned().collect();
        let n_found = task.items.len() - clean.len();
        let clean = eval::summarise_items(&clean).get(metric).map(|summary| summary.value);
        (n_found as f64 / task.items.len() as f64, clean)
    });
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
        n_tokens: task.items.iter().map(n_tokens).sum(),
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

/// A context that all choices share is read once.
fn n_tokens(item: &ItemScore) -> u64 {
    let continued: usize = item.choices.iter().map(|choice| choice.n_continuation).sum();
    let contexts = item.choices.iter().map(|choice| choice.n_context);
    let read: usize = match item.context_ids.is_some() {
        true => contexts.max().unwrap_or(0),
        false => contexts.sum(),
    };
    (continued + read) as u64
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
                (population, standing.percentile.clone(), range(&standing.range))
            })
            .collect(),
        about,
    }
}
