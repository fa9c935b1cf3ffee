//! Whether a training's checkpoints will fit the disk, before it starts.

use std::{fs, path::Path};

use model::ModelConfig;
use train::TrainSettings;

/// Refuses a training whose disk cannot hold one checkpoint; says what is missing for those that are to be kept.
///
/// A checkpoint is written whole before an older one is removed: beside those that are kept there is one more. What
/// stands in `pretrain` is counted as room: it is kept or makes way.
///
/// # Errors
/// If there is no room for one.
pub(crate) fn check(
    pretrain: &Path,
    config: &ModelConfig,
    settings: &TrainSettings,
) -> anyhow::Result<Option<String>> {
    let existing = pretrain.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    let Ok(free) = fs4::available_space(existing) else { return Ok(None) };
    let room = free.saturating_add(bytes_below(&pretrain.join("checkpoints")));
    let checkpoint = train::checkpoint_bytes(config, settings.optimizer);
    let gb = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
    anyhow::ensure!(
        room >= checkpoint.saturating_add(SMALL_FILES),
        "a checkpoint of this training takes {}, the disk of `{}` has {} left\n\
         hint: free some space, or choose a folder on another disk with --out",
        gb(checkpoint),
        existing.display(),
        gb(room)
    );
    let is_saved_again = settings.checkpoint_every_steps < settings.steps;
    let n_at_once = if is_saved_again { settings.keep_checkpoints as u64 + 1 } else { 1 };
    let needed = checkpoint.saturating_mul(n_at_once);
    Ok((room < needed).then(|| {
        format!(
            "checkpoints take up to {} ({n_at_once} of {}), the disk has {} left: free some, or set train.keep_checkpoints = 1",
            gb(needed),
            gb(checkpoint),
            gb(room)
        )
    }))
}

/// How many checkpoints to keep where nobody says: the plan's number, or one where the disk has no room for more.
pub(crate) fn affordable(pretrain: &Path, config: &ModelConfig, settings: &TrainSettings) -> usize {
    let fits = matches!(check(pretrain, config, settings), Ok(None));
    if fits { settings.keep_checkpoints } else { 1 }
}

/// Metrics, tokenizer and page.
const SMALL_FILES: u64 = 16 << 20;

fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => bytes_below(&entry.path()),
            Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |meta| meta.len()),
            _ => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use model::scaling::ModelOverrides;
    use train::TrainOverrides;

    use super::*;

    #[test]
    fn what_no_disk_holds_is_refused_and_what_fits_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let plan = |d_model| {
            let model = ModelOverrides { d_model: Some(d_model), n_layers: Some(2), ..Default::default() };
            let train = TrainOverrides { steps: Some(100), ..Default::default() };
            train::plan(None, 512, &model, &train, 1).unwrap()
        };
        let (config, settings) = plan(64);
        assert_eq!(check(&dir.path().join("none/yet"), &config, &settings).unwrap(), None);
        let (config, settings) = plan(8_000_000);
        let error = check(dir.path(), &config, &settings).unwrap_err().to_string();
        assert!(
            error.starts_with("a checkpoint of this training takes ") && error.contains(" left\nhint: free"),
            "{error}"
        );
    }
}
