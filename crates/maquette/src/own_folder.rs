//! Folders of commands that know their own by a file in it.

use std::path::Path;

use anyhow::Context as _;

use crate::run_dir::write_whole;

/// Makes the folder `dir`, or takes one that the same command made: `about` in it says what it is.
///
/// # Errors
/// If it holds other files, or cannot be made.
pub(crate) fn open(dir: &Path, about: &str, text: &str) -> anyhow::Result<()> {
    let is_ours = dir.join(about).is_file();
    let is_empty = std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
    anyhow::ensure!(
        is_ours || is_empty,
        "expected a new folder, or one that this command wrote, at `{}`, found other files\nhint: choose another folder with --out",
        dir.display()
    );
    base::disk::create_dir_all(dir).with_context(|| {
        format!("cannot create `{}`\nhint: choose a folder that you may write to, with --out", dir.display())
    })?;
    write_whole(&dir.join(about), text.as_bytes())
}
