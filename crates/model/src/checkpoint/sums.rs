//! `SHA256SUMS`: what the files of a checkpoint were when it was written, as `sha256sum -c` reads it.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use super::{
    CheckpointError,
    files::{is_missing, write_file},
};

/// The list's own name.
pub(super) const SUMS: &str = "SHA256SUMS";

/// Small files that people change by hand. They say how a model is used, not what it is.
const EDITABLE: [&str; 4] =
    ["chat_template.jinja", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json"];

/// A line of the list.
pub(super) struct Entry {
    pub(super) file: PathBuf,
    sha256: String,
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// What the operating system reports.
pub fn sha256_of(path: &Path) -> Result<String, CheckpointError> {
    Ok(base::hash::sha256_of_file(path)?)
}

/// Checks every file against `SHA256SUMS`, where there is one. Those that people change by hand may differ: [`edited`]
/// names them. Lists of other programs name more than was copied and are written in several ways: there, what is missing
/// or not understood is passed over.
///
/// # Errors
/// If another file is missing or its content differs.
pub fn verify(dir: &Path) -> Result<(), CheckpointError> {
    let is_ours = is_ours(dir);
    for Entry { file, sha256 } in entries(dir)?.unwrap_or_default() {
        let path = dir.join(&file);
        if !is_editable(&file) && (is_ours || path.is_file()) {
            check(&path, sha256, sha256_of(&path)?)?;
        }
    }
    Ok(())
}

/// Files that [`verify`] accepts although they were changed or removed since the checkpoint was written.
///
/// # Errors
/// If `SHA256SUMS` or one of them cannot be read.
pub fn edited(dir: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let mut edited = Vec::new();
    for Entry { file, sha256 } in entries(dir)?.unwrap_or_default() {
        let path = dir.join(&file);
        if is_editable(&file) && !(path.exists() && sha256_of(&path)? == sha256) {
            edited.push(file);
        }
    }
    Ok(edited)
}

/// Checks the model at `source`, a folder or a file, against the `SHA256SUMS` that lies in or beside it.
///
/// # Errors
/// As [`verify`].
pub fn verify_source(source: &Path) -> Result<(), CheckpointError> {
    if source.is_dir() {
        return verify(source);
    }
    let dir = source.parent().unwrap_or(Path::new(""));
    // No text of that name is no list.
    let text = fs::read_to_string(dir.join(SUMS)).unwrap_or_default();
    let listed =
        text.lines().filter_map(entry).find(|entry| Some(entry.file.as_os_str()) == source.file_name());
    match listed {
        Some(Entry { sha256, .. }) if source.is_file() => check(source, sha256, sha256_of(source)?),
        _ => Ok(()),
    }
}

fn check(path: &Path, expected: String, found: String) -> Result<(), CheckpointError> {
    if expected == found {
        return Ok(());
    }
    Err(CheckpointError::Changed { path: path.to_owned(), expected, found, sums: path.with_file_name(SUMS) })
}

fn is_editable(file: &Path) -> bool {
    EDITABLE.iter().any(|name| file == Path::new(name))
}

/// Whether this program wrote the folder.
pub(super) fn is_ours(dir: &Path) -> bool {
    dir.join("maquette.json").is_file()
}

/// Every line of the list in `dir`; none where there is no list.
pub(super) fn entries(dir: &Path) -> Result<Option<Vec<Entry>>, CheckpointError> {
    let path = dir.join(SUMS);
    let text = match fs::read_to_string(&path) {
        // A folder from elsewhere brings none.
        Err(error) if is_missing(&error) => return Ok(None),
        text => text.map_err(CheckpointError::io("read", &path))?,
    };
    if !is_ours(dir) {
        return Ok(Some(text.lines().filter_map(entry).collect()));
    }
    let entries = text.lines().map(|line| {
        entry(line).ok_or_else(|| CheckpointError::Damaged {
            path: path.clone(),
            expected: "`hash  file`".into(),
            found: format!("`{line}`"),
        })
    });
    entries.collect::<Result<_, _>>().map(Some)
}

/// `hash  file`, or `hash *file`, of a file in the folder itself or below.
fn entry(line: &str) -> Option<Entry> {
    let (sha256, file) = line.split_once(' ')?;
    let file = Path::new(file.strip_prefix([' ', '*'])?);
    let is_hash = sha256.len() == 64 && sha256.bytes().all(|digit| digit.is_ascii_hexdigit());
    let is_below = file.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let file = file.strip_prefix(".").unwrap_or(file).to_owned();
    (is_hash && is_below).then(|| Entry { file, sha256: sha256.to_lowercase() })
}

/// Lists every file under `dir`.
pub(super) fn write(dir: &Path) -> Result<(), CheckpointError> {
    let mut sums = String::new();
    for file in files(dir)? {
        sums.push_str(&format!("{}  {}\n", sha256_of(&dir.join(&file))?, file.display()));
    }
    write_file(&dir.join(SUMS), sums.as_bytes())
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
