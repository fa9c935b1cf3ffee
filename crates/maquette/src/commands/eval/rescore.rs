//! `maquette eval --rescore`

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use eval::{ItemScore, ItemsFile, Provenance, Task, rescore as again, run_programs};

use super::{
    Args,
    benchmark::{FOLDER, sandbox},
    summary::{add_groups, summary},
    table,
};
use crate::output;

/// Metrics and table again, from the files of items alone.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let out =
        args.out.as_deref().context("expected --out, found none\nhint: give the folder with the scores")?;
    let folder = out.join(FOLDER);
    let entries = fs::read_dir(&folder).with_context(|| {
        format!(
            "expected scores in `{}`, found none\nhint: give the --out of an evaluation",
            folder.display()
        )
    })?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.to_string_lossy().ends_with("shot.jsonl"));
    files.sort();
    let known = Task::all();
    let (quiz, free) = (Task::quiz(Path::new("quiz.jsonl"))?, Task::free_response()?);
    let mut summaries = Vec::new();
    let mut programs = None;
    for path in files {
        let about = path.with_extension("json");
        let bytes = fs::read(&about).with_context(|| {
            format!("cannot read `{}`\nhint: it was written beside the items; put it back", about.display())
        })?;
        let provenance: Provenance = serde_json::from_slice(&bytes)
            .with_context(|| format!("`{}` is damaged\nhint: evaluate again", about.display()))?;
        if !args.tasks.is_empty() && !args.tasks.contains(&provenance.task) {
            continue;
        }
        let task = known
            .iter()
            .find(|task| task.name == provenance.task)
            .unwrap_or_else(|| if provenance.drawing.is_some() { &free } else { &quiz });
        let items = ItemsFile::read(&path)?;
        let mut scores: Vec<ItemScore> = if args.run_programs && task.needs_programs() {
            if programs.is_none() {
                programs = sandbox(args, known.iter())?;
            }
            let ran = |item| {
                programs.as_ref().map_or_else(|| Ok(again(task, item)), |own| run_programs(task, item, own))
            };
            let scores = items.iter().map(ran).collect::<Result<Vec<_>, _>>()?;
            ItemsFile::replace(&path, &scores)?;
            scores
        } else {
            items.iter().map(|item| again(task, item)).collect()
        };
        scores.truncate(args.limit.unwrap_or(usize::MAX));
        summaries.push(summary(&provenance, &scores));
    }
    anyhow::ensure!(
        !summaries.is_empty(),
        "expected scores of benchmarks in `{}`, found none\nhint: give the --out of an evaluation",
        folder.display()
    );
    add_groups(&mut summaries, &known.iter().collect::<Vec<_>>());
    if args.json {
        return output::json(&serde_json::json!({ "results": summaries }));
    }
    table::print(&summaries)
}
