//! The report of a run: one self-contained HTML page, built from the files of the run and from nothing else.
//!
//! `read` opens and checks the files, `curves` turns the metrics into figures, `forecast` does so with a forecast,
//! `manifest` and `tables` set the rest in rows, `page` puts everything in its place; `plot`, `svg`, `axis` and
//! `number` know nothing about runs. `scores` is the page of an evaluation, `alignment` that of an alignment, `explained` has maps of
//! answers about pictures; `shell` is what all of them are set in. The page needs no network and no script.

mod alignment;
mod answers;
mod axis;
mod capability;
mod curves;
mod explained;
mod forecast;
mod manifest;
mod number;
mod page;
mod plot;
mod prediction;
mod read;
mod scores;
mod scores_safety;
mod shell;
mod svg;
mod tables;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::{
    output_file::{Kind, OutputFile},
    run_dir::{RECIPE, REPORT},
};

pub(crate) use self::{
    alignment::SAFETY,
    explained::render_explained,
    forecast::Picture,
    number::with_margin,
    scores::{ExamRow, ScoresPage, SealedLoss, TaskRow, render as render_scores},
    scores_safety::{Disagreement, SafetyRow, SafetyTask},
    shell::WRITER as PAGE_WRITER,
    svg::WRITER,
};

/// The page of the run in `run_dir`. Same files, same page: it holds no clock and no randomness.
///
/// # Errors
/// If one of the files named in `read` is missing or malformed; the message names the file, for JSON lines
/// the line too, and ends with a `hint:`.
pub(crate) fn render(run_dir: &Path) -> anyhow::Result<String> {
    Ok(page::page(&read::Run::open(run_dir)?).into_string())
}

/// Writes the page to `report.html` in `run_dir` and returns its path. A folder with `safety.json` and no recipe is that of an
/// alignment.
///
/// # Errors
/// As [`render`], or if the page cannot be written; an older report is then still whole.
pub(crate) fn write(run_dir: &Path) -> anyhow::Result<PathBuf> {
    let path = run_dir.join(REPORT);
    if run_dir.join(SAFETY).is_file() && !run_dir.join(RECIPE).exists() {
        let page = alignment::page(run_dir)?;
        OutputFile { path: &path, option: "--out", kind: Kind::Page }.write(page.as_bytes())?;
        return Ok(path);
    }
    let page = render(run_dir)?;
    base::write(&path, page.as_bytes()).with_context(|| {
        format!("cannot write `{}`\nhint: is the disk full, or the folder read-only?", path.display())
    })?;
    Ok(path)
}
