//! `maquette eval --rescore`

use std::path::Path;

use anyhow::Context as _;
use eval::{ItemScore, ItemsFile, Task, rescore as again, run_programs};

use super::{
    Args,
    benchmark::{FOLDER, sandbox},
    summary::{add_groups, summary},
    table,
};
use crate::{folder_lock::FolderLock, item_files, output};

/// Metrics and table again, from the files of items alone.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let out =
        args.out.as_deref().context("expected --out, found none\nhint: give the folder with the scores")?;
    let folder = out.join(FOLDER);
    let known = Task::all();
    let (quiz, free) = (Task::quiz(Path::new("quiz.jsonl"))?, Task::free_response()?);
    let mut summaries = Vec::new();
    let mut programs = None;
    // Other programs may not write there while metrics are written.
    let _lock = args.run_programs.then(|| FolderLock::take(&folder)).transpose()?;
    for file in item_files::find(&folder, &args.tasks)? {
        let (items, provenance) = (file.items()?, &file.provenance);
        let task = known
            .iter()
            .find(|task| task.name == provenance.task)
            .unwrap_or_else(|| if provenance.drawing.is_some() { &free } else { &quiz });
        let mut scores: Vec<ItemScore> = if args.run_programs && task.needs_programs() {
            if programs.is_none() {
                programs = sandbox(args, known.iter())?;
            }
            let ran = |item| {
                programs.as_ref().map_or_else(|| Ok(again(task, item)), |own| run_programs(task, item, own))
            };
            let scores = items.iter().map(ran).collect::<Result<Vec<_>, _>>()?;
            ItemsFile::replace(&file.path, &scores)?;
            scores
        } else {
            items.iter().map(|item| again(task, item)).collect()
        };
        scores.truncate(args.limit.unwrap_or(usize::MAX));
        summaries.push(summary(provenance, &scores));
    }
    add_groups(&mut summaries, &known.iter().collect::<Vec<_>>());
    if args.json {
        return output::json(&serde_json::json!({ "results": summaries }));
    }
    table::print(&summaries)
}
