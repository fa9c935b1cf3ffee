//! The files of a run that the report is built from, opened and checked before a word is written.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{anyhow, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

/// The resolved recipe.
pub(super) const RECIPE: &str = "recipe.toml";
/// What went into the token shards, and the shards.
pub(super) const MANIFEST: &str = "data/manifest.jsonl";
/// One object a step, and one an event.
pub(super) const METRICS: &str = "pretrain/metrics.jsonl";
/// The totals of the stage and the last validation.
pub(super) const SUMMARY: &str = "pretrain/summary.json";
/// Text that the finished model wrote.
pub(super) const SAMPLES: &str = "pretrain/samples.jsonl";

/// Everything the report shows.
pub(super) struct Run {
    pub name: String,
    pub recipe: toml::Table,
    pub manifest: Vec<Entry>,
    pub metrics: Metrics,
    pub summary: Summary,
    pub samples: Vec<Sample>,
    /// The files above, in the order in which they were read.
    pub sources: Vec<Source>,
}

/// A file that the report was built from.
pub(super) struct Source {
    pub path: &'static str,
    pub n_bytes: usize,
    /// XXH3, 64 bits, of the bytes as read.
    pub xxh3: u64,
    /// The last line was cut short by a crash and left out.
    pub is_cut: bool,
}

/// One line of the manifest: a source document file, or a shard made from them.
#[derive(Deserialize)]
pub(super) struct Entry {
    pub kind: String,
    pub path: String,
    pub split: Option<String>,
    pub bytes: Option<u64>,
    pub documents: Option<u64>,
    pub tokens: Option<u64>,
    pub sha256: Option<String>,
    pub licence: Option<String>,
    /// Documents left out, by reason.
    pub dropped: Option<BTreeMap<String, Value>>,
    /// Fields that this version does not know; shown as further columns.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

/// The metrics, sorted by kind; steps rise strictly within each.
#[derive(Default)]
pub(super) struct Metrics {
    pub train: Vec<Train>,
    pub validation: Vec<Validation>,
    pub spikes: Vec<Spike>,
    pub resumed: Vec<u64>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Line {
    Train(Train),
    Validation(Validation),
    Spike(Spike),
    Resumed {
        step: u64,
    },
    #[serde(other)]
    Other,
}

/// One optimizer step. A loss that is not a number is `null` in the file and NaN here.
#[derive(Deserialize)]
pub(super) struct Train {
    pub step: u64,
    #[serde(deserialize_with = "null_is_nan")]
    pub loss_nats: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub grad_norm: f64,
    /// By parameter group.
    pub lr: BTreeMap<String, f64>,
    /// Since the start of the run, as are the FLOPs.
    pub tokens: u64,
    pub flops: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub tokens_per_second: f64,
}

/// One pass over the validation text.
#[derive(Deserialize)]
pub(super) struct Validation {
    pub step: u64,
    pub tokens: u64,
    pub flops: f64,
    #[serde(flatten)]
    pub score: Score,
}

/// A loss with its noise, and the amount of text that it was measured on.
#[derive(Deserialize)]
pub(super) struct Score {
    #[serde(deserialize_with = "null_is_nan")]
    pub loss_nats: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub loss_stderr: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub bits_per_byte: f64,
    pub n_tokens: u64,
    pub n_bytes: u64,
}

impl Score {
    /// Half the width of the 95 % interval of the loss, in nats.
    pub(super) fn loss_margin(&self) -> f64 {
        1.96 * self.loss_stderr
    }

    /// Half the width of the 95 % interval in bits per byte: the loss times a constant of the text.
    pub(super) fn bits_margin(&self) -> f64 {
        self.loss_margin() * self.n_tokens as f64 / (self.n_bytes as f64 * std::f64::consts::LN_2)
    }
}

/// A step whose loss stood far above its neighbours.
#[derive(Deserialize)]
pub(super) struct Spike {
    pub step: u64,
    #[serde(deserialize_with = "null_is_nan")]
    pub loss_nats: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub z: f64,
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

/// Totals of the stage.
#[derive(Deserialize)]
pub(super) struct Summary {
    pub n_params: u64,
    pub n_matrix_params: u64,
    pub steps: u64,
    pub tokens: u64,
    pub flops: f64,
    pub elapsed_s: f64,
    pub tokens_per_second: f64,
    pub validation: Score,
    pub machine: BTreeMap<String, Value>,
    pub maquette_version: String,
}

/// A prompt and the continuation alone: `text` does not repeat the prompt.
#[derive(Deserialize)]
pub(super) struct Sample {
    pub prompt: String,
    pub text: String,
    pub temperature: f64,
    pub top_p: f64,
    pub seed: u64,
    pub step: u64,
    pub n_tokens: u64,
}

impl Run {
    /// Opens every file of the run in `run_dir`.
    ///
    /// # Errors
    /// If a file is missing or malformed, by its name.
    pub(super) fn open(run_dir: &Path) -> anyhow::Result<Self> {
        let mut sources = Vec::new();
        let recipe_text = String::from_utf8(read(run_dir, RECIPE, &mut sources)?)
            .map_err(|error| malformed(RECIPE, None, &error))?;
        let recipe: toml::Table =
            toml::from_str(&recipe_text).map_err(|error| malformed(RECIPE, None, &error))?;
        let manifest = lines(MANIFEST, &read(run_dir, MANIFEST, &mut sources)?)?;

        let mut metrics_bytes = read(run_dir, METRICS, &mut sources)?;
        let is_cut = drop_cut_line(&mut metrics_bytes);
        if let Some(source) = sources.last_mut() {
            source.is_cut = is_cut;
        }
        let metrics = Metrics::sorted(lines(METRICS, &metrics_bytes)?);
        if metrics.train.is_empty() {
            bail!(
                "`{METRICS}` should hold one object for each training step, found none\n\
                 hint: let the run take a step before its report is written"
            );
        }

        let summary = serde_json::from_slice(&read(run_dir, SUMMARY, &mut sources)?)
            .map_err(|error| malformed(SUMMARY, None, &error))?;
        let samples = lines(SAMPLES, &read(run_dir, SAMPLES, &mut sources)?)?;
        let name = match recipe.get("name").and_then(toml::Value::as_str) {
            Some(name) => name.to_owned(),
            None => run_dir
                .file_name()
                .map_or_else(|| "unnamed run".to_owned(), |name| name.to_string_lossy().into_owned()),
        };
        Ok(Self { name, recipe, manifest, metrics, summary, samples, sources })
    }
}

impl Metrics {
    /// A run that continues from a checkpoint repeats the steps after it: the later line holds.
    fn sorted(lines: Vec<Line>) -> Self {
        fn push<T>(list: &mut Vec<T>, item: T, step: impl Fn(&T) -> u64) {
            while list.last().is_some_and(|last| step(last) >= step(&item)) {
                list.pop();
            }
            list.push(item);
        }
        let mut sorted = Self::default();
        for line in lines {
            match line {
                Line::Train(line) => push(&mut sorted.train, line, |line| line.step),
                Line::Validation(line) => push(&mut sorted.validation, line, |line| line.step),
                Line::Spike(line) => push(&mut sorted.spikes, line, |line| line.step),
                Line::Resumed { step } => sorted.resumed.push(step),
                Line::Other => {}
            }
        }
        sorted
    }
}

fn read(run_dir: &Path, path: &'static str, sources: &mut Vec<Source>) -> anyhow::Result<Vec<u8>> {
    let bytes = std::fs::read(run_dir.join(path)).map_err(|error| {
        anyhow!(
            "the report is built from `{path}`, which cannot be read in `{}`: {error}\n\
             hint: `maquette run` writes it; give the same command again to finish the run",
            run_dir.display()
        )
    })?;
    sources.push(Source { path, n_bytes: bytes.len(), xxh3: xxh3_64(&bytes), is_cut: false });
    Ok(bytes)
}

/// Drops what follows the last line end, unless it is a whole object; says whether it did.
fn drop_cut_line(bytes: &mut Vec<u8>) -> bool {
    let start = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let tail = &bytes[start..];
    let is_cut = !tail.trim_ascii().is_empty() && serde_json::from_slice::<Value>(tail).is_err();
    if is_cut {
        bytes.truncate(start);
    }
    is_cut
}

fn lines<T: DeserializeOwned>(path: &'static str, bytes: &[u8]) -> anyhow::Result<Vec<T>> {
    let numbered = bytes.split(|&byte| byte == b'\n').zip(1..);
    numbered
        .filter(|(line, _)| !line.trim_ascii().is_empty())
        .map(|(line, number)| {
            serde_json::from_slice(line).map_err(|error| malformed(path, Some(number), &error))
        })
        .collect()
}

fn malformed(path: &str, line: Option<usize>, error: &dyn std::error::Error) -> anyhow::Error {
    let line = line.map(|number| format!(", line {number},")).unwrap_or_default();
    anyhow!(
        "`{path}`{line} is not what a run writes: {error}\n\
         hint: was it edited, or written by another version? `maquette run` writes it anew"
    )
}

fn null_is_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
