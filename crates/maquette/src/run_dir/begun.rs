//! The first line of `metrics.jsonl`: when the run began, and with which forecast.

use std::{
    fs::File,
    io::{BufReader, ErrorKind, Read as _},
    path::Path,
};

use anyhow::Context as _;
use base::Timestamp;
use train::{MetricKind as _, MetricsReader, RunBegun};

use super::METRICS;

/// Longest first line that is looked at.
const MAX_LINE_BYTES: u64 = 1 << 16;

/// When a run took its first step.
#[derive(Debug, PartialEq)]
pub(crate) enum Begun {
    /// It has not yet.
    NotYet,
    At(Timestamp),
    /// Its metrics do not say so: their first line is lost, or was made by hand.
    Unknown,
}

/// A forecast, as the record of a run names it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SealedAtStart {
    /// Empty where there was none.
    pub(crate) seal: String,
    pub(crate) sealed_at: Option<String>,
}

/// The forecast that was sealed when the run took its first step; `None` where its metrics do not say.
pub(crate) fn sealed_at_start(dir: &Path) -> Option<SealedAtStart> {
    let RunBegun { seal, sealed_at, .. } = first_line(&dir.join(METRICS)).ok()???;
    Some(SealedAtStart { seal: seal?, sealed_at })
}

/// What the first line says, if it says that the run began; `None` where there is no line yet.
fn first_line(path: &Path) -> std::io::Result<Option<Option<RunBegun>>> {
    let file = BufReader::new(File::open(path)?.take(MAX_LINE_BYTES));
    let line = MetricsReader::new(file).next().transpose()?;
    Ok(line.map(|line| line.metric.ok().filter(|metric| metric.kind == RunBegun::KIND)?.read().ok()))
}

/// The time in a first line.
fn time(line: Option<RunBegun>) -> Option<Timestamp> {
    Timestamp::from_unix_s(line?.unix_s)
}

impl Begun {
    pub(crate) fn read(dir: &Path) -> anyhow::Result<Self> {
        anyhow::ensure!(
            dir.is_dir(),
            "expected the folder of a run at `{}`, found none\nhint: give a folder such as runs/quickstart",
            dir.display()
        );
        let path = dir.join(METRICS);
        let line = match first_line(&path) {
            Ok(line) => line,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::NotYet),
            Err(error) => {
                return Err(error).with_context(|| {
                    format!(
                        "cannot read `{}`\nhint: it holds the run's metrics, one object a line",
                        path.display()
                    )
                });
            }
        };
        Ok(match line {
            None => Self::NotYet,
            Some(line) => time(line).map_or(Self::Unknown, Self::At),
        })
    }

    pub(crate) fn at(&self) -> Option<Timestamp> {
        if let Self::At(at) = self { Some(*at) } else { None }
    }
}

/// When the run took its first step, as its metrics say.
pub(crate) fn first_step_at(metrics: &Path) -> anyhow::Result<Option<Timestamp>> {
    let line = first_line(metrics).with_context(|| format!("cannot read `{}`", metrics.display()))?;
    Ok(line.and_then(time))
}
