//! The scores that an evaluation left in a folder.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use eval::{ItemScore, Provenance};

use crate::item_files;

/// A task that was scored.
pub(super) struct Scored {
    /// The file of its items.
    pub(super) path: PathBuf,
    pub(super) provenance: Provenance,
    /// Those that were answered.
    pub(super) items: Vec<ItemScore>,
    /// How many were not, by the reason.
    pub(super) failures: BTreeMap<String, usize>,
}

impl Scored {
    /// `arc_easy, 5 shots`.
    pub(super) fn name(&self) -> String {
        let Provenance { task, shots, .. } = &self.provenance;
        match shots {
            0 => task.clone(),
            n => format!("{task}, {n} shots"),
        }
    }

    /// What `maquette scores contamination` found of the task, if it was asked.
    pub(super) fn contamination_path(&self) -> PathBuf {
        self.path.with_file_name(format!("{}-contamination.json", self.provenance.task))
    }
}

/// The tasks in `out`, as it was given to `maquette eval --out`, that `names` has; all where that is empty. By name.
pub(super) fn read(out: &Path, names: &[String]) -> anyhow::Result<Vec<Scored>> {
    // The folder itself, or the one that an evaluation makes in it.
    let inner = out.join("eval");
    let folder = if inner.is_dir() { &inner } else { out };
    let mut scored = Vec::new();
    for file in item_files::find(folder, names)? {
        let mut items = file.items()?;
        let mut failures = BTreeMap::new();
        items.retain(|item| match &item.failure {
            None => true,
            Some(reason) => {
                *failures.entry(reason.clone()).or_default() += 1;
                false
            }
        });
        scored.push(Scored { path: file.path, provenance: file.provenance, items, failures });
    }
    Ok(scored)
}

/// Share of what is right, and whether items can be right in part.
pub(super) fn accuracy<'a>(items: impl Iterator<Item = &'a ItemScore>, metric: &str) -> Option<(usize, f64)> {
    let values: Option<Vec<f64>> = items.map(|item| item.metrics.get(metric).copied()).collect();
    let values = values.filter(|values| !values.is_empty())?;
    Some((values.len(), values.iter().sum::<f64>() / values.len() as f64))
}
