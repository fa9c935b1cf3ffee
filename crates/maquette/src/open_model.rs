//! A model that is named on the command line or in a recipe: which folder is meant, and what lies in it.
//!
//! A checkpoint's own folder is taken as it is. Of a run's folder, its `pretrain` or its `checkpoints`, the newest
//! checkpoint that is whole is taken, and stderr says which.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use data::Tokenizer;
use model::{
    Gpt,
    checkpoint::{self, CheckpointError},
};
use tensor::{DType, Kernels};

use crate::{edits, output};

/// A checkpoint that was opened.
pub(crate) struct Opened {
    /// Its own folder.
    pub(crate) dir: PathBuf,
    pub(crate) gpt: Gpt,
    pub(crate) tokenizer: Tokenizer,
}

/// Opens the model that `path` means, with its tokenizer, ready to decode.
///
/// # Errors
/// If there is none, it is damaged, or the tokenizer is not the one that it was trained with.
pub(crate) fn open(path: &Path, kernels: &dyn Kernels, dtype: DType) -> anyhow::Result<Opened> {
    let (dir, (gpt, tokenizer)) = newest(path, |dir| {
        let gpt = checkpoint::read_model(dir).map_err(|error| foreign(dir, error))?;
        let tokenizer = tokenizer_of(dir, gpt.config().vocab_size)?;
        Ok((gpt, tokenizer))
    })?;
    let mut gpt = gpt.with_dtype(dtype);
    gpt.pack(kernels);
    Ok(Opened { dir, gpt, tokenizer })
}

/// The weights of the model that `path` means, and the folder of its checkpoint.
///
/// # Errors
/// If there is none, or it is damaged.
pub(crate) fn read(path: &Path) -> anyhow::Result<(PathBuf, Gpt)> {
    newest(path, |dir| checkpoint::read_model(dir).map_err(|error| foreign(dir, error)))
}

/// The folder of the checkpoint that `path` means; every file in it is what was written.
///
/// # Errors
/// If there is none, or none that is whole.
pub(crate) fn locate(path: &Path) -> anyhow::Result<PathBuf> {
    let whole = |dir: &Path| -> anyhow::Result<()> {
        checkpoint::read_config(dir).map_err(|error| foreign(dir, error))?;
        Ok(checkpoint::verify(dir)?)
    };
    Ok(newest(path, whole)?.0)
}

/// Whether `path` is not a checkpoint but has some below it.
pub(crate) fn is_run(path: &Path) -> bool {
    !is_checkpoint(path) && checkpoints_of(path).is_some()
}

/// The tokenizer beside a model with `n_rows` rows of vocabulary, checked against what the model was trained with.
///
/// # Errors
/// If it is missing, damaged, or another one.
pub(crate) fn tokenizer_of(dir: &Path, n_rows: usize) -> anyhow::Result<Tokenizer> {
    let tokenizer = Tokenizer::load(dir)?;
    if let Some(about) = checkpoint::read_about(dir)? {
        anyhow::ensure!(
            about.tokenizer_fingerprint == tokenizer.fingerprint(),
            "`{}` was trained with tokenizer {}, found {} beside it\nhint: put back the tokenizer.json that the run wrote",
            dir.display(),
            about.tokenizer_fingerprint,
            tokenizer.fingerprint()
        );
    }
    let n_tokens = tokenizer.vocab_size();
    anyhow::ensure!(
        n_tokens <= n_rows,
        "the tokenizer has {n_tokens} tokens, the model {n_rows}\nhint: put back the tokenizer.json that the run wrote"
    );
    Ok(tokenizer)
}

/// Reads the checkpoint that `path` means, or of a run the newest that can be read.
fn newest<T>(path: &Path, read: impl Fn(&Path) -> anyhow::Result<T>) -> anyhow::Result<(PathBuf, T)> {
    if is_checkpoint(path) {
        let found = read(path)?;
        edits::say(path)?;
        return Ok((path.to_owned(), found));
    }
    let folder = checkpoints_of(path).with_context(|| NoModel::at(path).to_string())?;
    let mut first_error = None;
    // A run that goes on removes its old checkpoints, perhaps between the list and the look.
    for _ in 0..MAX_LISTS {
        let steps = steps(&folder);
        let mut vanished = false;
        for step in steps.iter().rev() {
            let dir = folder.join(format!("step-{step}"));
            match read(&dir) {
                Ok(found) => {
                    let note = match &first_error {
                        None => "newest".to_owned(),
                        Some(error) => format!("the newest intact one: {}", first_line(error)),
                    };
                    output::talk(format_args!("checkpoint: {} ({note})", dir.display()));
                    edits::say(&dir)?;
                    return Ok((dir, found));
                }
                Err(_) if !dir.exists() => vanished = true,
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        if !vanished {
            break;
        }
    }
    match first_error {
        Some(error) => Err(error.context(format!("no checkpoint in `{}` can be read", folder.display()))),
        None => Err(anyhow::anyhow!("{}", NoModel::NoCheckpointYet(path.to_owned()))),
    }
}

/// How often a folder whose checkpoints vanish while they are read is listed again.
const MAX_LISTS: usize = 3;

fn first_line(error: &anyhow::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Whether the folder itself holds a model.
fn is_checkpoint(dir: &Path) -> bool {
    ["config.json", "model.safetensors", "maquette.json"].iter().any(|file| dir.join(file).is_file())
}

/// The folder of checkpoints that `path` means: of a run, of its `pretrain`, or itself.
fn checkpoints_of(path: &Path) -> Option<PathBuf> {
    let below = ["pretrain/checkpoints", "checkpoints"].map(|name| path.join(name));
    if let Some(folder) = below.into_iter().find(|folder| folder.is_dir()) {
        return Some(folder);
    }
    let is_named_so = path.file_name() == Some(OsStr::new("checkpoints")) && path.is_dir();
    (is_named_so || !steps(path).is_empty()).then(|| path.to_owned())
}

/// Steps of the checkpoints in a folder, ascending; unfinished ones have another name.
fn steps(folder: &Path) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut steps: Vec<u64> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix("step-")?.parse().ok())
        .collect();
    steps.sort_unstable();
    steps
}

/// The error, with what to do where another program wrote the folder.
fn foreign(dir: &Path, error: CheckpointError) -> anyhow::Error {
    let is_foreign = dir.join("config.json").is_file() && !dir.join("maquette.json").is_file();
    match error {
        error @ (CheckpointError::Missing { .. } | CheckpointError::Unsupported { .. }) if is_foreign => {
            anyhow::Error::new(error).context(format!(
                "`{}` is a folder of another program\nhint: `maquette import {} --out FOLDER` makes a checkpoint of it, or says why not",
                dir.display(),
                output::shell_word(dir)
            ))
        }
        error => error.into(),
    }
}

/// Why nothing could be opened at a path.
enum NoModel {
    /// No such file or folder.
    Nothing(PathBuf),
    /// A name such as the Hugging Face hub has.
    HubName(String),
    /// A file of another program.
    Gguf(PathBuf),
    /// The weights without their folder.
    File(PathBuf),
    /// A recipe.
    Recipe(PathBuf),
    /// A run that has saved nothing so far.
    NoCheckpointYet(PathBuf),
    /// A folder with something else in it.
    Folder(PathBuf),
}

impl NoModel {
    fn at(path: &Path) -> Self {
        let here = path.to_owned();
        let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
        if path.is_dir() {
            let is_run = path.join("recipe.toml").is_file() || path.join("tokenizer").is_dir();
            return if is_run { Self::NoCheckpointYet(here) } else { Self::Folder(here) };
        }
        match (path.exists(), ending.as_str()) {
            (true, "gguf") => Self::Gguf(here),
            (true, "toml") => Self::Recipe(here),
            (true, _) => Self::File(here),
            (false, _) => match hub_name(path) {
                Some(name) => Self::HubName(name),
                None => Self::Nothing(here),
            },
        }
    }
}

/// The path as a name of the hub, `model` or `owner/model`, if it can be one and nothing here is meant.
fn hub_name(path: &Path) -> Option<String> {
    let name = path.to_str()?;
    let parts: Vec<&str> = name.split('/').collect();
    let is_plain = |part: &&str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let is_name = matches!(parts.len(), 1 | 2) && parts.iter().all(is_plain);
    // A model's name has a number in it (`gpt2`, `Qwen3-0.6B`); an owner is no folder here.
    let owner_is_here = parts.len() == 2 && Path::new(parts[0]).exists();
    let looks_so =
        if parts.len() == 2 { parts[0] != "runs" } else { name.contains(|c: char| c.is_ascii_digit()) };
    (is_name && !owner_is_here && looks_so && !name.starts_with("step-")).then(|| name.to_owned())
}

impl std::fmt::Display for NoModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing(path) => {
                write!(
                    f,
                    "expected a checkpoint or the folder of a run at `{}`, found nothing there\nhint: {}",
                    path.display(),
                    known_runs()
                )
            }
            Self::HubName(name) => {
                let folder = name.rsplit('/').next().unwrap_or(name);
                write!(
                    f,
                    "expected a checkpoint or the folder of a run at `{name}`, found nothing there\n\
                     hint: names of the Hugging Face hub are not looked up: `hf download {name} --local-dir {folder}` \
                     fetches a model, `maquette import {folder} --out {folder}-imported` makes a checkpoint of it"
                )
            }
            Self::Gguf(path) => write!(
                f,
                "expected a checkpoint or the folder of a run, `{}` is a file of llama.cpp\n\
                 hint: `maquette import {} --out FOLDER` makes a checkpoint of it",
                path.display(),
                output::shell_word(path)
            ),
            Self::Recipe(path) => write!(
                f,
                "expected a checkpoint or the folder of a run, `{}` is a recipe\n\
                 hint: `maquette run {}` trains its model; then give the folder of the run",
                path.display(),
                output::shell_word(path)
            ),
            Self::File(path) => write!(
                f,
                "expected a checkpoint or the folder of a run, `{}` is a file\nhint: give the folder that it lies in",
                path.display()
            ),
            Self::NoCheckpointYet(path) => write!(
                f,
                "the run in `{}` has no checkpoint yet\n\
                 hint: wait until its training has saved one, or give its `maquette run` command again",
                path.display()
            ),
            Self::Folder(path) => write!(
                f,
                "expected a checkpoint or the folder of a run at `{}`, found neither `config.json` nor `pretrain/checkpoints`\n\
                 hint: {}",
                path.display(),
                known_runs()
            ),
        }
    }
}

/// What can be given instead: the runs in `runs/`, or how one is made.
pub(crate) fn known_runs() -> String {
    let runs = fs::read_dir("runs").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut runs: Vec<String> = runs
        .filter(|run| checkpoints_of(run).is_some_and(|folder| !steps(&folder).is_empty()))
        .map(|run| output::shell_word(&run))
        .collect();
    runs.sort();
    let n_more = runs.len().saturating_sub(MAX_RUNS_NAMED);
    runs.truncate(MAX_RUNS_NAMED);
    match (runs.is_empty(), n_more) {
        (true, _) => {
            "give a folder such as runs/NAME, which `maquette run` or `maquette quickstart` makes".into()
        }
        (false, 0) => format!("runs with a model here: {}", runs.join(", ")),
        (false, n) => format!("runs with a model here: {} and {n} more", runs.join(", ")),
    }
}

const MAX_RUNS_NAMED: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_hub_are_told_from_slips() {
        for name in ["gpt2", "HuggingFaceTB/SmolLM2-135M", "Qwen3-0.6B", "meta-llama/Llama-3.2-1B"] {
            assert_eq!(hub_name(Path::new(name)).as_deref(), Some(name));
        }
        for path in ["runs/mine2", "mine", "./gpt2", "/models/gpt2", "a/b/c2", "src/gpt2", "step-600", ""] {
            assert_eq!(hub_name(Path::new(path)), None, "{path}");
        }
    }

    #[test]
    fn a_folder_of_checkpoints_is_found_from_any_of_its_parents() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = dir.path().join("pretrain/checkpoints");
        fs::create_dir_all(checkpoints.join("step-20")).unwrap();
        fs::create_dir_all(checkpoints.join("step-3.tmp-77")).unwrap();
        fs::create_dir_all(checkpoints.join("step-100")).unwrap();
        for path in [dir.path(), &dir.path().join("pretrain"), &checkpoints] {
            assert_eq!(checkpoints_of(path).unwrap(), checkpoints);
        }
        assert_eq!(steps(&checkpoints), [20, 100]);
        assert_eq!(checkpoints_of(&checkpoints.join("step-20")), None);
    }
}
