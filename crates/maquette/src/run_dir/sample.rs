//! `samples.jsonl`: texts that the finished model wrote, one object a line.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::write_whole;

/// In the run's folder.
pub(crate) const SAMPLES: &str = "pretrain/samples.jsonl";
/// Hash of what they were made from.
pub(crate) const SAMPLES_INPUTS: &str = "pretrain/samples.inputs";

/// One line of `samples.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// What was given.
    pub(crate) prompt: String,
    /// What was added.
    pub(crate) text: String,
    pub(crate) temperature: f64,
    pub(crate) top_p: f64,
    pub(crate) seed: u64,
    /// Training step of the checkpoint.
    pub(crate) step: u64,
    pub(crate) n_tokens: usize,
}

impl Sample {
    /// Every sample of the file; `None` where there is no file.
    pub(crate) fn read_all(path: &Path) -> Option<Result<Vec<Self>, serde_json::Error>> {
        let text = std::fs::read_to_string(path).ok()?;
        Some(text.lines().map(serde_json::from_str).collect())
    }

    /// Writes them, one a line.
    pub(crate) fn write_all(path: &Path, samples: &[Self]) -> anyhow::Result<()> {
        let mut lines = Vec::new();
        for sample in samples {
            serde_json::to_writer(&mut lines, sample)?;
            lines.push(b'\n');
        }
        write_whole(path, &lines)
    }
}
