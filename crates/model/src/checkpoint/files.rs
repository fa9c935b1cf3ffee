//! Files and folders of a checkpoint on disk.

use std::{io::ErrorKind, path::Path};

use base::disk;

use super::CheckpointError;

/// Writes a file into a folder that nobody else sees yet, and flushes it to disk.
///
/// # Errors
/// What the operating system reports.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let write = || {
        let mut file = disk::create(path)?;
        disk::write_all(&mut file, bytes)?;
        disk::sync(&file)
    };
    write().map_err(CheckpointError::io("write", path))
}

/// Flushes a folder's list of names to disk, where the system can.
///
/// # Errors
/// What the operating system reports.
pub fn sync_dir(path: &Path) -> Result<(), CheckpointError> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    disk::sync_folder(path).map_err(CheckpointError::io("flush", path))
}

/// Whether a folder or file is not there, as far as one can know.
pub(super) fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
