//! Which folders a checkpoint may replace: its own kind, with nothing else in them.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use super::{
    CheckpointError, edited,
    sums::{self, SUMS},
    verify,
};

/// Names of foreign files that a message lists.
const MAX_NAMED: usize = 3;

/// Refuses a folder that a checkpoint made from `source` must not replace, before anything is computed: whatever is no
/// checkpoint, or holds other files, changed ones, or the state of a training; and what overlaps with the source.
///
/// # Errors
/// [`CheckpointError::Target`] with what stands there, or what the operating system reports.
pub fn check_target(dir: &Path, source: &Path) -> Result<(), CheckpointError> {
    let refuse = |found: &str, hint: &'static str| Err(refusal(dir, found.to_owned(), hint));
    let (target, source) = (absolute(dir)?, absolute(source)?);
    let hint = "choose a folder outside of the source with --out";
    if target == source {
        return refuse("the source itself", hint);
    } else if source.starts_with(&target) {
        return refuse("the source in it", hint);
    } else if target.starts_with(&source) {
        return refuse("a place inside the source", hint);
    }
    if std::env::current_dir().is_ok_and(|current| current.starts_with(&target)) {
        return refuse("the folder that you are in", "give a name, such as ./model");
    }
    check_replaceable(dir)?;
    if sums::entries(dir)?.is_some_and(|entries| entries.iter().any(|entry| entry.file.starts_with("state")))
    {
        let found = "a checkpoint from which a training goes on (`state/`)";
        return refuse(found, "choose another folder with --out, or delete this one");
    }
    let changed = match verify(dir) {
        Err(CheckpointError::Changed { path, .. }) => path.strip_prefix(dir).unwrap_or(&path).to_owned(),
        Err(error) if dir.exists() => return Err(error),
        _ => match edited(dir)?.into_iter().next() {
            Some(file) => file,
            None => return Ok(()),
        },
    };
    refuse(
        &format!("a checkpoint whose `{}` was changed since it was written", changed.display()),
        "choose another folder with --out, or move this one away",
    )
}

/// Refuses a folder that is neither empty nor a checkpoint with nothing else in it; does not look into its files.
pub(super) fn check_replaceable(dir: &Path) -> Result<(), CheckpointError> {
    let hint = "choose another folder with --out, or move away what stands there";
    let meta = match fs::metadata(dir) {
        Ok(meta) => meta,
        Err(_) if dir.is_symlink() => {
            return Err(refusal(dir, "a link that leads nowhere".into(), hint));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(CheckpointError::io("write", dir)(error)),
    };
    if !meta.is_dir() {
        let what = if meta.is_file() { "a file" } else { "a device or pipe" };
        return Err(refusal(dir, what.into(), hint));
    }
    let listed: Vec<PathBuf> = match sums::is_ours(dir) {
        true => sums::entries(dir)?.into_iter().flatten().map(|entry| entry.file).collect(),
        false => Vec::new(),
    };
    let mut foreign = Vec::new();
    // A checkpoint without its list cannot tell its files from others.
    find_foreign(dir, Path::new(""), &listed, &mut foreign)?;
    if foreign.is_empty() {
        return Ok(());
    }
    foreign.sort();
    let names: Vec<String> =
        foreign.iter().take(MAX_NAMED).map(|name| format!("`{}`", name.display())).collect();
    let more = foreign.len().saturating_sub(MAX_NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    Err(refusal(dir, format!("files that maquette did not write there: {}{more}", names.join(", ")), hint))
}

/// Adds what lies in the folder `below` of `dir` and is not listed.
fn find_foreign(
    dir: &Path,
    below: &Path,
    listed: &[PathBuf],
    foreign: &mut Vec<PathBuf>,
) -> Result<(), CheckpointError> {
    let path = dir.join(below);
    for entry in fs::read_dir(&path).map_err(CheckpointError::io("list", &path))? {
        let entry = entry.map_err(CheckpointError::io("list", &path))?;
        let file = below.join(entry.file_name());
        let kind = entry.file_type().map_err(CheckpointError::io("list", &path))?;
        if kind.is_dir() && listed.iter().any(|listed| listed.starts_with(&file)) {
            find_foreign(dir, &file, listed, foreign)?;
        } else if kind.is_dir() {
            foreign.push(file.join(""));
        } else if !(kind.is_file() && (listed.contains(&file) || is_list(&file, listed))) {
            foreign.push(file);
        }
    }
    Ok(())
}

fn is_list(file: &Path, listed: &[PathBuf]) -> bool {
    !listed.is_empty() && file == Path::new(SUMS)
}

fn refusal(dir: &Path, found: String, hint: &'static str) -> CheckpointError {
    CheckpointError::Target { path: dir.to_owned(), found, hint }
}

/// Without links and dots, as far as the path exists.
fn absolute(path: &Path) -> Result<PathBuf, CheckpointError> {
    let full = std::path::absolute(path).map_err(CheckpointError::io("find", path))?;
    let mut missing: Vec<OsString> = Vec::new();
    for folder in full.ancestors() {
        if let Ok(real) = fs::canonicalize(folder) {
            return Ok(missing.iter().rev().fold(real, |path, name| path.join(name)));
        }
        missing.extend(folder.file_name().map(OsString::from));
    }
    Ok(full)
}
