//! The files of items that an evaluation left in a folder.

use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use eval::{ItemScore, ItemsFile, Provenance};

use crate::output;

/// A task that was scored: where its items are, and what they were scored with.
pub(crate) struct ItemFile {
    pub(crate) path: PathBuf,
    pub(crate) provenance: Provenance,
}

const HINT: &str =
    "hint: give the --out of an evaluation: maquette eval CHECKPOINT --tasks arc_easy --data DIR --out DIR";

/// Those in `folder` of the tasks that `names` has; all where that is empty. By name.
///
/// # Errors
/// If there are none, or one lacks the file beside it that says what it is.
pub(crate) fn find(folder: &Path, names: &[String]) -> anyhow::Result<Vec<ItemFile>> {
    let entries = fs::read_dir(folder)
        .with_context(|| format!("expected scores in `{}`, found none\n{HINT}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.to_string_lossy().ends_with("shot.jsonl"));
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let about = path.with_extension("json");
        let bytes = fs::read(&about).with_context(|| {
            format!("cannot read `{}`\nhint: it was written beside the items; put it back", about.display())
        })?;
        let provenance: Provenance = serde_json::from_slice(&bytes)
            .with_context(|| format!("`{}` is damaged\nhint: evaluate again", about.display()))?;
        if names.is_empty() || names.contains(&provenance.task) {
            found.push(ItemFile { path, provenance });
        }
    }
    if let Some(name) = names.iter().find(|name| found.iter().all(|file| file.provenance.task != **name)) {
        anyhow::bail!(
            "expected scores of `{name}` in `{}`, found none\nhint: evaluate it first",
            folder.display()
        );
    }
    anyhow::ensure!(
        !found.is_empty(),
        "expected scores of benchmarks in `{}`, found none\n{HINT}",
        folder.display()
    );
    Ok(found)
}

impl ItemFile {
    /// Its items; where they are not all that the data have, stderr says so.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(crate) fn items(&self) -> anyhow::Result<Vec<ItemScore>> {
        let items = ItemsFile::read(&self.path)?;
        let Provenance { task, n_all, .. } = &self.provenance;
        let is_cut = if ends_within_a_line(&self.path) { "; the last was cut off" } else { "" };
        if items.len() < *n_all || !is_cut.is_empty() {
            output::talk(format_args!(
                "{task}: {} of {} items{is_cut}; the same `maquette eval` without --limit scores the others",
                items.len(),
                n_all
            ));
        }
        Ok(items)
    }
}

/// Whether a kill cut off the last line.
fn ends_within_a_line(path: &Path) -> bool {
    let last = || {
        let mut file = fs::File::open(path).ok()?;
        file.seek(SeekFrom::End(-1)).ok()?;
        let mut byte = [0];
        file.read_exact(&mut byte).ok()?;
        Some(byte[0])
    };
    last().is_some_and(|byte| byte != b'\n')
}
