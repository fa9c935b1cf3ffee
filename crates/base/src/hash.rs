//! Hashes: SHA-256 for what other programs check too, xxHash (XXH3) for what this one compares with what it wrote.

use std::{fs::File, io::Read as _, path::Path};

use sha2::Digest as _;
pub use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_128};

use crate::FileError;

/// SHA-256 of what is given piece by piece.
///
/// ```
/// let mut hash = base::hash::Sha256::new();
/// hash.update(b"a");
/// hash.update(b"bc");
/// assert_eq!(hash.finish(), base::hash::sha256(b"abc"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sha256(sha2::Sha256);

impl Sha256 {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash in hex digits.
    pub fn finish(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// SHA-256 in hex digits.
pub fn sha256(bytes: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(bytes);
    hash.finish()
}

/// SHA-256 of a file in hex digits.
///
/// # Errors
/// If the file cannot be read.
pub fn sha256_of_file(path: &Path) -> Result<String, FileError> {
    let error = || FileError::new("read", path);
    let mut file = File::open(path).map_err(error())?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(error())? {
            0 => return Ok(hash.finish()),
            n_bytes => hash.update(&buffer[..n_bytes]),
        }
    }
}

/// A hash of 128 bits in hex digits.
pub fn hex(digest: u128) -> String {
    format!("{digest:032x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From `sha256sum` and `xxh128sum`.
    #[test]
    fn hashes_are_those_of_other_programs() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), expected);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(sha256_of_file(&path).unwrap(), expected);
        assert_eq!(hex(xxh3_128(b"")), "99aa06d3014798d86001c324468d497f");
        assert_eq!(hex(1).len(), 32);
    }
}
