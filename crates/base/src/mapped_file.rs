//! Read-only memory-mapped files: the one place in the workspace that maps a file.

use std::{
    fs::File,
    io,
    ops::{Deref, Range},
    path::Path,
};

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

    /// Gives back the memory of a range that was read, where the operating system can; it is read from the file again when
    /// touched. What lies beyond the end is left out.
    pub fn release(&self, range: Range<usize>) {
        #[cfg(target_os = "linux")]
        {
            let (start, end) = (range.start.min(self.0.len()), range.end.min(self.0.len()));
            let n = end.saturating_sub(start);
            // SAFETY: a shared, read-only mapping of a file loses nothing: its pages come from the file again.
            // A refusal leaves the memory where it is.
            let _ = unsafe { self.0.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, n) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = range;
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_released_is_read_again() {
        let path = std::env::temp_dir().join(format!("released-{}", std::process::id()));
        let bytes: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = MappedFile::open(&path).unwrap();
        assert!(file[..] == bytes);
        for range in [5..70_001, 0..usize::MAX, 9..9, 200_000..300_000] {
            file.release(range);
            assert!(file[..] == bytes);
        }
        std::fs::remove_file(&path).unwrap();
    }
}
