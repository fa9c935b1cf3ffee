//! Read-only memory-mapped files: the one place in the workspace that maps a file.

use std::{fs::File, io, ops::Deref, path::Path};

/// A file's bytes as a slice, paged in by the operating system when touched.
///
/// ```
/// let path = std::env::temp_dir().join(format!("mapped-{}", std::process::id()));
/// std::fs::write(&path, b"four").unwrap();
/// let file = tensor::MappedFile::open(&path).unwrap();
/// assert_eq!(&file[..], b"four");
/// # std::fs::remove_file(&path).unwrap();
/// ```
#[derive(Debug)]
pub struct MappedFile(memmap2::Mmap);

impl MappedFile {
    /// Maps the whole file; an empty file is an empty slice.
    ///
    /// A file that shrinks while it is mapped makes later reads fault, as in every program that maps files.
    /// Maquette writes such files under a temporary name and renames them, so its own never shrink.
    ///
    /// # Errors
    /// Whatever opening or mapping reports.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the mapping is private to this process and read-only; the files mapped are written once
        // under another name and renamed, so nothing truncates or writes them while they are mapped.
        unsafe { memmap2::Mmap::map(&file) }.map(Self)
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
