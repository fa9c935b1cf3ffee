//! Whose a folder is: a run writes into its own, and beside other files only where none has a name that it needs.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use base::disk;

use super::aside::move_aside;
use crate::{
    folder_lock::{self, LOCK},
    own_folder,
    recipe::Recipe,
    run_dir::{CAPABILITY, FORECAST, INPUTS, RECIPE, REPORT, SOURCES, STAMP, VERDICT},
};

/// In the lock file, which says whose the folder is.
const LOCK_TEXT: &str = "maquette: the folder of a run\n";

/// What a run writes at the top of its folder. The last is no part of a run, but of a checkpoint.
const NAMES: [&str; 12] = [
    RECIPE,
    "tokenizer",
    "data",
    "ladder",
    FORECAST,
    "pretrain",
    "eval",
    CAPABILITY,
    VERDICT,
    REPORT,
    SOURCES,
    "maquette.json",
];

/// Names of foreign files that a message lists.
const MAX_NAMED: usize = 3;

/// A folder that is this program's alone while the claim lasts.
pub(super) struct Claim {
    dir: PathBuf,
    /// Holds the lock.
    _file: File,
}

impl Drop for Claim {
    /// A run that made nothing leaves no mark: what a user puts there later is not the run's.
    fn drop(&mut self) {
        if NAMES.into_iter().all(|name| self.dir.join(name).symlink_metadata().is_err()) {
            // A mark that stays is no harm but to that user.
            let _ = disk::remove_file(&self.dir.join(LOCK));
        }
    }
}

/// Makes the folder, if it is not there, and takes it for this program alone, until it ends in whatever way. What a kill
/// left half written in it is removed.
pub(super) fn claim(dir: &Path) -> anyhow::Result<Claim> {
    if !is_ours(dir) {
        let taken: Vec<&str> =
            NAMES.into_iter().filter(|name| dir.join(name).symlink_metadata().is_ok()).collect();
        anyhow::ensure!(
            taken.is_empty(),
            "expected a new folder, or that of a run, at `{}`, found files there that no run wrote: {}{}\n\
             hint: choose another folder with --out, such as {}",
            dir.display(),
            taken.iter().take(MAX_NAMED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
            if taken.len() > MAX_NAMED { " and more" } else { "" },
            dir.join("run").display(),
        );
    }
    own_folder::make(dir)?;
    let path = dir.join(LOCK);
    let mut file = folder_lock::locked(&path, dir)?;
    let is_file = file.metadata().is_ok_and(|meta| meta.is_file());
    // A kill may have left half of it.
    let is_begun = |text: String| text != LOCK_TEXT && LOCK_TEXT.starts_with(&text);
    if is_file && fs::read_to_string(&path).is_ok_and(is_begun) {
        let written = disk::write_all(&mut file, LOCK_TEXT.as_bytes());
        written.with_context(|| format!("cannot write `{}`\nhint: free some space", path.display()))?;
    }
    for folder in ["", "tokenizer", "data", "ladder", "pretrain", "eval"] {
        base::temporary::remove_leftovers(&dir.join(folder))?;
    }
    Ok(Claim { dir: dir.to_owned(), _file: file })
}

/// Whether a run was begun there: by its lock, or, where that was not copied with it, by what its first stages leave.
fn is_ours(dir: &Path) -> bool {
    let has_hashes = |text: String| {
        toml::from_str::<toml::Table>(&text)
            .is_ok_and(|recipe| recipe.get("hashes").is_some_and(toml::Value::is_table))
    };
    fs::read_to_string(dir.join(LOCK)).is_ok_and(|text| text == LOCK_TEXT)
        || fs::read_to_string(dir.join(RECIPE)).is_ok_and(has_hashes)
        || ["tokenizer", "data"].iter().any(|stage| dir.join(stage).join(STAMP).is_file())
        || dir.join(INPUTS).is_file()
}

/// Moves a recipe away that is to be replaced and that somebody wrote or changed by hand.
pub(super) fn keep_written_by_hand(path: &Path) -> anyhow::Result<()> {
    let Ok(bytes) = fs::read(path) else { return Ok(()) };
    let text = String::from_utf8(bytes).unwrap_or_default();
    let recipe: Option<Recipe> = toml::from_str(&text).ok();
    let is_ours = recipe.is_some_and(|recipe| toml::to_string(&recipe).is_ok_and(|again| again == text));
    if is_ours { Ok(()) } else { move_aside(path, "was written by hand") }
}
