//! Folders that appear whole or not at all.

use std::{
    fs,
    path::{Path, PathBuf},
};

use base::{FileError, disk, temporary};

use super::{CheckpointError, files::sync_dir, sums, target};

/// Makes the folder `dir`: `fill` writes into a temporary one beside it, which is checksummed, flushed to disk and
/// renamed. A crash at any moment leaves either the whole folder or one that [`remove_unfinished`] clears away.
///
/// An existing `dir` is replaced if it is empty, or a checkpoint with nothing else in it. Where it is a link, the folder
/// that it leads to is.
///
/// # Errors
/// What `fill` returns, what the operating system reports, or [`CheckpointError::Target`].
pub fn publish<E: From<CheckpointError>>(
    dir: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let place = place(dir)?;
    target::check_replaceable(&place)?;
    let unfinished = temporary::beside(&place);
    let parent = parent(&place);
    let folders = base::make_folders(parent).map_err(CheckpointError::io("create", parent))?;
    let mut held = None;
    temporary::begin(&unfinished);
    let make = || -> Result<(), E> {
        disk::create_dir(&unfinished).map_err(CheckpointError::io("create", &unfinished))?;
        held = temporary::hold(&unfinished);
        fill(&unfinished)?;
        sums::write(&unfinished)?;
        sync_dir(&unfinished)?;
        // Whole from here on: nobody removes it while it changes places with the old one.
        temporary::end(&unfinished);
        // The old one keeps its name until the new one is whole, and is never half of itself under that name.
        let replaced = place.exists().then(|| temporary::beside(&place));
        if let Some(replaced) = &replaced {
            // Once more: writing a large model takes a while.
            target::check_replaceable(&place)?;
            disk::rename(&place, replaced).map_err(CheckpointError::io("rename", dir))?;
        }
        if let Err(error) = disk::rename(&unfinished, &place) {
            if let Some(replaced) = &replaced {
                // The first error is the one to report.
                let _ = disk::rename(replaced, &place);
            }
            return Err(CheckpointError::io("write", dir)(error).into());
        }
        sync_dir(parent)?;
        if let Some(replaced) = &replaced {
            temporary::remove(replaced).map_err(CheckpointError::from)?;
        }
        Ok(())
    };
    let result = make();
    if result.is_err() {
        // The first error is the one to report; what is left is cleared at the next start at the latest.
        let _ = temporary::remove(&unfinished);
        temporary::end(&unfinished);
        base::remove_folders(&folders);
    }
    result
}

/// The folder itself, behind a link to it.
fn place(dir: &Path) -> Result<PathBuf, CheckpointError> {
    if dir.is_symlink() || dir.file_name().is_none() {
        return fs::canonicalize(dir).map_err(CheckpointError::io("write", dir));
    }
    Ok(dir.to_owned())
}

fn parent(dir: &Path) -> &Path {
    dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Removes a folder that [`publish`] made; one that holds other files too stays as it is. It loses its name first: a crash
/// leaves no half of it under that name.
///
/// # Errors
/// What the operating system reports.
pub fn remove(dir: &Path) -> Result<(), CheckpointError> {
    if target::check_replaceable(dir).is_err() {
        return Ok(());
    }
    let unfinished = temporary::beside(dir);
    disk::rename(dir, &unfinished).map_err(CheckpointError::io("rename", dir))?;
    Ok(temporary::remove(&unfinished)?)
}

/// Removes what a crash left half written in `dir`.
///
/// # Errors
/// What the operating system reports.
pub fn remove_unfinished(dir: &Path) -> Result<(), CheckpointError> {
    Ok(temporary::remove_leftovers(dir)?)
}

impl From<FileError> for CheckpointError {
    fn from(FileError { action, path, source }: FileError) -> Self {
        Self::Io { action, path, source }
    }
}
