//! Hash of a file's content.

use std::{fs::File, io::Read as _, path::Path};

use sha2::{Digest as _, Sha256};

use crate::FileError;

/// SHA-256 of a file in hex digits.
///
/// # Errors
/// If the file cannot be read.
pub fn sha256(path: &Path) -> Result<String, FileError> {
    let error = || FileError::new("read", path);
    let mut file = File::open(path).map_err(error())?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(error())? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            n_bytes => hash.update(&buffer[..n_bytes]),
        }
    }
}
