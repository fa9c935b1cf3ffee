//! `explained.jsonl`: answers of the finished model about held-out pictures, each with a map of what it depends on, one object a
//! line.

use std::path::Path;

use eval::attribution::Attribution;
use serde::{Deserialize, Serialize};

use super::write_whole;

/// In the run's folder.
pub(crate) const EXPLAINED: &str = "pretrain/explained.jsonl";
/// Hash of what they were made from.
pub(crate) const EXPLAINED_INPUTS: &str = "pretrain/explained.inputs";

/// One line of `explained.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ExplainedAnswer {
    /// What the question is of, such as `charts`.
    pub(crate) kind: String,
    pub(crate) question: String,
    /// The model's answer.
    pub(crate) prediction: String,
    /// The right answers; none where nobody says.
    pub(crate) answers: Vec<String>,
    /// From 0 to 1; none where no answer is known.
    pub(crate) score: Option<f64>,
    pub(crate) pictures: Vec<ExplainedPicture>,
    pub(crate) attribution: Attribution,
}

/// PNGs in base64, one patch of the maps as large as one of the picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ExplainedPicture {
    /// As the model reads it.
    pub(crate) picture: String,
    /// Gradient × input over it.
    pub(crate) gradient_input: String,
    /// Occlusion over it.
    pub(crate) occlusion: String,
}

impl ExplainedAnswer {
    /// Every answer of the file; `None` where there is no file.
    pub(crate) fn read_all(path: &Path) -> Option<Result<Vec<Self>, serde_json::Error>> {
        let text = std::fs::read_to_string(path).ok()?;
        Some(text.lines().map(serde_json::from_str).collect())
    }

    /// Writes them, one a line.
    pub(crate) fn write_all(path: &Path, answers: &[Self]) -> anyhow::Result<()> {
        let mut lines = Vec::new();
        for answer in answers {
            serde_json::to_writer(&mut lines, answer)?;
            lines.push(b'\n');
        }
        write_whole(path, &lines)
    }
}
