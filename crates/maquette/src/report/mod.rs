//! The report of a run: one self-contained HTML page, built from the files of the run and from nothing else.
//!
//! `read` opens and checks the files, `curves` turns the metrics into figures, `forecast` does so with a forecast,
//! `manifest` and `tables` set the rest in rows, `page` puts everything in its place; `plot`, `svg`, `axis` and
//! `number` know nothing about runs. `scores` is the page of an evaluation, `explained` has maps of answers about pictures. The page needs no network and no script.

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
mod svg;
mod tables;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::run_dir::REPORT;

pub(crate) use self::{
    explained::render_explained,
    forecast::Picture,
    number::with_margin,
    scores::{ExamRow, ScoresPage, SealedLoss, TaskRow, WRITER as PAGE_WRITER, render as render_scores},
    scores_safety::{Disagreement, SafetyRow, SafetyTask},
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

/// Writes the page to `report.html` in `run_dir` and returns its path.
///
/// # Errors
/// As [`render`], or if the page cannot be written; an older report is then still whole.
pub(crate) fn write(run_dir: &Path) -> anyhow::Result<PathBuf> {
    let page = render(run_dir)?;
    let path = run_dir.join(REPORT);
    base::write(&path, page.as_bytes()).with_context(|| {
        format!("cannot write `{}`\nhint: is the disk full, or the folder read-only?", path.display())
    })?;
    Ok(path)
}
