//! Read-only memory-mapped files: the one place in the workspace that maps a file.

use std::{fs::File, io, ops::Deref, path::Path};

/// A file's bytes as a slice, paged in by the operating system when touched.
///
/// ```
/// let path = std::env::temp_dir().join(format!("mapped-{}", std::process::id()));
/// std::fs::write(&path, b"four").unwrap();
/// let file = base::MappedFile::open(&path).unwrap();
/// assert_eq!(&file[..], b"four");
/// # std::fs::remove_file(&path).unwrap();
/// ```
#[derive(Debug)]
pub struct MappedFile(memmap2::Mmap);

impl MappedFile {
    /// Maps the whole file; an empty file is an empty slice.
    ///
    /// A file that another program shrinks or rewrites while it is mapped makes later reads fault or change, as in
    /// every program that maps files. Maquette writes its own under a temporary name and renames them.
    ///
    /// # Errors
    /// Whatever opening or mapping reports.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the mapping is read-only. That no other program writes the file meanwhile is what this function asks
        // of its callers: our own files are written once under another name and renamed.
        unsafe { memmap2::Mmap::map(&file) }.map(Self)
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
