//! `maquette forecast verify`

use std::path::{Path, PathBuf};

use forecast::{Forecaster, PartForecast, Prediction, Seal, Table};

use super::described_prediction;
use crate::{
    output,
    run_dir::{self, Begun, read_named_seal, sealed_answers},
};

/// Above this the forecast cannot be made again from its points, in % of the loss.
const MAX_REFIT_ERROR_PCT: f64 = 0.01;

/// Check that a sealed forecast is unchanged and was made before the run
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A sealed forecast
    forecast: PathBuf,
    /// The run that it forecasts, to check that it was sealed before the first step and is the one that the run names
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// The hash that was published
    #[arg(long, value_name = "HASH")]
    seal: Option<String>,
    /// Print what was found as JSON on stdout
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let seal = read_named_seal(&args.forecast)?;
    if let Some(published) = &args.seal {
        anyhow::ensure!(
            published.trim().eq_ignore_ascii_case(&seal.seal),
            "expected the seal {}, found {} in `{}`: this is another forecast\n\
             hint: look for the file whose hash was published",
            published.trim(),
            seal.seal,
            args.forecast.display()
        );
    }
    let begun = args.run.as_deref().map(Begun::read).transpose()?;
    if let Some(Begun::At(first_step_at)) = begun {
        seal.check_before(first_step_at)?;
    }
    let compared = args.run.as_deref().map(|run| run_dir::check(run, &args.forecast, &seal)).transpose()?;
    let refit_error_pct = refit_error_pct(&seal);
    if let Some(error) = refit_error_pct.filter(|error| *error > MAX_REFIT_ERROR_PCT)
        && seal.maquette_version == env!("CARGO_PKG_VERSION")
    {
        anyhow::bail!(
            "expected the forecast that its points give, found one that differs by {error:.3} % in `{}`, sealed by this version\n\
             hint: it was changed and sealed again; look for the file that was sealed first",
            args.forecast.display()
        );
    }
    let answers = sealed_answers(&seal)?;
    let is_refitted = seal.maquette_version == env!("CARGO_PKG_VERSION");
    for part in answers.iter().filter(|_| is_refitted) {
        check_answers(&seal, part, &args.forecast)?;
    }
    if args.json {
        let shown = serde_json::json!({
            "seal": seal.seal,
            "sealed_at": seal.sealed_at,
            "maquette_version": seal.maquette_version,
            "fingerprint": seal.forecast.fingerprint,
            "n_points": seal.points.len(),
            "prediction": seal.forecast.prediction,
            "answers": answers,
            "refit_error_pct": refit_error_pct,
            "run": compared,
            "first_step_at": begun.as_ref().and_then(Begun::at),
        });
        return output::json(&shown);
    }
    output::words(format_args!(
        "seal      {}, unchanged\nsealed at {} by maquette {}\npoints    {}, fingerprint {}\n{}",
        seal.seal,
        seal.sealed_at,
        seal.maquette_version,
        seal.points.len(),
        seal.forecast.fingerprint,
        described_prediction(&seal.forecast.prediction)
    ))?;
    for part in &answers {
        output::words(format_args!("answers   {part}"))?;
    }
    output::words(match refit_error_pct {
        Some(error) if error <= MAX_REFIT_ERROR_PCT => "refit     gives the same forecast".to_owned(),
        Some(error) => format!(
            "refit     differs by {error:.3} %: maquette {} fits in another way than {} did",
            env!("CARGO_PKG_VERSION"),
            seal.maquette_version
        ),
        None => "refit     not possible with this version".to_owned(),
    })?;
    match &compared {
        Some(agreed) => output::words(format_args!("run       {agreed}"))?,
        None => output::words("run       not compared: --run DIR names the run that it forecasts")?,
    }
    match begun {
        None => Ok(()),
        Some(Begun::At(at)) => output::words(format_args!("in time   first step at {at}")),
        Some(Begun::NotYet) => output::words("in time   the run has not taken its first step"),
        Some(Begun::Unknown) => {
            output::words("in time   unknown: the run's metrics do not say when it took its first step")
        }
    }
}

/// Refuses a forecast of answers about pictures that its own losses do not give.
fn check_answers(seal: &Seal, part: &PartForecast, path: &Path) -> anyhow::Result<()> {
    let table = Table::new(seal.points.clone())?;
    let again = part.refitted(&table, &seal.forecast.settings, &seal.forecast.target)?;
    let is_near = match (&part.prediction, &again.prediction) {
        (Some(sealed), Some(again)) => error_pct(again, sealed) <= MAX_REFIT_ERROR_PCT,
        (sealed, again) => sealed.is_none() && again.is_none(),
    };
    anyhow::ensure!(
        is_near,
        "expected the forecast of answers about pictures that the sealed losses give, `{again}`, found another in `{}`, sealed by \
         this version: `{part}`\n\
         hint: it was changed and sealed again; look for the file that was sealed first",
        path.display()
    );
    Ok(())
}

/// How far the forecast of the same points with the same settings lies from the sealed one, at most, in %.
fn refit_error_pct(seal: &Seal) -> Option<f64> {
    let table = Table::new(seal.points.clone()).ok()?;
    let fitted = Forecaster::fit(&table, &seal.forecast.settings, &seal.references().ok()?).ok()?;
    let again = fitted.forecast(&seal.forecast.target).ok()?.prediction;
    Some(error_pct(&again, &seal.forecast.prediction))
}

/// How far the medians and bounds of two forecasts lie apart, at most, in %.
fn error_pct(again: &Prediction, sealed: &Prediction) -> f64 {
    let all = |p: &Prediction| [p.median, p.lo50, p.hi50, p.lo80, p.hi80, p.lo95, p.hi95];
    let errors = all(again).into_iter().zip(all(sealed)).map(|(a, b)| 100.0 * (a / b - 1.0).abs());
    errors.fold(0.0, f64::max)
}
