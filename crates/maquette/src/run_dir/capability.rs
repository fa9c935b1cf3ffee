//! What the finished run can do: `eval/TASK.jsonl` holds a score a problem, `capability.json` the forecast pass rates beside the
//! actual ones.

use std::{fs, path::Path};

use data::tasks::Task;
use eval::Score;
use forecast::{BucketForecast, PassRateForm, Prediction};
use serde::{Deserialize, Serialize};

use super::{file::RunFile, write_whole};

/// The pass rates of the finished run, in its folder.
pub(crate) const CAPABILITY: &str = "capability.json";
/// The folder of the scores, in the run's folder.
pub(crate) const SCORES: &str = "eval";

/// Pass rates forecast for the run, easiest bucket first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PassRates {
    pub(crate) form: PassRateForm,
    pub(crate) buckets: Vec<BucketForecast>,
}

/// One bucket's forecast and its outcome.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BucketOutcome {
    pub(crate) bucket: usize,
    pub(crate) n_problems: usize,
    /// None where the bucket was refused.
    pub(crate) predicted: Option<Prediction>,
    /// Mean pass rate of the finished run.
    pub(crate) actual: f64,
    pub(crate) inside_80: Option<bool>,
}

/// Every bucket's, easiest first.
impl RunFile for Vec<BucketOutcome> {
    const PATH: &'static str = CAPABILITY;
}

/// One file a task, one JSON object a problem.
pub(crate) fn write_scores(dir: &Path, scores: &[Score]) -> anyhow::Result<()> {
    for task in Task::ALL {
        let mut lines = Vec::new();
        for score in scores.iter().filter(|score| score.problem.task == task) {
            serde_json::to_writer(&mut lines, score)?;
            lines.push(b'\n');
        }
        if !lines.is_empty() {
            write_whole(&dir.join(format!("{}.jsonl", task.name())), &lines)?;
        }
    }
    Ok(())
}

/// Whether there are scores, every one whole.
pub(crate) fn are_scores_whole(path: &Path) -> bool {
    let Ok(text) = fs::read_to_string(path) else { return false };
    text.ends_with('\n') && text.lines().all(|line| serde_json::from_str::<Score>(line).is_ok())
}
