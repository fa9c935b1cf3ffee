//! `maquette scores exam`

use std::path::PathBuf;

use anyhow::Context as _;
use eval::{ExamScore, SectionResult, StandardExam};
use serde::Serialize;

use super::folder;
use crate::output;

/// Scores of exams that people take, with the percentile among those who took them
///
/// With a folder of scores: every exam whose questions were evaluated, from the shares of right answers in its
/// sections. With `--score`: the percentile of a score that was found otherwise, such as by graders.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of scores: the --out of `maquette eval`
    #[arg(required_unless_present_any = ["list", "score"])]
    dir: Option<PathBuf>,
    /// An exam and a score on its scale; may be repeated
    #[arg(long, value_name = "EXAM=SCORE")]
    score: Vec<String>,
    /// File with exams of your own: scale, sections with their tasks and weights, conversion, percentiles; see docs/scores.md
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// List the exams: scale, sections, populations and sources of the percentiles
    #[arg(long, conflicts_with_all = ["dir", "score"])]
    list: bool,
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

/// A score of an exam and what it stands for.
#[derive(Serialize)]
pub(super) struct Row {
    exam: String,
    pub(super) title: String,
    pub(super) scaled: f64,
    /// Of a score from items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from_items: Option<ExamScore>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) measurement_error: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) conversion: Option<String>,
    pub(super) percentiles: Vec<Standing>,
}

/// Among whom.
#[derive(Serialize)]
pub(super) struct Standing {
    pub(super) population: String,
    pub(super) source: String,
    pub(super) percentile: String,
    /// Of the ends of the interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) range: Option<[String; 2]>,
    /// The percentile and its range as numbers, for a figure.
    #[serde(skip)]
    pub(super) numbers: Option<[f64; 3]>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let mut exams = StandardExam::all();
    if let Some(path) = &args.file {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read `{}`\nhint: give a file with exams", path.display()))?;
        exams = StandardExam::parse(&text).with_context(|| format!("in `{}`", path.display()))?;
    }
    if args.list {
        return list(&exams);
    }
    let mut rows = Vec::new();
    for asked in &args.score {
        let (name, score) = asked.split_once('=').with_context(|| {
            format!("expected --score EXAM=SCORE, found `{asked}`\nhint: such as --score ube=298")
        })?;
        let exam = exams.iter().find(|exam| exam.name == name).with_context(|| {
            format!("expected an exam, found `{name}`\nhint: `maquette scores exam --list` names them")
        })?;
        let [low, high] = exam.scale;
        let scaled: Option<f64> = score.parse().ok().filter(|score| (low..=high).contains(score));
        let scaled = scaled.with_context(|| {
            format!("expected a score from {low} to {high} for `{name}`, found `{score}`\nhint: give it on the exam's own scale")
        })?;
        rows.push(row(exam, scaled, None));
    }
    if let Some(dir) = &args.dir {
        let scored = folder::read(dir, &[])?;
        rows.extend(of_items(&exams, &scored));
        let with_sections = exams.iter().filter(|exam| !exam.sections.is_empty());
        let tasks = with_sections.flat_map(|exam| &exam.sections).flat_map(|section| section.tasks.clone());
        anyhow::ensure!(
            !rows.is_empty(),
            "expected scores of every section of an exam in `{}`, found none\nhint: evaluate {}",
            dir.display(),
            tasks.collect::<Vec<_>>().join(", ")
        );
    }
    if args.json {
        return output::json(&serde_json::json!({ "results": rows }));
    }
    rows.iter().try_for_each(print)
}

/// The exams of which every section was scored.
pub(super) fn of_items(exams: &[StandardExam], scored: &[folder::Scored]) -> Vec<Row> {
    let results = |exam: &StandardExam| -> Option<Vec<SectionResult>> {
        exam.sections.iter().map(|section| result(&section.tasks, scored)).collect()
    };
    let with_sections = exams.iter().filter(|exam| !exam.sections.is_empty());
    let scores = with_sections.filter_map(|exam| Some((exam, exam.score(&results(exam)?)?)));
    scores.map(|(exam, score)| row(exam, score.scaled, Some(score))).collect()
}

/// Right answers over the tasks of a section; of several numbers of shots the most. None where a task was not scored.
fn result(tasks: &[String], scored: &[folder::Scored]) -> Option<SectionResult> {
    let (mut n, mut n_right) = (0, 0.0);
    for name in tasks {
        let of_task = scored.iter().filter(|task| task.provenance.task == *name);
        let task = of_task.max_by_key(|task| task.provenance.shots)?;
        n += task.items.len();
        for item in &task.items {
            // Free answers that nobody has graded are no wrong ones.
            n_right += item.metrics.get("points").or(item.metrics.get("acc"))?;
        }
    }
    (n > 0).then_some(SectionResult { n, n_right })
}

fn row(exam: &StandardExam, scaled: f64, from_items: Option<ExamScore>) -> Row {
    let standing = |table: &eval::Percentiles| {
        let at = |score: f64| table.of(score).map(|percentile| percentile.to_string());
        let range = from_items.and_then(|score| Some([at(score.lo95)?, at(score.hi95)?]));
        let value = |score: f64| table.of(score).map(eval::Percentile::value);
        let [low, high] = from_items.map_or([None; 2], |score| [value(score.lo95), value(score.hi95)]);
        Some(Standing {
            population: table.population.clone(),
            source: table.source.clone(),
            percentile: at(scaled)?,
            range,
            numbers: value(scaled).map(|at| [at, low.unwrap_or(f64::NAN), high.unwrap_or(f64::NAN)]),
        })
    };
    Row {
        exam: exam.name.clone(),
        title: exam.title.clone(),
        scaled,
        from_items,
        measurement_error: exam.measurement_error,
        conversion: exam.conversion.as_ref().filter(|_| from_items.is_some()).map(|by| by.about.clone()),
        percentiles: exam.percentiles.iter().filter_map(standing).collect(),
    }
}

fn print(row: &Row) -> anyhow::Result<()> {
    let range = row.from_items.map(|score| format!(", 95 % interval {} to {}", score.lo95, score.hi95));
    output::words(format_args!("{} {}{}", row.title, row.scaled, range.unwrap_or_default()))?;
    for standing in &row.percentiles {
        let range = standing.range.as_ref().map(|[lo, hi]| format!(" ({lo} to {hi})"));
        output::words(format_args!(
            "  percentile {}{} of {}; {}",
            standing.percentile,
            range.unwrap_or_default(),
            standing.population,
            standing.source
        ))?;
    }
    if let Some(error) = row.measurement_error {
        output::words(format_args!("  a person's score has a standard error of {error}"))?;
    }
    match &row.conversion {
        Some(about) => output::words(format_args!("  converted from {about}")),
        None => Ok(()),
    }
}

fn list(exams: &[StandardExam]) -> anyhow::Result<()> {
    for exam in exams {
        let [low, high] = exam.scale;
        output::words(format_args!("{:<22} {}, {low} to {high}", exam.name, exam.title))?;
        for section in &exam.sections {
            output::words(format_args!("{:<22}   {}: {}", "", section.name, section.tasks.join(", ")))?;
        }
        for table in &exam.percentiles {
            output::words(format_args!(
                "{:<22}   percentiles of {}; {}",
                "", table.population, table.source
            ))?;
        }
    }
    Ok(())
}
