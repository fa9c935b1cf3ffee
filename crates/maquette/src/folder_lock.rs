//! Folders and files into which one program writes at a time.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use base::disk;

/// Held while a program writes into a folder.
pub(crate) const LOCK: &str = ".lock";

/// A folder, or a file, that is this program's alone while this lasts.
#[derive(Debug)]
pub(crate) struct FolderLock {
    path: PathBuf,
    _file: File,
}

impl FolderLock {
    /// Takes a folder, which is there, for this program alone, until it ends in whatever way.
    ///
    /// # Errors
    /// If another program has it, or nothing can be written there.
    pub(crate) fn take(dir: &Path) -> anyhow::Result<Self> {
        Self::at(dir.join(LOCK), dir)
    }

    /// As [`Self::take`], of a file and what is kept beside it; the file itself need not be there.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub(crate) fn of_file(file: &Path) -> anyhow::Result<Self> {
        let mut path = file.as_os_str().to_owned();
        path.push(LOCK);
        Self::at(path.into(), file)
    }

    fn at(path: PathBuf, owned: &Path) -> anyhow::Result<Self> {
        loop {
            let file = locked(&path, owned)?;
            // Whoever had it may have removed the file between the opening and the lock.
            if is_at(&file, &path) {
                return Ok(Self { path, _file: file });
            }
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // While the lock is held. Where open files cannot be removed, the mark stays.
        let _ = disk::remove_file(&self.path);
    }
}

/// The lock file at `path`, opened and held, for the folder or file `owned`.
///
/// # Errors
/// If another program holds it, or it cannot be made.
pub(crate) fn locked(path: &Path, owned: &Path) -> anyhow::Result<File> {
    let file = disk::open_or_create(path).with_context(|| {
        format!("cannot write `{}`\nhint: choose a folder that you may write to, with --out", path.display())
    })?;
    if let Err(fs::TryLockError::WouldBlock) = file.try_lock() {
        anyhow::bail!(
            "expected `{}` to be free, found that another maquette is using it\nhint: wait for it, or give another --out",
            owned.display()
        );
    }
    // Some network disks know no locks: better to run than to refuse.
    Ok(file)
}

/// Whether the file is the one at `path`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let there = fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    let own = file.metadata().map(|meta| (meta.dev(), meta.ino()));
    matches!((own, there), (Ok(own), Ok(there)) if own == there)
}

/// An open file is never removed there.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_program_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(dir.path()).unwrap();
        let error = FolderLock::take(dir.path()).unwrap_err().to_string();
        assert!(error.contains("another maquette is using it") && error.contains("hint:"), "{error}");
        drop(lock);
        assert!(cfg!(not(unix)) || !dir.path().join(LOCK).exists(), "no mark is left");
        // What a kill left is no obstacle.
        fs::write(dir.path().join(LOCK), b"").unwrap();
        FolderLock::take(dir.path()).unwrap();
        // Two files in one folder are no obstacle to each other.
        let [a, b] = ["a.json", "b.json"].map(|name| dir.path().join(name));
        let (_a, _b) = (FolderLock::of_file(&a).unwrap(), FolderLock::of_file(&b).unwrap());
        let error = FolderLock::of_file(&a).unwrap_err().to_string();
        assert!(error.contains("a.json` to be free") && !a.exists(), "{error}");
    }
}
