//! The file of one rung: a change of it shows.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use forecast::{Point, content_hash};
use model::ModelConfig;
use serde::{Deserialize, Serialize};
use train::{TrainSettings, Validation};

use super::{summary::damaged, write_whole};

/// What a run of the ladder is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// A point that the law is fitted to.
    Rung,
    /// A test of the learning-rate rule: same as a rung, other rates.
    Sweep,
}

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
    /// Loss of the text of each step's batch, in nats.
    pub(crate) train_loss: Vec<f64>,
    /// Norm of each step's gradient.
    pub(crate) grad_norm: Vec<f64>,
    /// Losses of answers about pictures at the end, of all and by kind, if the recipe has pictures.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) parts: BTreeMap<String, Validation>,
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

    /// Writes it to the folder of the ladder, with its checksum.
    pub(crate) fn write(mut self, dir: &Path) -> anyhow::Result<()> {
        self.checksum = content_hash(&serde_json::to_value(&self)?, CHECKSUM);
        write_whole(&rung_file(dir, &self.run), &serde_json::to_vec(&self)?)
    }

    /// The rung of that name, if it is there as it was written, and was made from these inputs.
    pub(crate) fn read(dir: &Path, name: &str, inputs: &str) -> Option<Self> {
        let there = RungFile::read(&rung_file(dir, name)).ok()?;
        let is_same = there.result.inputs == inputs && !there.result.checksum.is_empty();
        (is_same && there.is_as_written()).then_some(there.result)
    }
}

/// Name of the field that all the others are hashed into.
const CHECKSUM: &str = "checksum";

/// A rung's file as it stands there, whatever it was made from.
pub(crate) struct RungFile {
    pub(crate) result: RungResult,
    found: String,
}

impl RungFile {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = fs::read(path)
            .with_context(|| format!("cannot read `{}`\nhint: check who may read it", path.display()))?;
        let value: serde_json::Value = serde_json::from_slice(&bytes).with_context(|| damaged(path))?;
        let found = content_hash(&value, CHECKSUM);
        Ok(Self { result: serde_json::from_value(value).with_context(|| damaged(path))?, found })
    }

    /// Whether nobody changed it. Files of earlier versions do not show it.
    pub(crate) fn is_as_written(&self) -> bool {
        self.result.checksum.is_empty() || self.result.checksum == self.found
    }
}

/// The file of a rung in the folder of the ladder.
pub(crate) fn rung_file(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.json"))
}
