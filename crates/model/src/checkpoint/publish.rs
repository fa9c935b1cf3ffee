//! Folders that appear whole or not at all.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::CheckpointError;

const SUMS: &str = "SHA256SUMS";
/// Marks a folder that is being written; its process id follows.
const UNFINISHED: &str = ".tmp-";

/// Makes the folder `dir`: `fill` writes into a temporary one beside it, which is checksummed, flushed to disk and
/// renamed. A crash at any moment leaves either the whole folder or one that [`remove_unfinished`] clears away.
///
/// An existing `dir` is replaced.
///
/// # Errors
/// What `fill` returns, or what the operating system reports.
pub fn publish<E: From<CheckpointError>>(
    dir: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let unfinished = unfinished_name(dir);
    let parent = dir.parent().unwrap_or(Path::new("."));
    let make = || -> Result<(), E> {
        clear(&unfinished)?;
        fs::create_dir_all(&unfinished).map_err(CheckpointError::io("create", &unfinished))?;
        fill(&unfinished)?;
        write_sums(&unfinished)?;
        sync_dir(&unfinished)?;
        // The old one keeps its name until the new one is whole, and is never half of itself under that name.
        let replaced =
            dir.exists().then(|| dir.with_extension(format!("old{UNFINISHED}{}", std::process::id())));
        if let Some(replaced) = &replaced {
            clear(replaced)?;
            fs::rename(dir, replaced).map_err(CheckpointError::io("rename", dir))?;
        }
        fs::rename(&unfinished, dir).map_err(CheckpointError::io("rename", &unfinished))?;
        sync_dir(parent)?;
        if let Some(replaced) = &replaced {
            clear(replaced)?;
        }
        Ok(())
    };
    let result = make();
    if result.is_err() {
        // The first error is the one to report; what is left is cleared at the next start at the latest.
        let _ = fs::remove_dir_all(&unfinished);
    }
    result
}

fn unfinished_name(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(format!("{UNFINISHED}{}", std::process::id()));
    dir.with_file_name(name)
}

/// Removes a folder that [`publish`] made. It loses its name first: a crash leaves no half of it under that name.
///
/// # Errors
/// What the operating system reports.
pub fn remove(dir: &Path) -> Result<(), CheckpointError> {
    let unfinished = unfinished_name(dir);
    fs::rename(dir, &unfinished).map_err(CheckpointError::io("rename", dir))?;
    clear(&unfinished)
}

/// Removes what a crash left half written in `dir`.
///
/// # Errors
/// What the operating system reports.
pub fn remove_unfinished(dir: &Path) -> Result<(), CheckpointError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(CheckpointError::io("list", dir))?,
    };
    for entry in entries {
        let entry = entry.map_err(CheckpointError::io("list", dir))?;
        if entry.file_name().to_string_lossy().contains(UNFINISHED) {
            clear(&entry.path())?;
        }
    }
    Ok(())
}

fn clear(path: &Path) -> Result<(), CheckpointError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(CheckpointError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Writes a file and flushes it to disk.
///
/// # Errors
/// What the operating system reports.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(CheckpointError::io("write", path))
}

pub(super) fn sync_file(path: &Path) -> Result<(), CheckpointError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(CheckpointError::io("flush", path))
}

/// Flushes a folder's list of names to disk, where the system can.
///
/// # Errors
/// What the operating system reports.
pub fn sync_dir(path: &Path) -> Result<(), CheckpointError> {
    if cfg!(unix) {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        sync_file(path)?;
    }
    Ok(())
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// What the operating system reports.
pub fn sha256_of(path: &Path) -> Result<String, CheckpointError> {
    let io = || CheckpointError::io("read", path);
    let mut file = File::open(path).map_err(io())?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer).map_err(io())?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Files under `dir`, relative to it, sorted.
fn files(dir: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = dir.join(&folder);
        for entry in fs::read_dir(&path).map_err(CheckpointError::io("list", &path))? {
            let entry = entry.map_err(CheckpointError::io("list", &path))?;
            let relative = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(relative);
            } else {
                found.push(relative);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn write_sums(dir: &Path) -> Result<(), CheckpointError> {
    let mut sums = String::new();
    for file in files(dir)? {
        sums.push_str(&format!("{}  {}\n", sha256_of(&dir.join(&file))?, file.display()));
    }
    write_file(&dir.join(SUMS), sums.as_bytes())
}

/// Checks every file against `SHA256SUMS`, where there is one.
///
/// # Errors
/// If a file is missing or its content differs.
pub fn verify(dir: &Path) -> Result<(), CheckpointError> {
    let path = dir.join(SUMS);
    let sums = match fs::read_to_string(&path) {
        // A folder from elsewhere brings none.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        sums => sums.map_err(CheckpointError::io("read", &path))?,
    };
    for line in sums.lines() {
        let Some((expected, file)) = line.split_once("  ") else {
            let (expected, found) = ("`hash  file`".to_owned(), format!("`{line}`"));
            return Err(CheckpointError::Damaged { path, expected, found });
        };
        let file = dir.join(file);
        let found = sha256_of(&file)?;
        if found != expected {
            let expected = format!("SHA-256 {expected}");
            return Err(CheckpointError::Damaged { path: file, expected, found });
        }
    }
    Ok(())
}
