//! Which files of a finished training can no longer be read. Whatever it is, the last checkpoint is enough to go on: what was
//! computed from it is computed again, and what cannot be is said.

use data::tasks::Task;
use forecast::{Seal, Verdict};
use train::TrainSettings;

use super::run::Run;
use crate::run_dir::{
    BucketOutcome, CAPABILITY, METRICS, RunFile as _, RunSummary, SCORES, SUMMARY, VERDICT, WATCH, Watched,
    are_scores_whole, is_record_whole, section,
};

impl Run {
    /// The first file of the finished training that is lost or damaged, as named from the run's folder.
    pub(super) fn lost(
        &self,
        settings: &TrainSettings,
        seal: Option<&Seal>,
    ) -> anyhow::Result<Option<String>> {
        let at = |file: &str| self.dir.join(file);
        let mut needed = vec![
            (SUMMARY.to_owned(), <RunSummary>::read(&self.dir).is_some()),
            (METRICS.to_owned(), is_record_whole(&at(METRICS), settings.steps)),
        ];
        if seal.is_some() {
            needed.push((WATCH.to_owned(), Watched::read(&self.dir).is_some()));
            needed.push((VERDICT.to_owned(), Verdict::read(&self.dir).is_some()));
        }
        if self.recipe()?.suite_problems().is_some() {
            for task in Task::ALL {
                let file = format!("{}/{}.jsonl", SCORES, task.name());
                let is_whole = are_scores_whole(&at(&file));
                needed.push((file, is_whole));
            }
            if seal.is_some_and(|seal| seal.extra.contains_key(section::PASS_RATES)) {
                let is_whole = Vec::<BucketOutcome>::read(&self.dir).is_some();
                needed.push((CAPABILITY.to_owned(), is_whole));
            }
        }
        Ok(needed.into_iter().find(|(_, is_whole)| !is_whole).map(|(file, _)| file))
    }
}
