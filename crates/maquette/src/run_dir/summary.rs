//! `summary.json`: the totals of a finished training, and where it ran.

use std::{fs, path::Path};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{RECIPE, file::RunFile};
use crate::recipe::Recipe;

/// In the run's folder.
pub(crate) const SUMMARY: &str = "pretrain/summary.json";

/// The whole file; who reads it shows the machine as it stands there.
#[derive(Serialize, Deserialize)]
pub(crate) struct RunSummary<M = Map<String, Value>> {
    #[serde(flatten)]
    pub(crate) train: train::Summary,
    pub(crate) machine: M,
    pub(crate) maquette_version: String,
}

impl<M> RunFile for RunSummary<M> {
    const PATH: &'static str = SUMMARY;
}

/// The totals of a finished training.
pub(crate) fn summary(dir: &Path) -> anyhow::Result<train::Summary> {
    let path = dir.join(SUMMARY);
    let bytes = fs::read(&path).with_context(|| {
        format!(
            "expected a finished run in `{}`, found no `pretrain/summary.json` there\n\
             hint: give the folder of a run, and let the run end first",
            dir.display()
        )
    })?;
    let summary: RunSummary = serde_json::from_slice(&bytes).with_context(|| damaged(&path))?;
    Ok(summary.train)
}

/// Tokens and FLOPs of the text of a finished training, as forecasts count them: documents of pictures come beside it.
pub(crate) fn of_text(dir: &Path, summary: &train::Summary) -> (f64, f64) {
    let all = (summary.tokens as f64, summary.flops);
    if summary.parts.is_empty() {
        return all;
    }
    let rows = |recipe: Recipe| Some(recipe.train.batch_rows? as f64 * recipe.train.seq_len? as f64);
    let recipe =
        [dir.join(RECIPE), dir.join("pretrain").join(RECIPE)].iter().find_map(|path| Recipe::resolved(path));
    let Some(of_step) = recipe.and_then(rows) else { return all };
    let tokens = summary.steps as f64 * of_step;
    (tokens, summary.flops * tokens / summary.tokens as f64)
}

/// What is said of a file that cannot be parsed.
pub(super) fn damaged(path: &Path) -> String {
    format!(
        "`{}` is damaged, or from another version\nhint: run the same command again to write it again",
        path.display()
    )
}
