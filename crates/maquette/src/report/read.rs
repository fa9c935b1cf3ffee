//! The files of a run that the report is built from, opened and checked before a word is written.

use std::path::Path;

use anyhow::{anyhow, bail};
use base::hash::xxh3_64;
use data::{Entry, Manifest};
use forecast::{BucketForecast, CurveForecast, Seal, Verdict};
use serde::de::DeserializeOwned;
use train::{
    Metric, MetricKind, MetricsReader, ParamStalled, RecordLost, RowsRepeated, RunResumed, Spiked, TrainStep,
    Validated, Validation,
};

use crate::run_dir::{
    self, BucketOutcome, CAPABILITY, Cost, EXPLAINED, ExplainedAnswer, FORECAST, MANIFEST, METRICS,
    PassRates, RECIPE, RatioTest, RunFile, RunSummary, SAMPLES, Sample, Sweep, VERDICT, Watched,
};

/// The sealed forecast, and the actual losses.
pub(super) struct SealedRun {
    pub seal: Seal,
    pub verdict: Verdict,
    pub watched: Watched,
    /// Of the training loss; empty where the rungs gave none.
    pub curves: Vec<CurveForecast>,
    pub cost: Cost,
    pub sweep: Vec<Sweep>,
    /// Empty where no compute has widths enough, and in seals of earlier versions.
    pub ratios: Vec<RatioTest>,
    /// Where the recipe mixes graded tasks in and the rungs gave a forecast.
    pub capability: Option<Capability>,
}

/// Pass rates that were predicted, and those of the finished run, bucket by bucket.
pub(super) struct Capability {
    pub buckets: Vec<BucketForecast>,
    pub outcomes: Vec<BucketOutcome>,
}

/// Everything the report shows.
pub(super) struct Run {
    pub name: String,
    pub recipe: toml::Table,
    pub manifest: Manifest,
    pub metrics: Metrics,
    pub summary: RunSummary,
    pub samples: Vec<Sample>,
    /// Answers about pictures, where the run explained some.
    pub explained: Option<Vec<ExplainedAnswer>>,
    /// Where the recipe has a ladder.
    pub sealed: Option<SealedRun>,
    /// The files above, in the order in which they were read.
    pub sources: Vec<Source>,
}

/// A file that the report was built from.
pub(super) struct Source {
    pub path: String,
    pub n_bytes: usize,
    /// XXH3, 64 bits, of the bytes as read.
    pub xxh3: u64,
    /// The last line was cut short by a crash and left out.
    pub is_cut: bool,
}

impl Source {
    /// Of a file with these bytes.
    pub(super) fn of(path: &str, bytes: &[u8]) -> Self {
        Self { path: path.to_owned(), n_bytes: bytes.len(), xxh3: xxh3_64(bytes), is_cut: false }
    }
}

/// The metrics, sorted by kind; steps rise strictly within `steps` and within `validations`.
#[derive(Default)]
pub(super) struct Metrics {
    pub steps: Vec<TrainStep>,
    pub validations: Vec<Validated>,
    pub spikes: Vec<Spiked>,
    pub repeated: Vec<RowsRepeated>,
    pub stalled: Vec<ParamStalled>,
    /// Steps after which the run went on from a checkpoint.
    pub resumed: Vec<u64>,
    /// Steps up to which the record was lost.
    pub lost: Vec<u64>,
}

impl Metrics {
    /// Whether nothing happened that a reader should look at.
    pub(super) fn is_uneventful(&self) -> bool {
        let Self { spikes, repeated, stalled, resumed, lost, .. } = self;
        spikes.is_empty()
            && repeated.is_empty()
            && stalled.is_empty()
            && resumed.is_empty()
            && lost.is_empty()
    }
}

/// Half the width of the 95 % interval of the loss, in nats.
pub(super) fn loss_margin(validation: &Validation) -> f64 {
    1.96 * validation.loss_stderr
}

/// Half the width of the 95 % interval in bits per byte: that of the loss times a constant of the text.
pub(super) fn bits_margin(validation: &Validation) -> f64 {
    let Validation { n_tokens, n_bytes, .. } = *validation;
    loss_margin(validation) * n_tokens as f64 / (n_bytes as f64 * std::f64::consts::LN_2)
}

impl Run {
    /// Opens every file of the run in `run_dir`.
    ///
    /// # Errors
    /// If a file is missing or malformed, by its name.
    pub(super) fn open(run_dir: &Path) -> anyhow::Result<Self> {
        let mut sources = Vec::new();
        let recipe_text = String::from_utf8(read(run_dir, RECIPE, &mut sources)?)
            .map_err(|error| malformed(RECIPE, &error.to_string()))?;
        let recipe: toml::Table =
            toml::from_str(&recipe_text).map_err(|error| malformed(RECIPE, &error.to_string()))?;
        let name = recipe.get("name").and_then(toml::Value::as_str);
        let name = name.ok_or_else(|| malformed(RECIPE, "it has no `name`"))?.to_owned();

        let manifest = manifest(lines(MANIFEST, &read(run_dir, MANIFEST, &mut sources)?)?)?;
        let (metrics, is_cut) = Metrics::read(&read(run_dir, METRICS, &mut sources)?)?;
        if let Some(source) = sources.last_mut() {
            source.is_cut = is_cut;
        }
        let summary = json(run_dir, &mut sources)?;
        let samples = lines(SAMPLES, &read(run_dir, SAMPLES, &mut sources)?)?;
        let explained = match run_dir.join(EXPLAINED).exists() {
            true => Some(lines(EXPLAINED, &read(run_dir, EXPLAINED, &mut sources)?)?),
            false => None,
        };
        // A run whose forecast was never sealed has none to show; one that was sealed must show all of it.
        let has_forecast = recipe.contains_key("ladder") && run_dir.join(FORECAST).exists()
            || run_dir.join(VERDICT).exists();
        let sealed = has_forecast.then(|| sealed(run_dir, &mut sources)).transpose()?;
        Ok(Self { name, recipe, manifest, metrics, summary, samples, explained, sealed, sources })
    }
}

fn sealed(run_dir: &Path, sources: &mut Vec<Source>) -> anyhow::Result<SealedRun> {
    let seal = Seal::read(&read(run_dir, FORECAST, sources)?)
        .map_err(|error| malformed(FORECAST, &error.to_string()))?;
    run_dir::check(run_dir, &run_dir.join(FORECAST), &seal)?;
    let verdict = json(run_dir, sources)?;
    let watched = json(run_dir, sources)?;
    let (curves, cost, sweep) = (
        section(&seal, run_dir::section::CURVES)?,
        section(&seal, run_dir::section::COST)?,
        section(&seal, run_dir::section::SWEEP)?,
    );
    let ratios = match seal.extra.contains_key(run_dir::section::RATIOS) {
        true => section(&seal, run_dir::section::RATIOS)?,
        false => Vec::new(),
    };
    let capability = if seal.extra.contains_key(run_dir::section::PASS_RATES) {
        let predicted: PassRates = section(&seal, run_dir::section::PASS_RATES)?;
        let outcomes: Vec<BucketOutcome> = json(run_dir, sources)?;
        if outcomes.len() != predicted.buckets.len() {
            return Err(malformed(CAPABILITY, "its number of buckets differs from the forecast's"));
        }
        Some(Capability { buckets: predicted.buckets, outcomes })
    } else {
        None
    };
    Ok(SealedRun { verdict, watched, curves, cost, sweep, ratios, capability, seal })
}

/// One of the seal's further sections.
fn section<T: DeserializeOwned>(seal: &Seal, name: &str) -> anyhow::Result<T> {
    let value = seal.extra.get(name).ok_or_else(|| malformed(FORECAST, &format!("it has no `{name}`")))?;
    serde_json::from_value(value.clone()).map_err(|error| malformed(FORECAST, &format!("`{name}`: {error}")))
}

/// [`Manifest::read`] opens the file itself; the hash on the page must be of the very bytes that it shows.
fn manifest(entries: Vec<Entry>) -> anyhow::Result<Manifest> {
    let mut manifest = Manifest::default();
    for entry in entries {
        match entry {
            Entry::Source(source) => manifest.sources.push(source),
            Entry::PassedOver(what) => manifest.passed_over.push(what),
            Entry::File(file) => manifest.files.push(file),
            Entry::Shard(shard) => manifest.shards.push(shard),
        }
    }
    if manifest.files.is_empty() {
        bail!(
            "`{MANIFEST}` should hold one object for each file of the data, found none\n\
             hint: `maquette run` with the run's recipe writes it"
        );
    }
    Ok(manifest)
}

impl Metrics {
    /// Takes the metric in, if the page shows its kind.
    fn push(&mut self, metric: &Metric) -> Result<(), serde_json::Error> {
        match metric.kind.as_str() {
            TrainStep::KIND => self.steps.push(metric.read()?),
            Validated::KIND => self.validations.push(metric.read()?),
            Spiked::KIND => self.spikes.push(metric.read()?),
            RowsRepeated::KIND => self.repeated.push(metric.read()?),
            ParamStalled::KIND => self.stalled.push(metric.read()?),
            RunResumed::KIND => self.resumed.push(metric.step),
            RecordLost::KIND => self.lost.push(metric.step),
            _ => {}
        }
        Ok(())
    }

    /// Every metric, and whether a crash cut the last line: that is left out.
    fn read(bytes: &[u8]) -> anyhow::Result<(Self, bool)> {
        let (mut sorted, mut is_cut) = (Self::default(), false);
        for line in MetricsReader::new(bytes) {
            let line = line?;
            is_cut |= line.is_cut;
            if !line.is_blank && !line.is_cut {
                let pushed = line.metric.and_then(|metric| sorted.push(&metric));
                pushed.map_err(|error| malformed_line(METRICS, line.number, &error))?;
            }
        }
        rising(sorted.steps.iter().map(|line| line.step))?;
        rising(sorted.validations.iter().map(|line| line.step))?;
        if sorted.steps.is_empty() && sorted.lost.is_empty() {
            bail!(
                "`{METRICS}` should hold one object for each training step, found none\n\
                 hint: let the run take a step before its report is written"
            );
        }
        Ok((sorted, is_cut))
    }
}

/// A run that goes on from a checkpoint first cuts the file back to it, so that no step stands there twice.
fn rising(steps: impl Iterator<Item = u64> + Clone) -> anyhow::Result<()> {
    match steps.clone().zip(steps.skip(1)).find(|(last, step)| last >= step) {
        None => Ok(()),
        Some((last, step)) => {
            Err(malformed(METRICS, &format!("its steps should rise, found step {step} after step {last}")))
        }
    }
}

fn json<T: RunFile + DeserializeOwned>(run_dir: &Path, sources: &mut Vec<Source>) -> anyhow::Result<T> {
    serde_json::from_slice(&read(run_dir, T::PATH, sources)?)
        .map_err(|error| malformed(T::PATH, &error.to_string()))
}

fn read(run_dir: &Path, path: &'static str, sources: &mut Vec<Source>) -> anyhow::Result<Vec<u8>> {
    let bytes = std::fs::read(run_dir.join(path)).map_err(|error| {
        anyhow!(
            "the report is built from `{path}`, which cannot be read in `{}`: {error}\nhint: {}",
            run_dir.display(),
            match path {
                FORECAST => format!(
                    "`{VERDICT}` names the seal of the forecast that it judged: put that file back; or move `{VERDICT}` away \
                     for a page without a forecast"
                ),
                _ => "`maquette run` with the run's recipe writes it, or says what is lost and goes on".to_owned(),
            }
        )
    })?;
    sources.push(Source::of(path, &bytes));
    Ok(bytes)
}

fn lines<T: DeserializeOwned>(path: &'static str, bytes: &[u8]) -> anyhow::Result<Vec<T>> {
    let numbered = bytes.split(|&byte| byte == b'\n').zip(1..);
    numbered
        .filter(|(line, _)| !line.trim_ascii().is_empty())
        .map(|(line, number)| {
            serde_json::from_slice(line).map_err(|error| malformed_line(path, number, &error))
        })
        .collect()
}

fn malformed_line(path: &str, number: usize, error: &serde_json::Error) -> anyhow::Error {
    // The parser counts the lines of the object, which are not those of the file.
    let place = format!(" at line {} column {}", error.line(), error.column());
    let error = error.to_string();
    let error = error.strip_suffix(&place).unwrap_or(&error);
    malformed(path, &format!("at line {number}, {error}"))
}

fn malformed(path: &str, error: &str) -> anyhow::Error {
    anyhow!(
        "`{path}` is not what a run writes: {}\n\
         hint: was it edited, or written by another version of Maquette? [hashes] in `{RECIPE}` names the version \
         that made the run",
        error.trim_end()
    )
}
