//! Files that are complete or absent.

use std::{
    fs::File,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::DataError;

/// Writes under a temporary name and renames, so that a kill leaves the old file or the new one.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), DataError> {
    let partial = partial_path(path);
    let mut file = File::create(&partial).map_err(DataError::io("create", &partial))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(DataError::io("write", &partial))?;
    std::fs::rename(&partial, path).map_err(DataError::io("rename", &partial))
}

/// The temporary name beside `path`.
pub(crate) fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// SHA-256 of a file in hex digits.
pub(crate) fn sha256(path: &Path) -> Result<String, DataError> {
    let mut file = File::open(path).map_err(DataError::io("read", path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer).map_err(DataError::io("read", path))? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            n_bytes => hash.update(&buffer[..n_bytes]),
        }
    }
}
