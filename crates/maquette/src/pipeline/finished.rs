//! What a finished training left, read from its files.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use train::Summary;

use super::run::Run;
use crate::run_dir::{SAMPLES, STAMP, SUMMARY, Sample};

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
        let path = self.dir.join(SUMMARY);
        let advice =
            || format!("hint: remove `{}` and run again", self.dir.join("pretrain").join(STAMP).display());
        let summary =
            fs::read(&path).with_context(|| format!("cannot read `{}`\n{}", path.display(), advice()))?;
        let summary = serde_json::from_slice(&summary)
            .with_context(|| format!("`{}` is damaged\n{}", path.display(), advice()))?;
        let samples = Sample::read_all(&self.dir.join(SAMPLES)).transpose()?.unwrap_or_default();
        Ok(Finished { summary, samples, checkpoint: self.checkpoint()? })
    }
}
