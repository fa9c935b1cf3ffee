//! The file of one rung: a change of it shows.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use base::disk;
use forecast::{Point, content_hash};
use model::ModelConfig;
use serde::{Deserialize, Serialize};
use train::{TrainSettings, Validation};

use super::Role;
use crate::progress;

/// One finished run of the ladder, as its file holds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RungResult {
    pub(crate) run: String,
    pub(crate) role: Role,
    /// N: matrix parameters, head included, embedding not.
    pub(crate) n_params: f64,
    /// D.
    pub(crate) n_tokens: f64,
    pub(crate) flops: f64,
    /// Validation loss at the end.
    pub(crate) loss_nats: f64,
    pub(crate) validation: Validation,
    pub(crate) seed: u64,
    /// What the rule's learning rates were multiplied with.
    pub(crate) lr_factor: f64,
    pub(crate) config: ModelConfig,
    pub(crate) settings: TrainSettings,
    /// Seconds of training on one thread.
    pub(crate) elapsed_s: f64,
    /// Loss of each step's batch, in nats.
    pub(crate) train_loss: Vec<f64>,
    /// Norm of each step's gradient.
    pub(crate) grad_norm: Vec<f64>,
    /// Log-probabilities of the capability suite's answers, if the recipe mixes its tasks in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) scores: Vec<eval::Score>,
    /// Hash of what it was made from.
    pub(crate) inputs: String,
    /// Hash of all the rest, so that a change shows.
    #[serde(default)]
    pub(crate) checksum: String,
}

impl RungResult {
    /// What a law is fitted to.
    pub(crate) fn point(&self) -> Point {
        Point {
            run: self.run.clone(),
            n_params: Some(self.n_params),
            n_tokens: Some(self.n_tokens),
            flops: self.flops,
            loss: self.loss_nats,
            seed: Some(self.seed),
        }
    }

    /// The same with its checksum.
    pub(super) fn sealed(mut self) -> anyhow::Result<Self> {
        self.checksum = content_hash(&serde_json::to_value(&self)?, CHECKSUM);
        Ok(self)
    }
}

/// Name of the field that all the others are hashed into.
const CHECKSUM: &str = "checksum";

/// A rung's file as it stands there.
pub(crate) struct OnDisk {
    pub(crate) result: RungResult,
    found: String,
}

impl OnDisk {
    /// Whether nobody changed it. Files of earlier versions do not show it.
    pub(crate) fn is_as_written(&self) -> bool {
        self.result.checksum.is_empty() || self.result.checksum == self.found
    }
}

/// The rung in a file, whatever it was made from; none where there is none, or none that can be read.
pub(crate) fn on_disk(path: &Path) -> Option<OnDisk> {
    let value: serde_json::Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let found = content_hash(&value, CHECKSUM);
    Some(OnDisk { result: serde_json::from_value(value).ok()?, found })
}

pub(crate) fn file(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.json"))
}

/// The rung's result, if it is there as it was written, and was made from these inputs.
pub(super) fn read(dir: &Path, name: &str, inputs: &str) -> Option<RungResult> {
    let there = on_disk(&file(dir, name))?;
    let is_same = there.result.inputs == inputs && !there.result.checksum.is_empty();
    (is_same && there.is_as_written()).then_some(there.result)
}

/// Moves a rung's file out of the way, with a word, if it is of these inputs but was changed.
pub(super) fn set_aside_changed(dir: &Path, name: &str, inputs: &str) -> anyhow::Result<()> {
    let path = file(dir, name);
    let Some(there) = on_disk(&path).filter(|there| there.result.inputs == inputs) else { return Ok(()) };
    let why = match there.result.checksum.is_empty() {
        true => "holds no hash of its content",
        false => "was changed after it was written",
    };
    let aside = aside(dir, &path)?;
    progress::say(
        "ladder",
        &format!("`{}` {why}: now `{}`, and trained again", path.display(), aside.display()),
    );
    Ok(())
}

/// Moves a file to `.replaced/`, under a name that is free there.
pub(super) fn aside(dir: &Path, path: &Path) -> anyhow::Result<PathBuf> {
    let folder = dir.join(".replaced");
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let free = std::iter::once(name.clone()).chain((1..).map(|i| format!("{name}-{i}")));
    let aside = free.map(|name| folder.join(name)).find(|path| !path.exists()).expect("some number is free");
    disk::create_dir_all(&folder).and_then(|()| disk::rename(path, &aside)).with_context(|| {
        format!("cannot move `{}` aside\nhint: move it away, or choose another --out", path.display())
    })?;
    Ok(aside)
}
