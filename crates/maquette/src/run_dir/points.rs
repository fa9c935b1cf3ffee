//! Finished trainings as points: those of a run's folder, and those of a table.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use forecast::{ForecastError, Point, ReferenceRuns, Table};
use train::Validation;

use super::{RECIPE, Role, RungFile, SUMMARY, of_text, summary};
use crate::{input_file, output, recipe::Recipe};

/// A finished training: its point, and the losses of parts of what was validated at its end.
struct Finished {
    point: Point,
    parts: BTreeMap<String, Validation>,
}

/// The finished trainings in a run's folder: its rungs, and itself if it has ended.
pub(crate) fn points(dir: &Path) -> anyhow::Result<Vec<Point>> {
    Ok(finished(dir)?.into_iter().map(|finished| finished.point).collect())
}

fn finished(dir: &Path) -> anyhow::Result<Vec<Finished>> {
    let mut found = Vec::new();
    for path in rungs(dir) {
        let rung = RungFile::read(&path)?;
        anyhow::ensure!(
            rung.is_as_written(),
            "`{}` was changed after it was written\n\
             hint: put it back, or remove it: `maquette ladder` with the run's recipe trains it again",
            path.display()
        );
        // Runs with another role were trained in another way.
        let point = rung.result.point();
        found
            .extend((rung.result.role == Role::Rung).then_some(Finished { point, parts: rung.result.parts }));
    }
    if found.is_empty() || dir.join(SUMMARY).exists() {
        let summary = summary(dir)?;
        let (n_tokens, flops) = of_text(dir, &summary);
        let point = Point {
            run: name(dir),
            n_params: Some(summary.n_matrix_params as f64),
            n_tokens: Some(n_tokens),
            flops,
            loss: summary.validation.loss_nats,
            seed: seed(dir),
        };
        found.push(Finished { point, parts: summary.parts });
    }
    Ok(found)
}

/// The finished trainings in a run's folder with the loss of the part called `part` in place of the whole; none where `path` is a
/// table, or none of them has that part.
///
/// # Errors
/// If the folder cannot be read.
pub(crate) fn reference_part(
    path: &Path,
    part: &str,
) -> anyhow::Result<Option<Result<ReferenceRuns, ForecastError>>> {
    if !path.is_dir() {
        return Ok(None);
    }
    let of_part = |finished: Finished| {
        let loss = finished.parts.get(part)?.loss_nats;
        Some(Point { loss, ..finished.point })
    };
    let points: Vec<Point> = finished(path)?.into_iter().filter_map(of_part).collect();
    let runs = |points| ReferenceRuns::new(name(path), &Table::new(points)?);
    Ok((!points.is_empty()).then(|| runs(points)))
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
        let bytes = input_file::read(path).with_context(what)?;
        let table = Table::read_csv(&bytes[..]).with_context(what)?;
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

/// The name of the folder, also of `.` and of `runs/a/`.
fn name(dir: &Path) -> String {
    let full = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    full.file_name().unwrap_or(full.as_os_str()).to_string_lossy().into_owned()
}

/// The seed in the run's own recipe.
fn seed(dir: &Path) -> Option<u64> {
    Some(Recipe::resolved(&dir.join(RECIPE))?.seed)
}
