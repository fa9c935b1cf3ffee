//! What a run's own folder says about it: its outcome, its beginning, its points.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, ErrorKind, Read as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use base::Timestamp;
use forecast::{Point, ReferenceRuns, Table};
use serde::Deserialize;
use train::Summary;

use crate::output;

/// Longest first line of `metrics.jsonl` that is looked at.
const MAX_LINE_BYTES: u64 = 1 << 16;
/// Longest table that is read.
const MAX_TABLE_BYTES: u64 = 1 << 28;

/// The totals of a finished training.
pub(crate) fn summary(dir: &Path) -> anyhow::Result<Summary> {
    let path = dir.join("pretrain/summary.json");
    let bytes = fs::read(&path).with_context(|| {
        format!(
            "expected a finished run in `{}`, found no `pretrain/summary.json` there\n\
             hint: give the folder of a run, and let the run end first",
            dir.display()
        )
    })?;
    read_json(&path, &bytes)
}

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
    match serde_json::from_str(&first_line(&dir.join("pretrain/metrics.jsonl")).ok()?) {
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
        let path = dir.join("pretrain/metrics.jsonl");
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

/// One rung, as a file of `ladder/` holds it; what else stands there is for others.
#[derive(Deserialize)]
struct Rung {
    run: String,
    /// Runs with another role than `rung` were trained in another way.
    role: Option<String>,
    n_params: f64,
    n_tokens: f64,
    flops: f64,
    loss_nats: f64,
    seed: Option<u64>,
}

/// The finished trainings in a run's folder: its rungs, and itself if it has ended.
pub(crate) fn points(dir: &Path) -> anyhow::Result<Vec<Point>> {
    let mut points = Vec::new();
    for path in rungs(dir) {
        let bytes = fs::read(&path)
            .with_context(|| format!("cannot read `{}`\nhint: check who may read it", path.display()))?;
        let rung: Rung = read_json(&path, &bytes)?;
        if rung.role.is_some_and(|role| role != "rung") {
            continue;
        }
        points.push(Point {
            run: rung.run,
            n_params: Some(rung.n_params),
            n_tokens: Some(rung.n_tokens),
            flops: rung.flops,
            loss: rung.loss_nats,
            seed: rung.seed,
        });
    }
    if points.is_empty() || dir.join("pretrain/summary.json").exists() {
        let summary = summary(dir)?;
        points.push(Point {
            run: name(dir),
            n_params: Some(summary.n_matrix_params as f64),
            n_tokens: Some(summary.tokens as f64),
            flops: summary.flops,
            loss: summary.validation.loss_nats,
            seed: seed(dir),
        });
    }
    Ok(points)
}

/// Finished runs of the same design on other data: the folder of a run, or a table of points.
pub(crate) fn reference_runs(path: &Path) -> anyhow::Result<ReferenceRuns> {
    let what = || {
        format!(
            "expected the folder of a finished run, or a table of runs, at `{}`\n\
             hint: reference runs are finished runs of the same design on other data, as `maquette run` leaves them",
            path.display()
        )
    };
    let table = if path.is_dir() {
        Table::new(points(path).with_context(what)?)?
    } else {
        let table = Table::read_csv(File::open(path).with_context(what)?.take(MAX_TABLE_BYTES));
        let table = table.with_context(what)?;
        for warning in table.warnings() {
            output::talk(format_args!("warning: in `{}`: {}", path.display(), warning.text));
        }
        table.check_units().with_context(|| format!("in `{}`", path.display()))?;
        table
    };
    let name = if path.is_dir() { name(path) } else { stem(path) };
    ReferenceRuns::new(name, &table).with_context(what)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The files of `ladder/`, sorted.
fn rungs(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir.join("ladder")) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file() && path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    paths.sort();
    paths
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path, bytes: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(bytes).with_context(|| {
        format!(
            "`{}` is damaged, or from another version\nhint: run the same command again to write it anew",
            path.display()
        )
    })
}

/// The name of the folder, also of `.` and of `runs/a/`.
fn name(dir: &Path) -> String {
    let full = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    full.file_name().unwrap_or(full.as_os_str()).to_string_lossy().into_owned()
}

/// The seed in the run's own recipe.
fn seed(dir: &Path) -> Option<u64> {
    let recipe: toml::Table = toml::from_str(&fs::read_to_string(dir.join("recipe.toml")).ok()?).ok()?;
    recipe.get("seed")?.as_integer()?.try_into().ok()
}
