//! Results of rungs that make way for others: nothing is deleted.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base::disk;

use crate::{
    progress,
    run_dir::{RungFile, rung_file},
};

/// Moves a rung's file out of the way, with a word, if it is of these inputs but was changed.
pub(super) fn set_aside_changed(dir: &Path, name: &str, inputs: &str) -> anyhow::Result<()> {
    let path = rung_file(dir, name);
    let there = RungFile::read(&path).ok().filter(|there| there.result.inputs == inputs);
    let Some(there) = there else { return Ok(()) };
    let why = match there.result.checksum.is_empty() {
        true => "holds no hash of its content",
        false => "was changed after it was written",
    };
    let aside = aside(dir, &path)?;
    progress::say(
        "ladder",
        &format!("`{}` {why}: now `{}`, and trained again", path.display(), aside.display()),
    );
    Ok(())
}

/// Moves a file to `.replaced/`, under a name that is free there.
pub(super) fn aside(dir: &Path, path: &Path) -> anyhow::Result<PathBuf> {
    let folder = dir.join(".replaced");
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let free = std::iter::once(name.clone()).chain((1..).map(|i| format!("{name}-{i}")));
    let aside = free.map(|name| folder.join(name)).find(|path| !path.exists()).expect("some number is free");
    disk::create_dir_all(&folder).and_then(|()| disk::rename(path, &aside)).with_context(|| {
        format!("cannot move `{}` aside\nhint: move it away, or choose another --out", path.display())
    })?;
    Ok(aside)
}
