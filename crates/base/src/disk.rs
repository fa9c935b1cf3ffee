//! Every change that this program makes to a disk, so that each can be made to fail.
//!
//! The functions are those of [`std::fs`] with one more thing: in builds with debug assertions they are counted, and the
//! environment variable `MAQUETTE_FAULT` says what happens at one of them:
//!
//! | value | what happens |
//! |---|---|
//! | `kill:17` | the process dies right before its 17th operation |
//! | `torn:17` | it dies in the 17th: half of the bytes are written; what cannot be halved is done |
//! | `eio:17` | the 17th fails with EIO |
//! | `enospc:17` | from the 17th on, whatever needs space fails with ENOSPC |
//! | `log:FILE` | nothing; every operation becomes a line of FILE |

mod fault;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    path::Path,
};

use fault::{Fate, Need};

/// Opens a new file for reading and writing.
///
/// # Errors
/// If there is something of that name, or what the operating system reports.
pub fn create_new(path: &Path) -> io::Result<File> {
    change("create", path, Need::Space, || {
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    })
}

/// As [`File::create`]: for files in a folder that has no name yet.
///
/// # Errors
/// What the operating system reports.
pub fn create(path: &Path) -> io::Result<File> {
    change("create", path, Need::Space, || File::create(path))
}

/// Opens a file for writing, with what it holds; makes it, if it is not there.
///
/// # Errors
/// What the operating system reports.
pub fn open_or_create(path: &Path) -> io::Result<File> {
    change("open", path, Need::Space, || {
        OpenOptions::new().create(true).truncate(false).write(true).open(path)
    })
}

/// Opens a file for appending; makes it, if it is not there.
///
/// # Errors
/// What the operating system reports.
pub fn append_to(path: &Path) -> io::Result<File> {
    change("append", path, Need::Space, || OpenOptions::new().create(true).append(true).open(path))
}

/// Writes all bytes where the file stands.
///
/// # Errors
/// What the operating system reports.
pub fn write_all(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    match fault::next("write", Path::new(""), Need::Space)? {
        Fate::Whole => file.write_all(bytes),
        Fate::Torn => {
            let _ = file.write_all(&bytes[..bytes.len() / 2]);
            std::process::abort()
        }
    }
}

/// Cuts a file to `n_bytes`.
///
/// # Errors
/// What the operating system reports.
pub fn set_len(file: &File, n_bytes: u64) -> io::Result<()> {
    change("cut", Path::new(""), Need::Nothing, || file.set_len(n_bytes))
}

/// Flushes a file to disk.
///
/// # Errors
/// What the operating system reports.
pub fn sync(file: &File) -> io::Result<()> {
    change("flush", Path::new(""), Need::Space, || file.sync_all())
}

/// Flushes a file to disk, but for what only says when it was written.
///
/// # Errors
/// What the operating system reports.
pub fn sync_data(file: &File) -> io::Result<()> {
    change("flush", Path::new(""), Need::Space, || file.sync_data())
}

/// Flushes a folder's list of names to disk, where the system can.
///
/// # Errors
/// What the operating system reports.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let sync = || File::open(folder).and_then(|folder| folder.sync_all());
    match change("flush", folder, Need::Nothing, sync) {
        // Some disks cannot, and a folder may be closed to readers.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::InvalidInput | ErrorKind::Unsupported | ErrorKind::PermissionDenied
            ) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

/// As [`fs::create_dir`].
///
/// # Errors
/// What the operating system reports.
pub fn create_dir(path: &Path) -> io::Result<()> {
    change("create folder", path, Need::Space, || fs::create_dir(path))
}

/// As [`fs::create_dir_all`].
///
/// # Errors
/// What the operating system reports.
pub fn create_dir_all(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        let is_missing = |error: io::Error| error.kind() == ErrorKind::NotFound;
        if !parent.as_os_str().is_empty() && fs::metadata(parent).is_err_and(is_missing) {
            create_dir_all(parent)?;
        }
    }
    match create_dir(path) {
        // Another thread was faster.
        Err(_) if path.is_dir() => Ok(()),
        made => made,
    }
}

/// As [`fs::rename`].
///
/// # Errors
/// What the operating system reports.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    change("rename", to, Need::Nothing, || fs::rename(from, to))
}

/// As [`fs::hard_link`].
///
/// # Errors
/// What the operating system reports.
pub fn hard_link(from: &Path, to: &Path) -> io::Result<()> {
    change("link", to, Need::Space, || fs::hard_link(from, to))
}

/// As [`fs::remove_file`].
///
/// # Errors
/// What the operating system reports.
pub fn remove_file(path: &Path) -> io::Result<()> {
    change("remove", path, Need::Nothing, || fs::remove_file(path))
}

/// As [`fs::remove_dir`].
///
/// # Errors
/// What the operating system reports.
pub fn remove_dir(path: &Path) -> io::Result<()> {
    change("remove folder", path, Need::Nothing, || fs::remove_dir(path))
}

/// As [`fs::remove_dir_all`]: links in the folder are removed, not followed. Another program may remove from it meanwhile.
///
/// # Errors
/// What the operating system reports.
pub fn remove_dir_all(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let removed = match entry.file_type()?.is_dir() {
            true => remove_dir_all(&entry.path()),
            false => remove_file(&entry.path()),
        };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    remove_dir(path)
}

fn change<T>(
    what: &str,
    path: &Path,
    need: Need,
    operation: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    match fault::next(what, path, need)? {
        Fate::Whole => operation(),
        Fate::Torn => {
            let _ = operation();
            std::process::abort()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_and_removed_with_all_that_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        create_dir_all(&at("a/b/c")).unwrap();
        create_dir_all(&at("a/b")).unwrap();
        fs::write(at("file"), "x").unwrap();
        assert_eq!(create_dir_all(&at("file/d")).unwrap_err().kind(), ErrorKind::NotADirectory);
        assert_eq!(create_dir_all(&at("file")).unwrap_err().kind(), ErrorKind::AlreadyExists);
        fs::write(at("a/b/c/file"), "x").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path(), at("a/link")).unwrap();
        remove_dir_all(&at("a")).unwrap();
        assert!(!at("a").exists() && at("file").exists());
        assert_eq!(remove_dir_all(&at("a")).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
