//! Files that are complete or absent.

use std::path::Path;

use base::FileError;

use crate::DataError;

/// Writes under a temporary name and renames, so that a kill leaves the old file or the new one.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), DataError> {
    Ok(base::write(path, content)?)
}

/// SHA-256 of a file in hex digits.
pub(crate) fn sha256(path: &Path) -> Result<String, DataError> {
    Ok(base::hash::sha256_of_file(path)?)
}

impl From<FileError> for DataError {
    fn from(FileError { action, path, source }: FileError) -> Self {
        Self::Io { action, path, source }
    }
}
