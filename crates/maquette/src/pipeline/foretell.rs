//! The stages `ladder` and `forecast`: from the recipe to a sealed forecast of its run.

use std::{fs, path::PathBuf, sync::Arc, time::SystemTime};

use anyhow::Context as _;
use data::{Prepared, Tokenizer};
use forecast::{
    Channel, CurveForecast, CurveSchedule, Experience, FinalLoss, Fitted, Forecast, Moment, Point, RunPlan,
    RungCurve, Seal, Settings, Table, Target, band,
};
use model::ModelConfig;
use train::TrainSettings;

use super::{
    Run, capability,
    ladder::{self, Ladder, RungResult},
    pretrain, set_aside, write_whole,
};
use crate::{
    machine, output,
    progress::{self, count},
    run_folder,
};

/// Name of the sealed forecast in a run's folder.
pub(crate) const FORECAST: &str = "forecast.json";

/// Sections of the seal beside the forecast of the final loss.
pub(crate) const CURVES: &str = "curves";
pub(crate) const COST: &str = "cost";
pub(crate) const SWEEP: &str = "learning_rate_sweep";
pub(crate) const RATIOS: &str = "tokens_per_param_sweep";

impl Run {
    /// Trains the ladder; seals its forecast if `seal`.
    pub(super) fn foretell(
        &self,
        tokenizer: &Tokenizer,
        prepared: &Arc<Prepared>,
        seal: bool,
    ) -> anyhow::Result<()> {
        let (resolved, config, settings) = self.resolve(tokenizer, prepared)?;
        machine::check_memory(&config, &settings)?;
        let inputs = pretrain::inputs(&config, &settings, tokenizer, prepared)?;
        let pretrain_dir = self.dir.join("pretrain");
        let has_begun = pretrain::is_begun_from(&pretrain_dir, &inputs);
        let path = self.dir.join(FORECAST);
        if has_begun && seal && !path.exists() {
            // A forecast made now could know the run.
            progress::say(
                "forecast",
                "none: the run has begun, and a forecast is sealed before or not at all",
            );
            return Ok(());
        }
        // What the minutes came to is fixed here: ladder and run are derived from the same budget.
        self.write_recipe(&resolved)?;
        let big = (config, settings);
        // Before the minutes that the ladder takes.
        let experience = self.experience()?;
        let ladder = self.ladder(tokenizer, prepared, &big)?;
        if !seal {
            return Ok(());
        }
        let table = table(ladder.points())?;
        let target = target(&big)?;
        if let Some(there) = read_seal(&path)? {
            let is_same = there.forecast.fingerprint == table.fingerprint()
                && there.forecast.target == target
                && there.is_with_kin(&experience.kin);
            if has_begun || is_same {
                let note =
                    if is_same { "kept" } else { "kept: the run has begun, another cannot be sealed now" };
                describe(&there.forecast, note);
                return Ok(());
            }
            set_aside(&path)?;
        }
        let fitted = Fitted::fit_with(&table, &Settings::default(), &experience)?;
        let forecast = fitted.forecast(&target)?;
        for warning in &forecast.warnings {
            output::talk(format_args!("{:>12} {}", "warning", warning.text));
        }
        let curves = curves(&ladder, &big, &forecast);
        describe(&forecast, "sealed");
        let now = Moment::from(SystemTime::now());
        let seal = Seal::new(&table, forecast, now, env!("CARGO_PKG_VERSION"))?
            .with_kin(fitted.kin())
            .with_band(band(&fitted, &table, &target)?)
            .with_extra(CURVES, serde_json::to_value(&curves)?)
            .with_extra(COST, serde_json::to_value(ladder.cost)?)
            .with_extra(SWEEP, serde_json::to_value(&ladder.sweep)?)
            .with_extra(RATIOS, serde_json::to_value(&ladder.ratios)?);
        let seal = match capability::foretell(ladder.points(), &seal.forecast)? {
            Some(foretold) => {
                describe_capability(&foretold);
                seal.with_extra(capability::CAPABILITY, serde_json::to_value(&foretold)?)
            }
            None => seal,
        };
        write_whole(&path, seal.to_json().as_bytes())?;
        progress::say("seal", &seal.seal);
        Ok(())
    }

    /// What earlier runs taught: kin that the recipe names.
    fn experience(&self) -> anyhow::Result<Experience> {
        let paths = self.recipe.ladder.iter().flat_map(|ladder| &ladder.kin);
        let kin = paths.map(|path| run_folder::kin(path)).collect::<Result<_, _>>()?;
        Ok(Experience { kin, ..Experience::default() })
    }
}

/// The sealed forecast at `path`, if there is one.
///
/// # Errors
/// If it was changed after it was sealed, or is no sealed forecast.
pub(crate) fn read_seal(path: &PathBuf) -> anyhow::Result<Option<Seal>> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(Some(Seal::read(&bytes).with_context(|| format!("in `{}`", path.display()))?))
}

/// What the law is fitted to.
fn table<'a>(results: impl Iterator<Item = &'a RungResult>) -> anyhow::Result<Table> {
    let points = results.map(|result| Point {
        run: result.run.clone(),
        n_params: Some(result.n_params),
        n_tokens: Some(result.n_tokens),
        flops: result.flops,
        loss: result.loss_nats,
        seed: Some(result.seed),
    });
    Ok(Table::new(points.collect())?)
}

fn target(big: &(ModelConfig, TrainSettings)) -> anyhow::Result<Target> {
    let plan = plan(&big.0, &big.1);
    let shape = Target::at_shape(plan.n_params, plan.n_tokens)?;
    // With the model's own FLOPs: attention's are in them, which 6·N·D leaves out.
    Ok(Target { flops: plan.flops, ..shape })
}

fn plan(config: &ModelConfig, settings: &TrainSettings) -> RunPlan {
    RunPlan {
        n_params: config.n_matrix_params() as f64,
        n_tokens: (settings.steps * settings.batch_tokens()) as f64,
        flops: ladder::flops(config, settings),
        batch_tokens: settings.batch_tokens() as f64,
        schedule: CurveSchedule {
            steps: settings.steps,
            warmup_steps: settings.warmup_steps,
            decay_steps: settings.decay_steps,
            final_lr_fraction: settings.final_lr_fraction,
        },
    }
}

/// The curves that the run is watched against; none, with a word why, where the rungs do not give one.
fn curves(ladder: &Ladder, big: &(ModelConfig, TrainSettings), forecast: &Forecast) -> Vec<CurveForecast> {
    let rungs: Vec<RungCurve> = ladder
        .points()
        .map(|result| RungCurve {
            run: result.run.clone(),
            plan: plan(&result.config, &result.settings),
            final_loss_nats: result.loss_nats,
            train_loss_nats: result.train_loss.clone(),
            grad_norm: result.grad_norm.clone(),
        })
        .collect();
    let final_loss =
        FinalLoss { median_nats: forecast.prediction.median, draws_nats: forecast.draws.clone() };
    let plan = plan(&big.0, &big.1);
    let fitted = CurveForecast::fit_channel(&rungs, &plan, &final_loss, Channel::Loss);
    match fitted {
        Ok(curve) => vec![curve],
        Err(error) => {
            progress::say("forecast", &format!("no curve: {error}"));
            Vec::new()
        }
    }
}

fn describe_capability(foretold: &capability::Foretold) {
    let rates: Vec<String> = foretold
        .buckets
        .iter()
        .map(|bucket| match &bucket.pass_rate {
            Some(p) => format!("{:.2} ({:.2} to {:.2})", p.median, p.lo80, p.hi80),
            None => "refused".into(),
        })
        .collect();
    progress::say("forecast", &format!("pass rates by difficulty, 80 %: {}", rates.join(", ")));
}

fn describe(forecast: &Forecast, note: &str) {
    let p = &forecast.prediction;
    progress::say(
        "forecast",
        &format!(
            "validation loss {:.4} nats per token at {} FLOPs, 80 % in {:.4} to {:.4}, 95 % in {:.4} to {:.4} ({} runs, {}); {note}",
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
