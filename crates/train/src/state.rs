//! What a run needs to go on exactly where it was: `state/` inside a checkpoint.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use model::{
    Gpt, ModelConfig, Role,
    checkpoint::{self, CheckpointError, SpecialIds},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Monitor, Optimizer, OptimizerKind, TrainError, TrainSettings, Tuning, tuning};

/// Everything besides weights and moments. Random numbers need no place here: they are counted from the seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainerState {
    /// Steps taken.
    pub step: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// FLOPs spent.
    pub flops: f64,
    /// Seconds of training.
    pub elapsed_s: f64,
    /// Where the data stand.
    pub cursor: Value,
    /// Bytes of `metrics.jsonl` that belong to these steps.
    pub metrics_len: u64,
    /// What each monitor remembers, by its name; what is too much for a text stands in `state/NAME.bin`.
    #[serde(default)]
    pub monitors: BTreeMap<String, Value>,
    /// What of the model is trained.
    #[serde(default)]
    pub tuning: Tuning,
    /// The settings of the run; another run's checkpoint is refused.
    pub settings: TrainSettings,
    /// Hash of tokenizer and data.
    pub data_fingerprint: String,
}

/// Parameters that were added to the model, such as adapters; no other program would look for them in its weights.
const ADDED: &str = "added.safetensors";

/// What a checkpoint folder is made of.
pub(crate) struct Parts<'a> {
    pub(crate) gpt: &'a Gpt,
    pub(crate) optimizer: &'a Optimizer,
    pub(crate) tokenizer: &'a data::Tokenizer,
    pub(crate) chat_template: Option<&'a str>,
    /// The checkpoint that the run began with.
    pub(crate) start: Option<&'a Path>,
    pub(crate) state: &'a TrainerState,
    pub(crate) monitors: &'a [Box<dyn Monitor>],
}

/// Bytes of a checkpoint's weights and moments; the rest is small beside them.
pub fn checkpoint_bytes(config: &ModelConfig, optimizer: OptimizerKind) -> u64 {
    let numbers = config.params().into_iter().map(|spec| {
        let n: u64 = spec.shape.iter().map(|size| *size as u64).product();
        let n_moments = if optimizer == OptimizerKind::Muon && spec.role == Role::Matrix { 1 } else { 2 };
        n * (1 + n_moments)
    });
    4 * numbers.sum::<u64>()
}

/// The ids that generation with this tokenizer's model needs.
pub fn special_ids(tokenizer: &data::Tokenizer) -> SpecialIds {
    SpecialIds { bos: tokenizer.declared_bos(), eos: tokenizer.stops(), pad: tokenizer.pad() }
}

/// Writes the checkpoint of a step; it appears whole or not at all.
pub(crate) fn save(folder: &Path, parts: &Parts) -> Result<PathBuf, TrainError> {
    let dir = folder.join(format!("step-{}", parts.state.step));
    checkpoint::publish(&dir, |tmp| -> Result<(), TrainError> {
        let ids = special_ids(parts.tokenizer);
        checkpoint::write_model(tmp, parts.gpt, &ids, parts.tokenizer.fingerprint())?;
        parts.tokenizer.save(tmp)?;
        if let Some(vision) = &parts.gpt.config().vision {
            let image_token = parts.tokenizer.show(vision.image_token);
            checkpoint::write_processor_like(parts.start, tmp, vision, &image_token)?;
        }
        if let Some(template) = parts.chat_template {
            checkpoint::write_file(&tmp.join(data::ChatTemplate::FILE), template.as_bytes())?;
        }
        let state_dir = tmp.join("state");
        base::disk::create_dir(&state_dir).map_err(|source| TrainError::Io {
            action: "create",
            path: state_dir.clone(),
            source,
        })?;
        let json = serde_json::to_vec_pretty(parts.state).expect("plain data is valid JSON");
        checkpoint::write_file(&state_dir.join("trainer.json"), &json)?;
        for monitor in parts.monitors {
            if let Some(bytes) = monitor.bytes() {
                checkpoint::write_file(&state_dir.join(bytes_of(&**monitor)), &bytes)?;
            }
        }
        if parts.state.tuning != Tuning::default() {
            checkpoint::write_tensors(&state_dir.join(ADDED), tuning::added(parts.gpt))?;
        }
        checkpoint::write_tensors(&state_dir.join("optimizer.safetensors"), parts.optimizer.tensors())?;
        checkpoint::sync_dir(&state_dir)?;
        Ok(())
    })?;
    Ok(dir)
}

/// File of what a monitor remembers.
pub(crate) fn bytes_of(monitor: &dyn Monitor) -> String {
    format!("{}.bin", monitor.name())
}

/// A run whose checkpoints are looked for.
#[derive(Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) config: &'a ModelConfig,
    pub(crate) settings: &'a TrainSettings,
    pub(crate) tuning: &'a Tuning,
    pub(crate) data_fingerprint: &'a str,
}

/// Reads weights, moments and the rest; the checkpoint must be of the run that is expected.
fn load(dir: &Path, expected: Expected) -> Result<Resumed, TrainError> {
    let Expected { config, settings, tuning, data_fingerprint } = expected;
    let gpt = checkpoint::read_model(dir)?; // verifies every file, those in state/ too
    let path = dir.join("state/trainer.json");
    let bytes = std::fs::read(&path).map_err(|source| TrainError::Io {
        action: "read",
        path: path.clone(),
        source,
    })?;
    let state: TrainerState = serde_json::from_slice(&bytes).map_err(|error| CheckpointError::Damaged {
        path: path.clone(),
        expected: "the state of a training run".into(),
        found: error.to_string(),
    })?;
    let other = |what, found: String, expected: String| TrainError::OtherRun {
        path: path.clone(),
        what,
        found,
        expected,
    };
    if state.data_fingerprint != data_fingerprint {
        return Err(other("data", state.data_fingerprint, data_fingerprint.into()));
    }
    if state.settings != *settings {
        let (found, expected) = first_difference(&state.settings, settings);
        return Err(other("the settings", found, expected));
    }
    if gpt.config() != config {
        let (found, expected) = first_difference(gpt.config(), config);
        return Err(other("the model", found, expected));
    }
    if state.tuning != *tuning {
        let (found, expected) = first_difference(&state.tuning, tuning);
        return Err(other("what is trained", found, expected));
    }
    let mut gpt = tuning.apply(gpt, settings.seed)?;
    if *tuning != Tuning::default() {
        let path = dir.join("state").join(ADDED);
        let read = checkpoint::read_tensors(&path)?;
        let (expected, found) = ("every parameter that was added".into(), "others".into());
        tuning::fill_added(&mut gpt, read).ok_or(CheckpointError::Damaged { path, expected, found })?;
    }
    let mut optimizer = Optimizer::new(gpt.specs(), settings.optimizer);
    let path = dir.join("state/optimizer.safetensors");
    let mut tensors = checkpoint::read_tensors(&path)?;
    for (name, moment) in optimizer.tensors_mut() {
        let found = tensors.remove(&name).filter(|found| found.shape() == moment.shape());
        *moment =
            found.ok_or_else(|| CheckpointError::Tensors { path: path.clone(), problem: "lacks", name })?;
    }
    Ok(Resumed { gpt, optimizer, state, dir: dir.to_owned() })
}

/// A run as a checkpoint holds it.
pub(crate) struct Resumed {
    pub(crate) gpt: Gpt,
    pub(crate) optimizer: Optimizer,
    pub(crate) state: TrainerState,
    dir: PathBuf,
}

impl Resumed {
    /// Lets a monitor go on from what the checkpoint holds of it.
    pub(crate) fn restore(&self, monitor: &mut dyn Monitor) {
        // What earlier versions did not save is not remembered.
        let Some(state) = self.state.monitors.get(monitor.name()) else { return };
        let bytes = std::fs::read(self.dir.join("state").join(bytes_of(monitor))).ok();
        monitor.restore(state, bytes.as_deref());
    }
}

/// A checkpoint that could not be read and was moved aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedCheckpoint {
    /// Where it is now.
    pub aside: PathBuf,
    /// What is wrong with it, with its former path.
    pub problem: String,
}

/// The newest checkpoint in `folder` that is whole; damaged ones are moved aside, so that a run goes on from what is left.
pub(crate) fn resume(
    folder: &Path,
    expected: Expected,
) -> Result<(Option<Resumed>, Vec<DamagedCheckpoint>), TrainError> {
    let mut damaged = Vec::new();
    for step in steps(folder)?.into_iter().rev() {
        let dir = folder.join(format!("step-{step}"));
        match load(&dir, expected) {
            Ok(resumed) => return Ok((Some(resumed), damaged)),
            Err(error) if is_damage(&error) => {
                let names = (1..).map(|i| folder.join(format!("damaged-step-{step}-{i}")));
                let aside = names.into_iter().find(|path| !path.exists()).expect("some number is free");
                base::disk::rename(&dir, &aside).map_err(|source| TrainError::Io {
                    action: "rename",
                    path: dir.clone(),
                    source,
                })?;
                damaged.push(DamagedCheckpoint { aside, problem: error.to_string() });
            }
            Err(error) => return Err(error),
        }
    }
    Ok((None, damaged))
}

/// Whether files of the checkpoint are missing or hold something else than was written; not so where it is another run's, or
/// the system refuses to read it.
fn is_damage(error: &TrainError) -> bool {
    use std::io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    match error {
        TrainError::Checkpoint(
            CheckpointError::Damaged { .. }
            | CheckpointError::Changed { .. }
            | CheckpointError::Missing { .. },
        ) => true,
        TrainError::Checkpoint(CheckpointError::Io { source, .. }) | TrainError::Io { source, .. } => {
            matches!(source.kind(), NotFound | InvalidData | UnexpectedEof)
        }
        _ => false,
    }
}

/// Whether a checkpoint in `folder` says that it is of a run with this shape, these settings and data. Nothing is verified.
pub fn holds_run(
    folder: &Path,
    config: &ModelConfig,
    settings: &TrainSettings,
    data_fingerprint: &str,
) -> bool {
    let is_of_run = |step: &u64| {
        let dir = folder.join(format!("step-{step}"));
        let bytes = std::fs::read(dir.join("state/trainer.json")).ok();
        let state: Option<TrainerState> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        state.is_some_and(|state| state.settings == *settings && state.data_fingerprint == data_fingerprint)
            && checkpoint::read_config(&dir).is_ok_and(|found| found == *config)
    };
    steps(folder).is_ok_and(|steps| steps.iter().any(is_of_run))
}

/// The first field in which two runs differ, as `name = value` of each.
fn first_difference<T: Serialize>(a: &T, b: &T) -> (String, String) {
    let table = |fields| match serde_json::to_value(fields).expect("plain data is valid JSON") {
        serde_json::Value::Object(table) => table,
        other => unreachable!("a struct is an object, found {other}"),
    };
    let (a, b) = (table(a), table(b));
    let differing = a.iter().find(|(name, value)| b.get(*name) != Some(value));
    differing.map_or_else(Default::default, |(name, value)| {
        let other = b.get(name).map_or_else(|| "none".to_owned(), ToString::to_string);
        (format!("{name} = {value}"), format!("{name} = {other}"))
    })
}

/// The finished checkpoint of the highest step in a folder of checkpoints, if there is one.
///
/// # Errors
/// If the folder cannot be listed.
pub fn latest_checkpoint(folder: &Path) -> Result<Option<PathBuf>, TrainError> {
    Ok(steps(folder)?.last().map(|step| folder.join(format!("step-{step}"))))
}

/// Removes all checkpoints in `folder` but the `n_kept` newest.
pub(crate) fn remove_old(folder: &Path, n_kept: usize) -> Result<(), TrainError> {
    let steps = steps(folder)?;
    for step in &steps[..steps.len().saturating_sub(n_kept)] {
        checkpoint::remove(&folder.join(format!("step-{step}")))?;
    }
    Ok(())
}

/// Steps of the finished checkpoints, ascending.
pub(crate) fn steps(folder: &Path) -> Result<Vec<u64>, TrainError> {
    let io = |source| TrainError::Io { action: "list", path: folder.to_owned(), source };
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io)?,
    };
    let mut steps = Vec::new();
    for entry in entries {
        let name = entry.map_err(io)?.file_name();
        steps.extend(
            name.to_str().and_then(|name| name.strip_prefix("step-")).and_then(|n| n.parse::<u64>().ok()),
        );
    }
    steps.sort_unstable();
    Ok(steps)
}
