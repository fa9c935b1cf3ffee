//! The folder of a fine-tuning.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use train::{TrainSettings, Tuning};

use super::changed;
use crate::{
    folder_lock::{FolderLock, LOCK},
    own_folder,
    run_dir::write_whole,
};

/// What a fine-tuning was made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Made {
    /// `sft` or `dpo`.
    pub(crate) method: String,
    /// Hash of the weights that it began with.
    pub(crate) base_weights: String,
    /// Hash of the examples.
    pub(crate) data: String,
    /// Every number of the training.
    pub(crate) train: TrainSettings,
    /// What is trained.
    pub(crate) tuning: Tuning,
    /// Numbers of the method.
    pub(crate) settings: Value,
}

/// A fine-tuning, as its folder says.
#[derive(Debug)]
pub(crate) struct Tuned {
    dir: PathBuf,
    /// Two trainings in one folder would spoil each other's checkpoints.
    _lock: FolderLock,
}

const MADE: &str = "tuning.json";

impl Tuned {
    /// The folder `dir`, new or of the same fine-tuning.
    ///
    /// # Errors
    /// If it holds something else, or a fine-tuning that was made from other inputs.
    pub(crate) fn open(dir: &Path, made: &Made) -> anyhow::Result<Self> {
        let path = dir.join(MADE);
        let taken = || FolderLock::take(dir);
        let lock = match fs::read(&path) {
            Ok(bytes) => {
                let there: Made = serde_json::from_slice(&bytes).with_context(|| {
                    format!("`{}` is damaged\nhint: choose another folder with --out", path.display())
                })?;
                if there != *made {
                    anyhow::bail!(
                        "expected a new folder, or that of the same fine-tuning, at `{}`, found one with {}\n\
                         hint: give what it was made with to go on there, or choose another folder with --out",
                        dir.display(),
                        changed::between(&there, made)?
                    );
                }
                taken()?
            }
            Err(_) => {
                // A kill while the first file was written leaves it under its temporary name.
                let is_foreign = |entry: fs::DirEntry| {
                    let name = entry.file_name();
                    name != LOCK && !name.to_str().is_some_and(base::temporary::is_temporary)
                };
                let mut entries = fs::read_dir(dir).into_iter().flatten().flatten();
                let is_empty = !entries.any(is_foreign);
                anyhow::ensure!(
                    is_empty,
                    "expected a new folder, or that of a fine-tuning, at `{}`, found files in it that no fine-tuning wrote\n\
                     hint: choose another folder with --out",
                    dir.display()
                );
                own_folder::make(dir)?;
                let lock = taken()?;
                write_whole(&path, &serde_json::to_vec_pretty(made)?)?;
                lock
            }
        };
        Ok(Self { dir: dir.to_owned(), _lock: lock })
    }

    /// The folder itself.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The model with its adapters added to its weights.
    pub(crate) fn merged(&self) -> PathBuf {
        self.dir.join("merged")
    }

    /// The end of the training.
    pub(crate) fn summary(&self) -> PathBuf {
        self.dir.join("summary.json")
    }
}
