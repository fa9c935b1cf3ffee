//! Whether a sealed forecast is the one of the run beside it.
//!
//! A seal holds its content together, but whoever changes a forecast can seal it again. The run's own files show it: its metrics,
//! its alarms and its verdict name the seal that they were written with, the seal names the run that it forecasts, and its points are
//! those of the ladder's files.

use std::{fs, path::Path};

use anyhow::Context as _;
use forecast::{Point, Seal, Target, Verdict};
use serde::{Deserialize, Serialize};

use super::{
    FORECAST, INPUTS, METRICS, RECIPE, RunFile as _, SUMMARY, VERDICT, WATCH, Watched, begun, of_text, rung,
    section, summary,
};
use crate::recipe::Recipe;

/// A compute further than this factor from the run's is another run's, where a forecast was sealed by hand: its FLOPs may be
/// counted in another way.
const MAX_COMPUTE_RATIO: f64 = 1.5;
/// The same, where this program planned both: rounding.
const MAX_ROUNDING: f64 = 1e-9;

/// A run, as the seal of its forecast names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Hash of model, settings, tokenizer and data.
    pub(crate) inputs: String,
    pub(crate) tokenizer: String,
    pub(crate) data: String,
}

/// The run that a seal names; none in those of earlier versions and in those sealed by hand.
fn named(path: &Path, seal: &Seal) -> anyhow::Result<Option<Identity>> {
    let run = seal.extra.get(section::RUN).cloned().map(serde_json::from_value);
    run.transpose().with_context(|| format!("in `{}`: `{}` names no run", path.display(), section::RUN))
}

/// Whether this program's ladder made it, for one run alone.
fn is_of_ladder(seal: &Seal) -> bool {
    seal.extra.contains_key(section::RUN) || seal.extra.contains_key(section::CURVES)
}

/// Refuses the forecast of another run than the one that is to be trained.
pub(crate) fn check_plan(path: &Path, seal: &Seal, run: &Identity, target: &Target) -> anyhow::Result<()> {
    let hint = "hint: `maquette run` takes all stages and seals a forecast of this run; or put the run's own forecast back";
    check_target(path, seal, target, "the run to be trained", hint)?;
    let Some(named) = named(path, seal)? else { return Ok(()) };
    for (what, there, here) in [
        ("tokenizer", &named.tokenizer, &run.tokenizer),
        ("data", &named.data, &run.data),
        ("settings", &named.inputs, &run.inputs),
    ] {
        anyhow::ensure!(
            there == here,
            "expected the forecast of the run to be trained in `{}`, found one of another run: its {what} have the hash {there}, \
             those of this run {here}\n{hint}",
            path.display()
        );
    }
    Ok(())
}

fn check_target(path: &Path, seal: &Seal, run: &Target, whose: &str, hint: &str) -> anyhow::Result<()> {
    let forecast = seal.forecast.target;
    let is_exact = is_of_ladder(seal);
    let most = if is_exact { 1.0 + MAX_ROUNDING } else { MAX_COMPUTE_RATIO };
    let pairs = [
        ("FLOPs", Some(forecast.flops), Some(run.flops)),
        ("parameters", forecast.n_params.filter(|_| is_exact), run.n_params),
        ("tokens", forecast.n_tokens.filter(|_| is_exact), run.n_tokens),
    ];
    for (what, there, here) in pairs {
        let (Some(there), Some(here)) = (there, here) else { continue };
        anyhow::ensure!(
            (there / here).max(here / there) <= most,
            "`{}` forecasts a run of {there:.6e} {what}, {whose} has {here:.6e}: it is the forecast of another run\n{hint}",
            path.display()
        );
    }
    Ok(())
}

/// What of a run's folder was found to agree with a seal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Agreement {
    /// Files that name this seal, or the run that it forecasts.
    pub(crate) files: Vec<String>,
    /// Points of the forecast that are still in the ladder's files.
    pub(crate) n_rungs: usize,
}

impl std::fmt::Display for Agreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut files = self.files.clone();
        if self.n_rungs > 0 {
            files.push(format!("{} files of ladder/", self.n_rungs));
        }
        match files.is_empty() {
            true => f.write_str("nothing to compare with: it has written down no seal yet"),
            false => write!(f, "agrees with {}", files.join(", ")),
        }
    }
}

/// Compares a forecast with what the run in `run_dir` has written down.
///
/// A forecast that was sealed by hand and lies elsewhere may be a second one of the same run: of that the compute alone is
/// compared.
///
/// # Errors
/// If a file says that the forecast is another one, or another run's; which one and what it says.
pub(crate) fn check(run_dir: &Path, path: &Path, seal: &Seal) -> anyhow::Result<Agreement> {
    let mut agreed = Agreement::default();
    let is_own = fs::canonicalize(run_dir.join(FORECAST)).ok() == fs::canonicalize(path).ok();
    if is_own || is_of_ladder(seal) {
        for (file, recorded) in recorded_seals(run_dir) {
            let (path, file_of_run) = (path.display(), run_dir.join(file));
            anyhow::ensure!(
                !recorded.is_empty(),
                "`{path}` has the seal {}, but no forecast was there when `{}` began\n\
                 hint: move it away: what is sealed after a run has begun is no forecast of it",
                seal.seal,
                file_of_run.display()
            );
            anyhow::ensure!(
                recorded == seal.seal,
                "`{path}` has the seal {}, but `{}` was written with the seal {recorded}: the forecast was changed, or is not \
                 this run's\n\
                 hint: put the forecast back whose seal is {recorded}; what is sealed again after a run has begun is no \
                 forecast of it",
                seal.seal,
                file_of_run.display()
            );
            agreed.files.push(file.to_owned());
        }
    }
    if let Ok(summary) = summary(run_dir) {
        let (n_tokens, flops) = of_text(run_dir, &summary);
        let n_params = Some(summary.n_matrix_params as f64);
        let run = Target { flops, n_params, n_tokens: Some(n_tokens) };
        let whose = format!("the run of `{}`", run_dir.join(SUMMARY).display());
        check_target(path, seal, &run, &whose, "hint: put the run's own forecast back")?;
        agreed.files.push(SUMMARY.to_owned());
    }
    if let Some(named) = named(path, seal)? {
        check_named(run_dir, path, &named, &mut agreed)?;
    }
    if is_of_ladder(seal) {
        agreed.n_rungs = check_rungs(run_dir, path, &seal.points)?;
    }
    Ok(agreed)
}

/// The seals that the files of a run name, where they can be read: a file that is lost says nothing.
pub(crate) fn recorded_seals(run_dir: &Path) -> Vec<(&'static str, String)> {
    let begun = begun::sealed_at_start(run_dir).map(|sealed| sealed.seal);
    let watched = Watched::read(run_dir).map(|watched| watched.seal);
    let judged = Verdict::read(run_dir).map(|verdict| verdict.seal);
    [(METRICS, begun), (WATCH, watched), (VERDICT, judged)]
        .into_iter()
        .filter_map(|(file, seal)| Some((file, seal?)))
        .collect()
}

fn check_named(run_dir: &Path, path: &Path, named: &Identity, agreed: &mut Agreement) -> anyhow::Result<()> {
    let inputs =
        fs::read_to_string(run_dir.join(INPUTS)).ok().filter(|inputs| inputs.len() == named.inputs.len());
    let hashes = Recipe::resolved(&run_dir.join(RECIPE)).and_then(|recipe| recipe.hashes);
    let (tokenizer, data) = hashes.map(|hashes| (hashes.tokenizer, hashes.data)).unzip();
    for (file, what, there, here) in [
        (RECIPE, "tokenizer", &named.tokenizer, tokenizer),
        (RECIPE, "data", &named.data, data),
        (INPUTS, "settings", &named.inputs, inputs),
    ] {
        let Some(here) = here else { continue };
        anyhow::ensure!(
            *there == here,
            "`{}` is the forecast of another run: its {what} have the hash {there}, `{}` has {here}\n\
             hint: put the run's own forecast back",
            path.display(),
            run_dir.join(file).display()
        );
        if agreed.files.last().is_none_or(|last| last != file) {
            agreed.files.push(file.to_owned());
        }
    }
    Ok(())
}

/// Every point whose rung is still there must be the rung's; returns how many are.
fn check_rungs(run_dir: &Path, path: &Path, points: &[Point]) -> anyhow::Result<usize> {
    let dir = run_dir.join("ladder");
    let mut n = 0;
    for point in points {
        let file = rung::rung_file(&dir, &point.run);
        let Ok(there) = rung::RungFile::read(&file) else { continue };
        anyhow::ensure!(
            there.result.point() == *point && there.is_as_written(),
            "`{}` was changed: `{}` was made from a loss of {} in {:.6e} FLOPs, found {} in {:.6e}\n\
             hint: remove the file: the forecast holds what it was made from",
            file.display(),
            path.display(),
            point.loss,
            point.flops,
            there.result.loss_nats,
            there.result.flops
        );
        n += 1;
    }
    Ok(n)
}
