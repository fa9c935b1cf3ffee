//! Why a file could not be read or written.

use std::{
    io::{Error, ErrorKind},
    path::{Path, PathBuf},
};

/// What was tried on which file, and what the operating system said.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`: {source}\nhint: {}", path.display(), hint(source))]
pub struct FileError {
    /// What was tried.
    pub action: &'static str,
    /// On which file.
    pub path: PathBuf,
    /// Why it failed.
    pub source: Error,
}

impl FileError {
    /// For `map_err`.
    pub fn new(action: &'static str, path: &Path) -> impl FnOnce(Error) -> Self {
        let path = path.to_owned();
        move |source| Self { action, path, source }
    }
}

fn hint(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => "check the path",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "choose a file in a folder that you may write to"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "free some space, then give the same command again"
        }
        ErrorKind::AlreadyExists => "move it away, or choose another name",
        _ => "choose another name, or move away what stands there",
    }
}
