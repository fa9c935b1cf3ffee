//! Checkpoints: Hugging Face model folders that `transformers` opens as they are.
//!
//! A folder holds `config.json`, `generation_config.json`, `model.safetensors` (f32), `maquette.json` (our format's
//! version), the tokenizer's files, `SHA256SUMS` over all of them (`sha256sum -c` reads it) and, where
//! training goes on, a folder `state/`. It is written under a temporary, hidden name and renamed when it is whole, so
//! a folder that is seen was finished.

mod adapter;
mod config;
mod fields;
mod files;
mod import;
mod keys;
mod llava;
mod peft;
mod publish;
mod rope;
mod scorer;
mod sums;
mod target;
mod weights;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{ConfigError, Gpt, ModelConfig};

pub use files::{sync_dir, write_file};
pub use import::{import_folder, import_gguf, read_foreign_config};
pub use llava::{PROCESSOR_FILES, write_processor, write_processor_like};
pub use peft::{merge_peft, write_peft};
pub use publish::{publish, remove, remove_unfinished};
pub use scorer::{SCORE, read_scorer, write_scorer};
pub use sums::{edited, sha256_of, verify, verify_source};
pub use target::check_target;
pub(crate) use weights::WeightFile;
pub use weights::{LOGITS, read_tensors, write_logits, write_tensors};

/// Version of our part of the format; a checkpoint of another version is refused.
pub const FORMAT: u32 = 1;

/// Why a checkpoint was refused: what was expected, what was found, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The operating system refused.
    #[error("cannot {action} `{}`: {source}\nhint: {}", path.display(), io_hint(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// No checkpoint there.
    #[error(
        "expected a checkpoint at `{path}`, found no `{missing}` there\nhint: name a folder such as `runs/NAME/pretrain/checkpoints/step-N`"
    )]
    Missing {
        /// The folder.
        path: PathBuf,
        /// What it lacks.
        missing: &'static str,
    },
    /// Written by another version.
    #[error(
        "`{path}` has format {found}, this build reads {FORMAT}\nhint: use the version of maquette that wrote it ({version})"
    )]
    Format {
        /// The file that says so.
        path: PathBuf,
        /// The version it names.
        found: u32,
        /// Who wrote it.
        version: String,
    },
    /// A file's content is not what was written.
    #[error(
        "`{path}` is damaged: expected {expected}, found {found}\nhint: take an earlier checkpoint, or copy this one again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is.
        found: String,
    },
    /// A file is not the one that was written.
    #[error(
        "`{path}` is damaged: expected SHA-256 {expected}, found {found}\nhint: take an earlier checkpoint, or copy this one again; if you changed it on purpose, delete its line in `{sums}`"
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// Its hash when it was written.
        expected: String,
        /// Its hash now.
        found: String,
        /// The list that says so.
        sums: PathBuf,
    },
    /// Something that a checkpoint must not replace.
    #[error("expected nothing, or a checkpoint of maquette alone, at `{path}`, found {found}\nhint: {hint}")]
    Target {
        /// The folder.
        path: PathBuf,
        /// What stands there.
        found: String,
        /// What to do.
        hint: &'static str,
    },
    /// A model that this build does not compute.
    #[error(
        "`{path}`: {what} is {found}, this build computes {expected}\nhint: only such models are supported"
    )]
    Unsupported {
        /// The file that says so.
        path: PathBuf,
        /// Which property.
        what: String,
        /// Its value.
        found: String,
        /// What would do.
        expected: String,
    },
    /// A tensor of another shape.
    #[error(
        "tensor `{name}` is {found:?}, the config wants {expected:?}\nhint: was this saved with another config?"
    )]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The config's.
        expected: Vec<usize>,
    },
    /// Tensors are missing or too many.
    #[error("`{path}` {problem} tensor `{name}`\nhint: was this saved with another config?")]
    Tensors {
        /// The file.
        path: PathBuf,
        /// `lacks` or `holds the unknown`.
        problem: &'static str,
        /// The tensor.
        name: String,
    },
    /// A weight that is not a number.
    #[error(
        "tensor `{name}` holds {value} at {index}, expected finite numbers\nhint: the run that wrote it diverged; take an earlier checkpoint"
    )]
    NotFinite {
        /// The tensor.
        name: String,
        /// The value.
        value: f32,
        /// Where it stands.
        index: usize,
    },
    /// A shape that cannot be built.
    #[error("`{path}`: {source}")]
    Config {
        /// The file.
        path: PathBuf,
        /// The rule that it breaks.
        source: ConfigError,
    },
}

fn io_hint(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "check the path",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "choose a folder that you may write to, with --out"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "free some space, then give the same command again: finished checkpoints are kept"
        }
        _ => "check the disk and the path, then give the same command again",
    }
}

impl CheckpointError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// What `maquette.json` says of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// Version of the writer.
    pub maquette_version: String,
    /// Hash over the tokenizer's vocabulary, merges and special tokens.
    pub tokenizer_fingerprint: String,
}

/// Ids that generation needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecialIds {
    /// Begins a text, where the model wants that.
    pub bos: Option<u32>,
    /// Each ends an answer; the first ends a text.
    pub eos: Vec<u32>,
    /// Fills up what is too short, where it is not the end of a text.
    pub pad: Option<u32>,
}

/// Writes the model's files into `dir`, which [`publish`] made.
///
/// # Errors
/// If a file cannot be written.
pub fn write_model(
    dir: &Path,
    gpt: &Gpt,
    ids: &SpecialIds,
    tokenizer_fingerprint: &str,
) -> Result<(), CheckpointError> {
    write_description(dir, gpt.config(), ids, "float32", tokenizer_fingerprint)?;
    // What was added to the model, such as adapters, no other program would find in it.
    let own: BTreeSet<String> = gpt.config().params().into_iter().map(|spec| spec.name).collect();
    let named = gpt.specs().iter().zip(gpt.params()).filter(|(spec, _)| own.contains(&spec.name));
    let stored = named.map(|(spec, param)| (spec.name.clone(), param.reshaped(spec.stored_shape())));
    let unused = gpt.config().vision.iter().flat_map(llava::unused);
    let tensors: Vec<(String, tensor::Tensor)> = stored.chain(unused).collect();
    write_tensors(&dir.join("model.safetensors"), tensors.iter().map(|(name, tensor)| (name.clone(), tensor)))
}

/// All of a model's files but its weights, which are stored in `dtype`.
pub(crate) fn write_description(
    dir: &Path,
    config: &ModelConfig,
    ids: &SpecialIds,
    dtype: &str,
    tokenizer_fingerprint: &str,
) -> Result<(), CheckpointError> {
    let config = config::to_hugging_face(config, ids, dtype);
    write_about(dir, tokenizer_fingerprint)?;
    write_file(&dir.join("config.json"), &to_json(&config))?;
    write_special_ids(dir, ids)
}

/// Writes `maquette.json`.
fn write_about(dir: &Path, tokenizer_fingerprint: &str) -> Result<(), CheckpointError> {
    let about = About {
        format: FORMAT,
        maquette_version: env!("CARGO_PKG_VERSION").into(),
        tokenizer_fingerprint: tokenizer_fingerprint.into(),
    };
    write_file(&dir.join("maquette.json"), &to_json(&about))
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    let mut json = serde_json::to_vec_pretty(value).expect("plain data is valid JSON");
    json.push(b'\n');
    json
}

/// Opens a checkpoint: checks its version and every checksum, then reads config and weights.
///
/// # Errors
/// If anything is missing, damaged, or not what this build computes.
pub fn read_model(dir: &Path) -> Result<Gpt, CheckpointError> {
    let config = read_config(dir)?;
    verify(dir)?;
    let file = WeightFile::open(&dir.join("model.safetensors"))?;
    let specs = config.params();
    file.check_names(&specs)?;
    let params = specs.try_map(|spec| file.param(spec))?;
    Ok(Gpt::from_params(config, params))
}

/// Reads the shape alone.
///
/// # Errors
/// If there is no checkpoint, it is of another version, or of a model that this build does not compute.
pub fn read_config(dir: &Path) -> Result<ModelConfig, CheckpointError> {
    for missing in ["config.json", "model.safetensors"] {
        if !dir.join(missing).is_file() {
            return Err(CheckpointError::Missing { path: dir.to_owned(), missing });
        }
    }
    read_about(dir)?;
    adapter::refuse_adapter(dir)?;
    let path = dir.join("config.json");
    parse_config(&path, &read_json(&path)?)
}

/// A shape that this build computes, from the content of `config.json`.
pub(crate) fn parse_config(path: &Path, value: &serde_json::Value) -> Result<ModelConfig, CheckpointError> {
    let config = config::from_hugging_face(path, value)?;
    config.validate().map_err(|source| CheckpointError::Config { path: path.to_owned(), source })?;
    Ok(config)
}

/// Writes `generation_config.json` alone, for a folder that holds a tokenizer without its model.
///
/// # Errors
/// If it cannot be written.
pub fn write_special_ids(dir: &Path, ids: &SpecialIds) -> Result<(), CheckpointError> {
    write_file(&dir.join("generation_config.json"), &to_json(&config::generation_config(ids)))
}

/// Reads `maquette.json`; `None` where the folder is not one of ours.
///
/// # Errors
/// If the file is damaged or of another version.
pub fn read_about(dir: &Path) -> Result<Option<About>, CheckpointError> {
    let path = dir.join("maquette.json");
    if !path.is_file() {
        return Ok(None);
    }
    let value = read_json(&path)?;
    let format = value["format"].as_u64().unwrap_or(0) as u32;
    if format != FORMAT {
        let version = value["maquette_version"].as_str().unwrap_or("unknown").to_owned();
        return Err(CheckpointError::Format { path, found: format, version });
    }
    let damaged = |error: serde_json::Error| CheckpointError::Damaged {
        path: path.clone(),
        expected: "format, maquette_version and tokenizer_fingerprint".into(),
        found: error.to_string(),
    };
    serde_json::from_value(value).map(Some).map_err(damaged)
}

pub(crate) fn read_json(path: &Path) -> Result<serde_json::Value, CheckpointError> {
    let bytes = std::fs::read(path).map_err(CheckpointError::io("read", path))?;
    // Some editors begin a file with a byte-order mark.
    serde_json::from_slice(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes)).map_err(|error| {
        CheckpointError::Damaged { path: path.to_owned(), expected: "JSON".into(), found: error.to_string() }
    })
}

#[cfg(test)]
mod tests;
