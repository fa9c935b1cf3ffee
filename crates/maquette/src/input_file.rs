//! A file that a user names for input.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

/// Longest file that is taken for a table or a seal.
const MAX_BYTES: u64 = 1 << 28;

/// A whole file, which may be a pipe; a device that never ends is not read to its end.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("more than {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}
