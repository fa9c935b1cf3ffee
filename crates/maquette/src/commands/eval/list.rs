//! `maquette eval --list`

use std::path::Path;

use data::tasks;
use eval::{DataFolder, Found, Task};
use serde::Serialize;

use super::Args;
use crate::output;

/// One benchmark with what is there of it.
#[derive(Serialize)]
struct Entry {
    task: String,
    version: u32,
    about: String,
    source: String,
    licence: String,
    sha256: String,
    /// Files of the items, and of the examples in front of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<[Option<Files>; 2]>,
}

#[derive(Serialize)]
struct Files {
    files: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let folder = args.data.as_deref().map(|root| (root, DataFolder::new(root)));
    if let Some((root, _)) = &folder {
        anyhow::ensure!(
            root.is_dir(),
            "expected a folder of data at `{}`, found none\nhint: give the folder into which the data were downloaded",
            root.display()
        );
    }
    let files = |found: Found, root: &Path| Files {
        files: found
            .files
            .iter()
            .map(|path| path.strip_prefix(root).unwrap_or(path).display().to_string())
            .collect(),
        note: found.note,
    };
    let entries: Vec<Entry> = Task::all()
        .into_iter()
        .map(|task| Entry {
            data: folder
                .as_ref()
                .map(|(root, folder)| folder.find(&task).map(|found| found.map(|found| files(found, root)))),
            task: task.name,
            version: task.version,
            about: task.about,
            source: task.source,
            licence: task.licence,
            sha256: task.sha256,
        })
        .collect();
    if args.json {
        return output::json(&serde_json::json!({ "tasks": entries }));
    }
    for entry in entries {
        output::words(format_args!("{}  {}", entry.task, entry.about))?;
        output::words(format_args!("    {}  {}", entry.source, entry.licence))?;
        for (what, found) in entry.data.iter().flat_map(|data| ["items", "examples"].into_iter().zip(data)) {
            let Some(found) = found else {
                output::words(format_args!("    {what}: missing"))?;
                continue;
            };
            let note = found.note.as_ref().map_or_else(String::new, |note| format!(" ({note})"));
            output::words(format_args!("    {what}: {}{note}", found.files.join(", ")))?;
        }
    }
    let generated = tasks::Task::ALL.map(tasks::Task::name).join(", ");
    output::words(format_args!("generated, without data: {generated}"))
}
