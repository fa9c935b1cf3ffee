//! `maquette eval --list`

use std::path::Path;

use data::tasks;
use eval::{DataFolder, Presence, Task};
use serde::Serialize;

use super::{
    Args,
    picture_sets::{self, PictureSetTask},
};
use crate::output;

/// One benchmark with what is there of it.
#[derive(Serialize)]
struct Entry {
    task: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    version: u32,
    about: String,
    source: String,
    licence: String,
    sha256: String,
    /// Data of the items, and of the examples in front of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<[Part; 2]>,
}

/// The data of a part of a task.
#[derive(Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
enum Part {
    Found {
        files: Vec<String>,
        /// Of each file.
        sha256: Vec<String>,
        n_rows: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Files are there, and are not what the task expects.
    Damaged {
        files: Vec<String>,
        error: String,
    },
    InTaskFile,
    Missing,
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
    let is_wanted = |task: &Task| {
        args.tasks.is_empty()
            || args.tasks.iter().any(|name| *name == task.name || task.group.as_ref() == Some(name))
    };
    let entries: Vec<Entry> = Task::all()
        .into_iter()
        .filter(is_wanted)
        .map(|task| Entry {
            data: folder
                .as_ref()
                .map(|(root, folder)| folder.find(&task).map(|presence| part(presence, root))),
            task: task.name,
            group: task.group,
            version: task.version,
            about: task.about,
            source: task.source,
            licence: task.licence,
            sha256: task.sha256,
        })
        .collect();
    let root = args.data.as_deref();
    let sets = PictureSetTask::ALL.into_iter();
    let sets = sets.filter(|set| args.tasks.is_empty() || args.tasks.iter().any(|name| name == set.name()));
    let sets: Vec<picture_sets::Entry> = sets.map(|set| set.entry(root)).collect();
    anyhow::ensure!(
        !entries.is_empty() || !sets.is_empty(),
        "expected a benchmark or a group, found none of {}\nhint: `maquette eval --list` names all",
        args.tasks.join(", ")
    );
    if args.json {
        return output::json(&serde_json::json!({ "tasks": entries, "pictures": sets }));
    }
    // A group is one block, unless it was asked for by name.
    let is_same_block =
        |a: &Entry, b: &Entry| args.tasks.is_empty() && a.group.is_some() && a.group == b.group;
    for block in entries.chunk_by(is_same_block) {
        print(block)?;
    }
    for line in sets.iter().flat_map(picture_sets::Entry::lines) {
        output::words(format_args!("{line}"))?;
    }
    let generated = tasks::Task::ALL.map(tasks::Task::name).join(", ");
    output::words(format_args!("generated, without data: {generated}"))
}

fn part(presence: Presence, root: &Path) -> Part {
    let Presence::Found(found) = presence else {
        return if presence == Presence::Own { Part::InTaskFile } else { Part::Missing };
    };
    let shown = |path: &std::path::PathBuf| path.strip_prefix(root).unwrap_or(path).display().to_string();
    match found.rows {
        Ok(n_rows) => {
            let (files, sha256) =
                found.sources.iter().map(|(path, hash)| (shown(path), hash.clone())).unzip();
            Part::Found { files, sha256, n_rows, note: found.note }
        }
        Err(error) => Part::Damaged {
            files: found.files.iter().map(shown).collect(),
            error: error.lines().next().unwrap_or_default().to_owned(),
        },
    }
}

/// Tasks of one group, or one task.
fn print(block: &[Entry]) -> anyhow::Result<()> {
    let Some(first) = block.first() else { return Ok(()) };
    match (&first.group, block.len()) {
        (Some(group), n) if n > 1 => {
            output::words(format_args!("{group}  {n} tasks, such as {}: {}", first.task, first.about))?
        }
        _ => output::words(format_args!("{}  {}", first.task, first.about))?,
    }
    output::words(format_args!(
        "    {}  {}  version {}, task file {}",
        first.source,
        first.licence,
        first.version,
        &first.sha256[..12]
    ))?;
    if first.data.is_none() {
        return Ok(());
    }
    for (i, what) in ["items", "examples"].into_iter().enumerate() {
        let parts: Vec<&Part> = block.iter().filter_map(|entry| Some(&entry.data.as_ref()?[i])).collect();
        output::words(format_args!("    {what}: {}", summary(&parts)))?;
        for part in parts {
            if let Part::Damaged { error, .. } = part {
                output::words(format_args!("    {what}: damaged: {error}"))?;
            }
        }
    }
    Ok(())
}

/// What is there of the same part of several tasks, in a line.
fn summary(parts: &[&Part]) -> String {
    const MAX_FILES: usize = 3;
    let (mut files, mut notes): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    let (mut n_found, mut n_own, mut n_missing, mut n_all_rows) = (0, 0, 0, 0);
    for part in parts {
        match part {
            Part::Found { files: of_task, n_rows, note, .. } => {
                n_found += 1;
                n_all_rows += n_rows;
                files.extend(of_task.iter().map(String::as_str));
                notes.extend(note.as_deref());
            }
            Part::InTaskFile => n_own += 1,
            Part::Missing => n_missing += 1,
            Part::Damaged { .. } => {}
        }
    }
    files.sort_unstable();
    files.dedup();
    notes.sort_unstable();
    notes.dedup();
    let of_all =
        |n: usize| if parts.len() > 1 { format!(" ({n} of {} tasks)", parts.len()) } else { String::new() };
    let mut said = Vec::new();
    if n_found > 0 {
        let more = if files.len() > MAX_FILES {
            format!(" and {} more files", files.len() - MAX_FILES)
        } else {
            String::new()
        };
        let shown = files[..files.len().min(MAX_FILES)].join(", ");
        let notes = notes.iter().map(|note| format!("; differs: {note}")).collect::<String>();
        said.push(format!("{n_all_rows} rows in {shown}{more}{}{notes}", of_all(n_found)));
    }
    if n_own > 0 {
        said.push(format!("in the task's own file{}", of_all(n_own)));
    }
    if n_missing > 0 {
        said.push(format!("missing{}", of_all(n_missing)));
    }
    said.join("; ")
}
