//! What a finished training left, read from its files.

use std::path::PathBuf;

use train::Summary;

use super::run::Run;
use crate::run_dir::{self, SAMPLES, Sample};

/// What a finished training has to show.
pub(crate) struct Finished {
    pub(crate) summary: Summary,
    pub(crate) samples: Vec<Sample>,
    pub(crate) checkpoint: PathBuf,
}

impl Run {
    /// What the training of the run came to.
    ///
    /// # Errors
    /// If a file of it is missing or damaged.
    pub(crate) fn finished(&self) -> anyhow::Result<Finished> {
        let summary = run_dir::summary(&self.dir)?;
        let samples = Sample::read_all(&self.dir.join(SAMPLES)).transpose()?.unwrap_or_default();
        Ok(Finished { summary, samples, checkpoint: self.checkpoint()? })
    }
}
