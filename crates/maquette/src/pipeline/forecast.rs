//! The stage `forecast`: what the ladder says of the run, sealed before it begins.

use std::{path::Path, time::SystemTime};

use base::Timestamp;
use forecast::{
    Channel, CurveForecast, FinalLoss, Forecast, Forecaster, ReferenceRuns, RungCurve, Seal, SealError,
    Settings, Table, Verdict, band,
};

use super::{
    answers,
    aside::{move_aside, set_aside},
    capability,
    ladder::{TooSmall, TrainLadder, finished::Ladder},
    plan::{Plan, run_plan},
    run::Run,
    stage::{Stage, hash},
};
use crate::{
    disk, machine, output,
    progress::{self, count},
    run_dir::{self, FORECAST, PassRates, RunFile as _, RungResult, read_seal, section, write_seal},
};

/// Seals the forecast of the run, or keeps the one that is there. Its ladder is trained where it is not there yet.
#[derive(Debug)]
pub(crate) struct SealForecast {
    /// Whether a run that is too small for a ladder goes on without a forecast.
    pub(crate) is_optional: bool,
}

impl Stage for SealForecast {
    fn name(&self) -> &'static str {
        "forecast"
    }

    fn about(&self) -> &'static str {
        "Seal what the ladder predicts"
    }

    fn inputs(&self, run: &Run) -> anyhow::Result<String> {
        let references = serde_json::to_string(&run.plan()?.recipe.ladder)?;
        Ok(hash(&[run.plan()?.inputs(), &TrainLadder.inputs(run)?, &references]))
    }

    fn run(&self, run: &Run) -> anyhow::Result<()> {
        match run.seal_forecast() {
            // A very short run is still a run.
            Err(error) if self.is_optional && error.is::<TooSmall>() => {
                progress::say("forecast", &format!("none: {}", error.to_string().replace('\n', "; ")));
                Ok(())
            }
            sealed => sealed,
        }
    }
}

impl Run {
    fn seal_forecast(&self) -> anyhow::Result<()> {
        let plan = self.plan()?;
        machine::check_memory(plan.config(), plan.settings())?;
        // Before the minutes that the ladder takes.
        disk::check(&self.dir.join("pretrain"), plan.config(), plan.settings())?;
        // What the minutes came to is fixed here: ladder and run are derived from the same budget.
        self.write_recipe(&plan.recipe)?;
        let path = self.dir.join(FORECAST);
        let (target, there) = (plan.target()?, self.own_seal()?);
        if self.is_begun_from(plan) {
            let Some(there) = there else { return self.without_forecast(&path, plan) };
            run_dir::check_plan(&path, &there, &plan.identity, &target)?;
            run_dir::check(&self.dir, &path, &there)?;
            describe(&there.forecast, "kept: the run has begun");
            answers::describe(&there, "kept")?;
            return Ok(());
        }
        // Before the minutes that the ladder takes.
        let references = self.references()?;
        let ladder = match self.ladder() {
            // The run will have no forecast: that of an earlier one is not its own.
            Err(error) if error.is::<TooSmall>() => {
                let is_own = |there| run_dir::check_plan(&path, there, &plan.identity, &target).is_ok();
                if there.as_ref().is_some_and(|there| !is_own(there)) {
                    set_aside(&path)?;
                }
                return Err(error);
            }
            ladder => ladder?,
        };
        let table = table(ladder.points())?;
        let seal_at = |at| sealed(ladder, &table, plan, &references, at);
        if let Some(there) = there {
            let is_same = there.forecast.fingerprint == table.fingerprint()
                && there.forecast.target == target
                && there.is_with_references(&references);
            if is_same {
                check_refit(&path, &there, &seal_at(there.sealed_at)?)?;
                describe(&there.forecast, "kept");
                answers::describe(&there, "kept")?;
                return Ok(());
            }
            set_aside(&path)?;
        }
        let seal = seal_at(Timestamp::from(SystemTime::now()))?;
        for warning in &seal.forecast.warnings {
            output::talk(format_args!("{:>12} {}", "warning", warning.text));
        }
        describe(&seal.forecast, "sealed");
        answers::describe(&seal, "sealed")?;
        if let Some(predicted) = seal.extra.get(section::PASS_RATES) {
            describe_capability(&serde_json::from_value(predicted.clone())?);
        }
        write_seal(&self.dir, &seal)?;
        progress::say("seal", &seal.seal);
        Ok(())
    }

    /// A run has begun and has no forecast: it had none, or lost it. A forecast made now could depend on the run, unless it is the
    /// very one that the run's files name.
    fn without_forecast(&self, path: &Path, plan: &Plan) -> anyhow::Result<()> {
        let recorded = run_dir::recorded_seals(&self.dir).into_iter().find(|(_, seal)| !seal.is_empty());
        let Some((file, seal)) = recorded else {
            progress::say("forecast", "none: the run has begun, and a forecast must be sealed before");
            return Ok(());
        };
        if let (Some(at), Some(ladder)) = (self.sealed_at(), self.kept_ladder(plan)) {
            let again = table(ladder.points())
                .and_then(|table| sealed(&ladder, &table, plan, &self.references()?, at));
            if let Ok(again) = again.map(|again| (again.seal == seal).then_some(again))
                && let Some(again) = again
            {
                write_seal(&self.dir, &again)?;
                describe(
                    &again.forecast,
                    "was lost, and made again from the ladder: its seal is the recorded one",
                );
                return Ok(());
            }
        }
        progress::say(
            "forecast",
            &format!(
                "LOST: `{}` is not there; `{}` names its seal, {seal}. The run continues without it: there are no alarms and no verdict \
                 unless that file is put back. A forecast made now could depend on the run",
                path.display(),
                self.dir.join(file).display()
            ),
        );
        Ok(())
    }

    /// The sealed forecast of the run. Half a file is none: it is moved out of the way.
    pub(super) fn own_seal(&self) -> anyhow::Result<Option<Seal>> {
        let path = self.dir.join(FORECAST);
        match read_seal(&path) {
            Err(error) if matches!(error.downcast_ref(), Some(SealError::Json(_))) => {
                move_aside(&path, "is cut off or damaged")?;
                Ok(None)
            }
            seal => seal,
        }
    }

    /// When the forecast of the run was sealed, as the run's files say.
    fn sealed_at(&self) -> Option<Timestamp> {
        let begun = run_dir::sealed_at_start(&self.dir).and_then(|sealed| sealed.sealed_at?.parse().ok());
        begun.or_else(|| Some(Verdict::read(&self.dir)?.sealed_at))
    }

    /// The reference runs that the recipe names.
    fn references(&self) -> anyhow::Result<Vec<ReferenceRuns>> {
        let paths = self.recipe()?.ladder.iter().flat_map(|ladder| &ladder.reference_runs);
        paths.map(|path| run_dir::reference_runs(path)).collect()
    }
}

/// What the ladder predicts of the run, sealed `at` that time: the same ladder and time give the same seal.
fn sealed(
    ladder: &Ladder,
    table: &Table,
    plan: &Plan,
    references: &[ReferenceRuns],
    at: Timestamp,
) -> anyhow::Result<Seal> {
    let target = plan.target()?;
    let fitted = Forecaster::fit(table, &Settings::default(), references)?;
    let forecast = fitted.forecast(&target)?;
    let paths = plan.recipe.ladder.as_ref().map_or(&[][..], |ladder| &ladder.reference_runs);
    let answers = answers::predict(ladder, table, &forecast, paths)?;
    let curves = curves(ladder, plan, &forecast);
    let seal = Seal::new(table, forecast, at, env!("CARGO_PKG_VERSION"))?
        .with_references(fitted.references())
        .with_band(band(&fitted, table, &target)?)
        .with_extra(section::RUN, serde_json::to_value(&plan.identity)?)
        .with_extra(section::CURVES, serde_json::to_value(&curves)?)
        .with_extra(section::COST, serde_json::to_value(ladder.cost)?)
        .with_extra(section::SWEEP, serde_json::to_value(&ladder.sweep)?)
        .with_extra(section::RATIOS, serde_json::to_value(&ladder.ratios)?);
    let seal = match answers.is_empty() {
        true => seal,
        false => seal.with_extra(section::ANSWERS, serde_json::to_value(&answers)?),
    };
    Ok(match capability::predict(ladder.points(), &seal.forecast)? {
        Some(predicted) => seal.with_extra(section::PASS_RATES, serde_json::to_value(&predicted)?),
        None => seal,
    })
}

/// Refuses a forecast that its own points do not give, where this version made it.
fn check_refit(path: &Path, there: &Seal, again: &Seal) -> anyhow::Result<()> {
    let (found, expected) = (&there.forecast.prediction, &again.forecast.prediction);
    let is_other_version = there.maquette_version != again.maquette_version;
    anyhow::ensure!(
        is_other_version || there.extra.get(section::ANSWERS) == again.extra.get(section::ANSWERS),
        "`{}` forecasts other losses of answers about pictures than its ladder gives: it was changed and sealed again\n\
         hint: put the forecast back as it was sealed, or move it away to seal another before the run begins",
        path.display()
    );
    let is_same = is_other_version || found == expected;
    anyhow::ensure!(
        is_same,
        "`{}` forecasts {:.4}, 95 % interval {:.4} to {:.4}, but its own points give {:.4}, {:.4} to {:.4}: it was changed \
         and sealed again\nhint: put the forecast back as it was sealed, or move it away to seal another before the run begins",
        path.display(),
        found.median,
        found.lo95,
        found.hi95,
        expected.median,
        expected.lo95,
        expected.hi95
    );
    Ok(())
}

/// What the law is fitted to.
fn table<'a>(results: impl Iterator<Item = &'a RungResult>) -> anyhow::Result<Table> {
    Ok(Table::new(results.map(RungResult::point).collect())?)
}

/// The curves that the run is watched against; none, with a word why, where the rungs do not give one.
fn curves(ladder: &Ladder, plan: &Plan, forecast: &Forecast) -> Vec<CurveForecast> {
    let rungs: Vec<RungCurve> = ladder
        .points()
        .map(|result| RungCurve {
            run: result.run.clone(),
            plan: run_plan(&result.config, &result.settings),
            final_loss_nats: result.loss_nats,
            train_loss_nats: result.train_loss.clone(),
            grad_norm: result.grad_norm.clone(),
        })
        .collect();
    let final_loss =
        FinalLoss { median_nats: forecast.prediction.median, draws_nats: forecast.draws.clone() };
    let plan = run_plan(plan.config(), plan.settings());
    let fitted = CurveForecast::fit_channel(&rungs, &plan, &final_loss, Channel::Loss);
    match fitted {
        Ok(curve) => vec![curve],
        Err(error) => {
            progress::say("forecast", &format!("no curve: {error}"));
            Vec::new()
        }
    }
}

fn describe_capability(predicted: &PassRates) {
    let rates: Vec<String> = predicted
        .buckets
        .iter()
        .map(|bucket| match &bucket.pass_rate {
            Some(p) => {
                let [median, low, high] = [p.median, p.lo80, p.hi80].map(progress::probability);
                format!("{median} ({low} to {high})")
            }
            None => "refused".into(),
        })
        .collect();
    progress::say(
        "forecast",
        &format!("pass rates by difficulty, with 80 % intervals: {}", rates.join(", ")),
    );
}

fn describe(forecast: &Forecast, note: &str) {
    let p = &forecast.prediction;
    progress::say(
        "forecast",
        &format!(
            "validation loss {:.4} nats per token at {} FLOPs, 80 % interval {:.4} to {:.4}, 95 % interval {:.4} to {:.4} ({} runs, {}); {note}",
            p.median,
            count(forecast.target.flops),
            p.lo80,
            p.hi80,
            p.lo95,
            p.hi95,
            forecast.n_points,
            forecast.law
        ),
    );
}
