//! A JSON file of a run, of which one type is all that is written and read.

use std::{fs, path::Path};

use serde::{Serialize, de::DeserializeOwned};

use super::write_whole;

/// What one JSON file of a run's folder holds.
pub(crate) trait RunFile: Sized {
    /// Its name, from the run's folder on.
    const PATH: &'static str;

    /// The file of the run in `run_dir`; none where there is none that can be read.
    fn read(run_dir: &Path) -> Option<Self>
    where
        Self: DeserializeOwned,
    {
        read_json(&run_dir.join(Self::PATH))
    }

    /// Writes the file of the run in `run_dir`; it appears whole or not at all.
    fn write(&self, run_dir: &Path) -> anyhow::Result<()>
    where
        Self: Serialize,
    {
        write_whole(&run_dir.join(Self::PATH), &serde_json::to_vec_pretty(self)?)
    }
}

/// A JSON file, if it can be read.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
