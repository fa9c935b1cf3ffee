//! Which files of a finished training can no longer be read. Whatever it is, the last checkpoint is enough to go on: what was
//! computed from it is computed again, and what cannot be is said.

use std::{fs, path::Path};

use data::tasks::Task;
use forecast::Seal;
use train::{Metric, Summary, TrainSettings};

use super::{
    Run,
    capability::{self, BucketOutcome},
    watch::{self, Watched, read_json},
};

const SUMMARY: &str = "pretrain/summary.json";
const METRICS: &str = "pretrain/metrics.jsonl";
const WATCH: &str = "pretrain/watch.json";

impl Run {
    /// The first file of the finished training that is lost or damaged, as named from the run's folder.
    pub(super) fn lost(&self, settings: &TrainSettings, seal: Option<&Seal>) -> Option<String> {
        let at = |file: &str| self.dir.join(file);
        let mut needed = vec![
            (SUMMARY.to_owned(), read_json::<Summary>(&at(SUMMARY)).is_some()),
            (METRICS.to_owned(), is_record_whole(&at(METRICS), settings.steps)),
        ];
        if seal.is_some() {
            let verdict = read_json::<forecast::Verdict>(&at(watch::VERDICT)).is_some();
            needed.push((WATCH.to_owned(), read_json::<Watched>(&at(WATCH)).is_some()));
            needed.push((watch::VERDICT.to_owned(), verdict));
        }
        if self.recipe.suite_problems().is_some() {
            for task in Task::ALL {
                let file = format!("{}/{}.jsonl", capability::SCORES, task.name());
                let is_whole = are_scores_whole(&at(&file));
                needed.push((file, is_whole));
            }
            if seal.is_some_and(|seal| seal.extra.contains_key(capability::CAPABILITY)) {
                let is_whole = read_json::<Vec<BucketOutcome>>(&at(capability::OUTCOME)).is_some();
                needed.push((capability::OUTCOME.to_owned(), is_whole));
            }
        }
        needed.into_iter().find(|(_, is_whole)| !is_whole).map(|(file, _)| file)
    }
}

/// Whether every line can be read and the last step and its validation are among them. A gap that is marked as one stays.
fn is_record_whole(path: &Path, n_steps: u64) -> bool {
    let Ok(text) = fs::read_to_string(path) else { return false };
    let (mut expected, mut is_validated) = (1, false);
    for line in text.lines() {
        match serde_json::from_str(line) {
            Ok(Metric::Train { step, .. }) if step == expected => expected += 1,
            Ok(Metric::Train { .. }) | Err(_) => return false,
            Ok(Metric::Lost { step }) => expected = expected.max(step + 1),
            Ok(Metric::Validation { step, .. }) => is_validated |= step == n_steps,
            Ok(_) => {}
        }
    }
    expected == n_steps + 1 && is_validated && text.ends_with('\n')
}

/// Whether there are scores, every one whole.
fn are_scores_whole(path: &Path) -> bool {
    let Ok(text) = fs::read_to_string(path) else { return false };
    text.ends_with('\n') && text.lines().all(|line| serde_json::from_str::<eval::Score>(line).is_ok())
}
