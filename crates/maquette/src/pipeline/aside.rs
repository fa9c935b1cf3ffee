//! What no longer belongs to a run is moved out of its way. Nothing is deleted.

use std::path::Path;

use anyhow::Context as _;

use crate::progress;

/// Moves what was made from other inputs out of the way, under a name that says so.
pub(super) fn set_aside(dir: &Path) -> anyhow::Result<()> {
    move_aside(dir, "was made from other inputs")
}

/// The same for any reason.
pub(super) fn move_aside(dir: &Path, why: &str) -> anyhow::Result<()> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let free = (1..)
        .map(|i| dir.with_file_name(format!("{name}-replaced-{i}")))
        .find(|path| path.symlink_metadata().is_err());
    let aside = free.expect("some number is free");
    base::disk::rename(dir, &aside).with_context(|| {
        format!("cannot rename `{}`\nhint: move it away, or choose another --out", dir.display())
    })?;
    progress::say("set aside", &format!("{} {why}, now {}", dir.display(), aside.display()));
    Ok(())
}
