//! The time that an evaluation took: the one file with a clock in it, and written only where it is asked for.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// What scoring the items of a task took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cost {
    /// Items that were scored in these seconds.
    pub(crate) n_items: usize,
    /// Time on the clock, over all calls.
    pub(crate) seconds: f64,
    /// Threads that were asked for; 0 for all.
    pub(crate) threads: usize,
}

/// Costs by `TASK-Nshot`.
pub(crate) type Costs = BTreeMap<String, Cost>;

/// The file in an evaluation's folder. It stands outside of `eval/`, whose files are the same bytes each time.
pub(crate) fn path(out: &Path) -> PathBuf {
    out.join("cost.json")
}

/// The costs in a folder; none where there is no file.
pub(crate) fn read(out: &Path) -> anyhow::Result<Costs> {
    let path = path(out);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "`{}` is damaged\nhint: choose another folder with --out, or move this file away",
                path.display()
            )
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Costs::new()),
        Err(error) => Err(error).with_context(|| {
            format!("cannot read `{}`\nhint: choose another folder with --out", path.display())
        }),
    }
}

/// Adds to the costs in a folder.
pub(crate) fn add(out: &Path, task: &str, more: &Cost) -> anyhow::Result<()> {
    if more.n_items == 0 {
        return Ok(());
    }
    let mut costs = read(out)?;
    let cost = costs.entry(task.to_owned()).or_default();
    *cost =
        Cost { n_items: cost.n_items + more.n_items, seconds: cost.seconds + more.seconds, ..more.clone() };
    base::write(&path(out), format!("{}\n", serde_json::to_string_pretty(&costs)?).as_bytes())?;
    Ok(())
}
