//! The first line of `metrics.jsonl`: when the run began, and with which forecast.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, ErrorKind, Read as _},
    path::Path,
};

use anyhow::Context as _;
use base::Timestamp;
use serde::Deserialize;

use super::METRICS;

/// Longest first line that is looked at.
const MAX_LINE_BYTES: u64 = 1 << 16;

/// When a run took its first step.
#[derive(Debug, PartialEq)]
pub(crate) enum Begun {
    /// It has not yet.
    NotYet,
    At(Timestamp),
    /// Its metrics do not say so: they are from an older version.
    Unknown,
}

/// The first line of `metrics.jsonl`.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum FirstLine {
    Begun {
        unix_s: f64,
        seal: Option<String>,
        sealed_at: Option<String>,
    },
    #[serde(other)]
    Other,
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
    match serde_json::from_str(&first_line(&dir.join(METRICS)).ok()?) {
        Ok(FirstLine::Begun { seal, sealed_at, .. }) => Some(SealedAtStart { seal: seal?, sealed_at }),
        _ => None,
    }
}

fn first_line(path: &Path) -> std::io::Result<String> {
    let mut line = String::new();
    BufReader::new(File::open(path)?.take(MAX_LINE_BYTES)).read_line(&mut line)?;
    Ok(line)
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
        if line.is_empty() {
            return Ok(Self::NotYet);
        }
        Ok(match serde_json::from_str(&line) {
            Ok(FirstLine::Begun { unix_s, .. }) => {
                Timestamp::from_unix_s(unix_s).map_or(Self::Unknown, Self::At)
            }
            _ => Self::Unknown,
        })
    }

    pub(crate) fn at(&self) -> Option<Timestamp> {
        if let Self::At(at) = self { Some(*at) } else { None }
    }
}

/// When the run took its first step, as its metrics say.
pub(crate) fn first_step_at(metrics: &Path) -> anyhow::Result<Option<Timestamp>> {
    let text =
        std::fs::read_to_string(metrics).with_context(|| format!("cannot read `{}`", metrics.display()))?;
    let first = text.lines().next().and_then(|line| serde_json::from_str(line).ok());
    Ok(match first {
        Some(train::Metric::Begun { unix_s, .. }) => Timestamp::from_unix_s(unix_s),
        _ => None,
    })
}
