//! Names of files and folders that are not whole yet: `.NAME.maquette-PID-RANDOM.tmp`, beside `NAME`.
//!
//! Hidden, and with the program's name and sixteen random digits in them: no file of a user is called so. Whoever writes
//! under such a name holds a lock on it, so that what a kill left is told from what is being written.

use std::{
    fs::{self, File, TryLockError},
    hash::{BuildHasher as _, RandomState},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{FileError, disk};

const MARK: &str = ".maquette-";
const ENDING: &str = ".tmp";
const RANDOM_DIGITS: usize = 16;
/// Longest name of a file on the usual systems.
const MAX_NAME_BYTES: usize = 255;

/// A temporary name beside `path`; another one at each call.
pub fn beside(path: &Path) -> PathBuf {
    let random = RandomState::new().hash_one(std::process::id());
    let mark = format!("{MARK}{}-{random:016x}{ENDING}", std::process::id());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut longest = name.len().min(MAX_NAME_BYTES - 1 - mark.len());
    while !name.is_char_boundary(longest) {
        longest -= 1;
    }
    path.with_file_name(format!(".{}{mark}", &name[..longest]))
}

/// Whether [`beside`] made this name.
pub fn is_temporary(name: &str) -> bool {
    let Some((target, mark)) = name.rsplit_once(MARK) else { return false };
    let Some((pid, random)) = mark.strip_suffix(ENDING).and_then(|mark| mark.split_once('-')) else {
        return false;
    };
    target.starts_with('.')
        && !pid.is_empty()
        && pid.bytes().all(|digit| digit.is_ascii_digit())
        && random.len() == RANDOM_DIGITS
        && random.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// Takes the file or folder at `path` as the caller's own until the handle is dropped. Some network disks know no locks;
/// a folder cannot be opened everywhere.
pub fn hold(path: &Path) -> Option<File> {
    let file = File::open(path).ok()?;
    file.try_lock().is_ok().then_some(file)
}

/// What this process has not finished yet.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A temporary file or folder in the making: [`remove_unfinished`] removes it.
pub fn begin(path: &Path) {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
}

/// The file or folder at `path` is whole or gone.
pub fn end(path: &Path) {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| other != path);
}

/// Removes everything that this process has begun and not finished: right before it exits without coming back to it.
///
/// To be held until then: a writer must not go on and rename what was just removed.
#[must_use = "writers go on when it is dropped"]
pub fn remove_unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    let mut unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    for path in unfinished.drain(..) {
        // Nobody is left to tell.
        let _ = remove(&path);
    }
    unfinished
}

/// Removes what kills left under temporary names directly in `folder`. What another process is writing stays.
///
/// Only for folders that are the program's own.
///
/// # Errors
/// If the folder cannot be listed, or something in it cannot be removed.
pub fn remove_leftovers(folder: &Path) -> Result<(), FileError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(());
        }
        entries => entries.map_err(FileError::new("list", folder))?,
    };
    for entry in entries {
        let entry = entry.map_err(FileError::new("list", folder))?;
        if entry.file_name().to_str().is_some_and(is_temporary) && !is_held(&entry.path()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn is_held(path: &Path) -> bool {
    let is_locked = |file: File| matches!(file.try_lock(), Err(TryLockError::WouldBlock));
    File::open(path).is_ok_and(is_locked)
}

/// Removes a file, or a folder with all that is in it; nothing where there is none.
///
/// # Errors
/// What the operating system reports.
pub fn remove(path: &Path) -> Result<(), FileError> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
    match if is_folder { disk::remove_dir_all(path) } else { disk::remove_file(path) } {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::new("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hidden_and_never_the_same() {
        let (one, other) = (beside(Path::new("a/m.gguf")), beside(Path::new("a/m.gguf")));
        assert_ne!(one, other);
        assert_eq!(one.parent(), Some(Path::new("a")));
        let name = one.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with(".m.gguf.maquette-") && is_temporary(name), "{name}");
        for foreign in
            ["m.tmp", ".m.tmp", "step-8.tmp-12", ".m.maquette-1-.tmp", "a.maquette-1-0123456789abcdef.tmp"]
        {
            assert!(!is_temporary(foreign), "{foreign}");
        }
    }

    #[test]
    fn the_longest_name_has_a_temporary_one() {
        for name in ["n".repeat(255), "ü".repeat(127)] {
            let path = beside(Path::new(&name));
            assert!(path.as_os_str().len() <= MAX_NAME_BYTES, "{}", path.display());
            assert!(is_temporary(path.to_str().unwrap()));
        }
    }

    #[test]
    fn leftovers_go_and_everything_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (left, held) = (beside(&at("left")), beside(&at("held")));
        fs::create_dir(&left).unwrap();
        for path in [left.join("weights"), held.clone(), at("notes.tmp"), at("step-8.tmp-1")] {
            fs::write(path, "x").unwrap();
        }
        let lock = hold(&held).unwrap();
        remove_leftovers(folder.path()).unwrap();
        assert!(!left.exists() && held.exists() && at("notes.tmp").exists() && at("step-8.tmp-1").exists());
        drop(lock);
        remove_leftovers(folder.path()).unwrap();
        assert!(!held.exists());
        remove_leftovers(&at("no such folder")).unwrap();
    }

    #[test]
    fn what_is_not_finished_goes_with_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        crate::write(&at("finished"), b"x").unwrap();
        let file = crate::AtomicFile::create(&at("unfinished")).unwrap();
        let half = beside(&at("folder"));
        fs::create_dir(&half).unwrap();
        begin(&half);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
        drop(remove_unfinished());
        let left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["finished"]);
        drop(file);
    }
}
