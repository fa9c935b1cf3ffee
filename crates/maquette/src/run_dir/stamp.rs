//! `stage.json`: the mark of a finished stage.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{file::read_json, write_whole};

/// In the folder of each stage.
pub(crate) const STAMP: &str = "stage.json";

/// What the mark says.
#[derive(Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// Hash of what the stage was made from.
    inputs: String,
    /// Hash of what it made, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<String>,
}

impl Stamp {
    /// The mark in `dir`; `None` if the stage was not finished, or its mark cannot be read.
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        read_json(&dir.join(STAMP))
    }

    /// Marks the stage in `dir` as finished.
    pub(crate) fn write(dir: &Path, inputs: &str, output: Option<&str>) -> anyhow::Result<()> {
        let stamp = Self { inputs: inputs.to_owned(), output: output.map(str::to_owned) };
        write_whole(&dir.join(STAMP), &serde_json::to_vec(&stamp)?)
    }

    /// Whether the stage in `dir` was finished from the same inputs.
    pub(crate) fn is_kept(dir: &Path, inputs: &str) -> bool {
        Self::read(dir).is_some_and(|stamp| stamp.inputs == inputs)
    }

    /// Whether the stage in `dir` was finished from other inputs.
    pub(crate) fn is_other(dir: &Path, inputs: &str) -> bool {
        Self::read(dir).is_some_and(|stamp| stamp.inputs != inputs)
    }

    /// Whether what is in `dir` is what the stage made, as far as its mark says.
    pub(crate) fn is_as_made(dir: &Path, output: &str) -> bool {
        Self::read(dir).and_then(|stamp| stamp.output).is_none_or(|made| made == output)
    }
}
