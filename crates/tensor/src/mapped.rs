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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Tensor;

    #[test]
    fn a_mapped_tensor_is_read_in_place_and_copied_when_it_is_written() {
        let path = std::env::temp_dir().join(format!("mapped-tensor-{}", std::process::id()));
        let bytes: Vec<u8> = [1.0f32, 2.0, 3.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = Arc::new(MappedFile::open(&path).unwrap());
        let mapped = Tensor::mapped(&[2, 1], &file, 8..16).unwrap();
        assert_eq!(mapped.f32(), [3.0, 4.0]);
        assert_eq!(mapped.f32().as_ptr().addr(), file.as_ptr().addr() + 8, "nothing was copied");
        let mut written = mapped.clone();
        written.f32_mut()[0] = 7.0;
        assert_eq!((written.f32(), mapped.f32()), (&[7.0, 4.0][..], &[3.0, 4.0][..]));
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "the file stays as it was");
        assert!(Tensor::mapped(&[2, 1], &file, 6..14).is_none(), "not aligned");
        assert!(Tensor::mapped(&[2, 1], &file, 12..20).is_none(), "past the end");
        std::fs::remove_file(&path).unwrap();
    }
}
