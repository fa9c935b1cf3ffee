//! `maquette scores grade`

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use eval::{ItemsFile, Judged, Task};
use serde_json::{Map, Value, json};

use super::folder::{self, Scored};
use crate::{
    folder_lock::FolderLock,
    output,
    output_file::{Kind, OutputFile},
};

/// Free answers for a person to grade by their rubric, and the grades read back
///
/// `--to` writes a sheet with the question, the rubric and the answer of every item; a person fills the column `points` in, from 0 to
/// `points_possible`. `--from` reads it and puts the points into the items, from which `scores exam` and `scores report` go on. A
/// model grades the same answers with `maquette eval --judge`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("way").required(true).args(["to", "from"]))]
pub(super) struct Args {
    /// Folder of scores: the --out of `maquette eval`
    dir: PathBuf,
    /// Sheet to write: .csv or .jsonl
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Sheet to read, filled in
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Tasks, by name; all with a rubric if not given
    #[arg(long, value_name = "TASK", value_delimiter = ',')]
    tasks: Vec<String>,
}

const COLUMNS: [&str; 10] = [
    "task",
    "shots",
    "doc_id",
    "sample",
    "question",
    "rubric",
    "points_possible",
    "answer",
    "points",
    "answer_sha256",
];

/// Who a grade of a sheet is by.
const PERSON: &str = "person";

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let mut scored = folder::read(&args.dir, &args.tasks)?;
    scored.retain(|task| task.items.iter().any(|item| most(item.reference.as_ref()).is_some()));
    anyhow::ensure!(
        !scored.is_empty(),
        "expected answers with a rubric in `{}`, found none\nhint: evaluate a file with `question`, `rubric` and `points`",
        args.dir.display()
    );
    match (&args.to, &args.from) {
        (Some(path), _) => write(path, &scored),
        (_, Some(path)) => {
            let folder = scored[0].path.parent().unwrap_or(&args.dir);
            let _lock = FolderLock::take(folder)?;
            read(path, &scored)
        }
        _ => Ok(()),
    }
}

/// What a perfect answer gets.
fn most(reference: Option<&Value>) -> Option<f64> {
    reference?.get("rubric")?;
    reference?["points"].as_f64()
}

fn is_lines(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "jsonl")
}

fn write(path: &Path, scored: &[Scored]) -> anyhow::Result<()> {
    let file = OutputFile { path, option: "--to", kind: Kind::Sheet };
    file.check()?;
    let mut rows: Vec<Map<String, Value>> = Vec::new();
    for task in scored {
        for item in &task.items {
            let Some(reference) = &item.reference else { continue };
            for (sample, output) in item.outputs.iter().enumerate() {
                let points = output.judged.as_ref().filter(|judged| judged.by == PERSON);
                let row = json!({
                    "task": task.provenance.task, "shots": task.provenance.shots, "doc_id": item.doc_id, "sample": sample,
                    "question": reference["question"], "rubric": reference["rubric"], "points_possible": reference["points"],
                    "answer": output.text, "points": points.and_then(|judged| judged.points),
                    "answer_sha256": base::hash::sha256(output.text.as_bytes()),
                });
                rows.extend(row.as_object().cloned());
            }
        }
    }
    let bytes = if is_lines(path) {
        rows.iter().map(|row| format!("{}\n", Value::Object(row.clone()))).collect::<String>().into_bytes()
    } else {
        let mut table = csv::Writer::from_writer(Vec::new());
        table.write_record(COLUMNS)?;
        for row in &rows {
            table.write_record(COLUMNS.iter().map(|name| match &row[*name] {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            }))?;
        }
        table.into_inner().map_err(|error| anyhow::anyhow!("cannot write the sheet: {error}"))?
    };
    file.write(&bytes)?;
    output::talk(format_args!(
        "{} answers to grade: fill in `points`, then --from {}",
        rows.len(),
        path.display()
    ));
    Ok(())
}

fn read(path: &Path, scored: &[Scored]) -> anyhow::Result<()> {
    let rows = data::rows(path)?;
    // Everything is checked before anything is written.
    let mut files: Vec<(PathBuf, Vec<eval::ItemScore>)> = Vec::new();
    for task in scored {
        files.push((task.path.clone(), ItemsFile::read(&task.path)?));
    }
    let (mut n_graded, mut n_open) = (0, 0);
    for row in &rows {
        let place = format!("{}:{}", path.display(), row.line);
        let text = |name: &str| match row.fields.get(name) {
            Some(Value::String(text)) => Ok(text.trim().to_owned()),
            Some(Value::Null) => Ok(String::new()),
            Some(other) => Ok(other.to_string()),
            None => Err(anyhow::anyhow!(
                "expected a column `{name}` in `{place}`, found none\nhint: fill in a sheet that --to wrote"
            )),
        };
        let number = |name: &str| -> anyhow::Result<usize> {
            let found = text(name)?;
            found.parse().map_err(|_| {
                anyhow::anyhow!("expected a number as `{name}` in `{place}`, found `{found}`\nhint: leave this column as --to wrote it")
            })
        };
        let (name, shots, doc_id, sample) =
            (text("task")?, number("shots")?, number("doc_id")?, number("sample")?);
        let at =
            scored.iter().position(|task| task.provenance.task == name && task.provenance.shots == shots);
        let output = at.and_then(|at| {
            let item = files[at].1.get_mut(doc_id)?;
            let most = most(item.reference.as_ref())?;
            Some((most, item.outputs.get_mut(sample)?))
        });
        let (most, output) = output.with_context(|| {
            format!("expected an answer of the evaluation in `{place}`, found {name} {doc_id}\nhint: give the sheet of this folder")
        })?;
        let sha256 = text("answer_sha256")?;
        anyhow::ensure!(
            sha256 == base::hash::sha256(output.text.as_bytes()),
            "expected the answer that was graded in `{place}`, found another one in the evaluation\nhint: write the sheet again"
        );
        let given = text("points")?;
        if given.is_empty() {
            n_open += 1;
            continue;
        }
        let points: Option<f64> =
            given.replace(',', ".").parse().ok().filter(|points| (0.0..=most).contains(points));
        let points = points.with_context(|| {
            format!("expected points from 0 to {most} in `{place}`, found `{given}`\nhint: correct the column `points`")
        })?;
        output.judged =
            Some(Judged { by: PERSON.to_owned(), reply: None, points: Some(points), failure: None });
        n_graded += 1;
    }
    let task = Task::free_response()?;
    for (path, items) in &files {
        let again: Vec<eval::ItemScore> = items.iter().map(|item| eval::rescore(&task, item)).collect();
        ItemsFile::replace(path, &again)?;
    }
    output::words(format_args!("{n_graded} answers graded, {n_open} left open"))
}
