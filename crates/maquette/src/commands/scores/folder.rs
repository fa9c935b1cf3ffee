//! The scores that an evaluation left in a folder.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use eval::{ItemScore, ItemsFile, Provenance};

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
    let hint = "hint: give the --out of an evaluation: maquette eval CHECKPOINT --tasks arc_easy --data DIR --out DIR";
    let entries = fs::read_dir(folder)
        .with_context(|| format!("expected scores in `{}`, found none\n{hint}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.to_string_lossy().ends_with("shot.jsonl"));
    paths.sort();
    let mut scored = Vec::new();
    for path in paths {
        let about = path.with_extension("json");
        let bytes = fs::read(&about).with_context(|| {
            format!("cannot read `{}`\nhint: it was written beside the items; put it back", about.display())
        })?;
        let provenance: Provenance = serde_json::from_slice(&bytes)
            .with_context(|| format!("`{}` is damaged\nhint: evaluate again", about.display()))?;
        if names.is_empty() || names.contains(&provenance.task) {
            let mut items = ItemsFile::read(&path)?;
            let mut failures = BTreeMap::new();
            items.retain(|item| match &item.failure {
                None => true,
                Some(reason) => {
                    *failures.entry(reason.clone()).or_default() += 1;
                    false
                }
            });
            scored.push(Scored { path, provenance, items, failures });
        }
    }
    let missing = names.iter().find(|name| scored.iter().all(|task| task.provenance.task != **name));
    if let Some(name) = missing {
        anyhow::bail!(
            "expected scores of `{name}` in `{}`, found none\nhint: evaluate it first",
            folder.display()
        );
    }
    anyhow::ensure!(
        !scored.is_empty(),
        "expected scores of benchmarks in `{}`, found none\n{hint}",
        folder.display()
    );
    Ok(scored)
}

/// Share of what is right, and whether items can be right in part.
pub(super) fn accuracy<'a>(items: impl Iterator<Item = &'a ItemScore>, metric: &str) -> Option<(usize, f64)> {
    let values: Option<Vec<f64>> = items.map(|item| item.metrics.get(metric).copied()).collect();
    let values = values.filter(|values| !values.is_empty())?;
    Some((values.len(), values.iter().sum::<f64>() / values.len() as f64))
}
