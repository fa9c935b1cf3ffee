//! What a stage is, and how a list of them is run.

use std::fmt::Debug;

use super::Run;

/// A step of a run. It reads what the stages before it left in the run's folder, and leaves files of its own.
pub(crate) trait Stage: Debug + Sync {
    /// Its name on the command line and in messages.
    fn name(&self) -> &'static str;

    /// What it does, for the help.
    fn about(&self) -> &'static str;

    /// Hash of everything that its files are made from. They are kept as long as it stays the same.
    ///
    /// # Errors
    /// If a file or an earlier stage that it is made from is missing.
    fn inputs(&self, run: &Run) -> anyhow::Result<String>;

    /// Makes its files, or keeps those that are there.
    fn run(&self, run: &Run) -> anyhow::Result<()>;
}

/// Runs `stages`, one after another.
pub(crate) fn run_all(run: &Run, stages: &[&dyn Stage]) -> anyhow::Result<()> {
    stages.iter().try_for_each(|stage| stage.run(run))
}

/// Hash of parts that must all stay the same.
pub(super) fn hash(parts: &[&str]) -> String {
    let json = serde_json::to_vec(parts).expect("strings are valid JSON");
    base::hash::hex(base::hash::xxh3_128(&json))
}
