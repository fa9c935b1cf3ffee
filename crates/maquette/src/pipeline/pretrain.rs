//! The stage `pretrain`: train the model.

use std::fs;

use anyhow::Context as _;
use model::{ModelConfig, checkpoint};
use train::TrainSettings;

use super::{aside::set_aside, plan::Plan, run::Run, samples, stage::Stage, vocabulary};
use crate::{
    disk, machine,
    progress::{self, count},
    run_dir::{self, CAPABILITY, FORECAST, INPUTS, SCORES, Stamp, VERDICT, write_whole},
};

/// Trains, or keeps the training that is there, or goes on with one that was interrupted.
#[derive(Debug)]
pub(crate) struct Pretrain;

impl Stage for Pretrain {
    fn name(&self) -> &'static str {
        "pretrain"
    }

    fn about(&self) -> &'static str {
        "Train the model"
    }

    fn inputs(&self, run: &Run) -> anyhow::Result<String> {
        Ok(run.plan()?.inputs().to_owned())
    }

    fn run(&self, run: &Run) -> anyhow::Result<()> {
        let plan = run.plan()?;
        let (dir, forecast) = (run.dir.join("pretrain"), run.dir.join(FORECAST));
        let seal = run.own_seal()?;
        if let Some(seal) = &seal {
            run_dir::check_plan(&forecast, seal, &plan.identity, &plan.target()?)?;
        }
        // A training whose checkpoint is gone or damaged is not one to keep.
        let is_stamped = Stamp::is_kept(&dir, plan.inputs());
        let lost = match is_stamped {
            true => run.lost(plan.settings(), seal.as_ref())?,
            false => None,
        };
        if let Some(lost) = &lost {
            let lost = run.dir.join(lost);
            let text = format!(
                "`{}` is lost or damaged: made again from the last checkpoint as far as possible",
                lost.display()
            );
            progress::say("pretrain", &text);
        }
        let checkpoint = run.checkpoint()?;
        let is_whole = checkpoint.is_dir() && checkpoint::verify(&checkpoint).is_ok();
        if !is_stamped || !is_whole || lost.is_some() {
            return train(run, plan);
        }
        if let Some(seal) = &seal {
            run_dir::check(&run.dir, &forecast, seal)?;
        }
        run.write_recipe(&plan.recipe)?;
        if !fs::read_to_string(run.dir.join(INPUTS)).is_ok_and(|begun| begun == plan.inputs()) {
            write_whole(&run.dir.join(INPUTS), plan.inputs().as_bytes())?;
        }
        progress::say("pretrain", "kept");
        Ok(())
    }
}

fn train(run: &Run, plan: &Plan) -> anyhow::Result<()> {
    let (config, settings) = (plan.config(), plan.settings());
    let dir = run.dir.join("pretrain");
    // Checked before anything is written: a refused variant leaves the run as it was.
    machine::check_memory(config, settings)?;
    if let Some(warning) = disk::check(&dir, config, settings)? {
        progress::say("warning", &warning);
    }
    samples::check_prompts(run, config.max_seq_len)?;
    let is_other = run.is_begun() && !run.is_begun_from(plan);
    if is_other {
        set_aside(&dir)?;
    }
    // What an earlier training came to is no outcome of this one.
    for outcome in [VERDICT, CAPABILITY, SCORES] {
        let path = run.dir.join(outcome);
        if (is_other || !run.is_begun()) && path.exists() {
            set_aside(&path)?;
        }
    }
    base::disk::create_dir_all(&dir).with_context(|| {
        format!("cannot create `{}`\nhint: choose a folder that you may write to, with --out", dir.display())
    })?;
    run.write_recipe(&plan.recipe)?;
    write_whole(&run.dir.join(INPUTS), plan.inputs().as_bytes())?;
    describe(config, settings);
    for imbalance in vocabulary::imbalances(config, settings, run.prepared()?) {
        progress::say("warning", &imbalance);
    }
    run.train(plan, &dir)?;
    Stamp::write(&dir, plan.inputs(), None)
}

/// Says before it starts what will be trained.
fn describe(config: &ModelConfig, settings: &TrainSettings) {
    let tokens = settings.steps * settings.batch_tokens();
    let flops = tokens as f64 * config.train_flops_per_token(settings.seq_len);
    progress::say(
        "model",
        &format!(
            "{} parameters: {} layers, width {}, {} heads of {}, vocabulary {}",
            count(config.n_params() as f64),
            config.n_layers,
            config.d_model,
            config.n_heads,
            config.d_head,
            config.vocab_size
        ),
    );
    progress::say(
        "plan",
        &format!(
            "{} steps of {} × {} tokens: {} tokens, {} FLOPs",
            settings.steps,
            settings.batch_rows,
            settings.seq_len,
            count(tokens as f64),
            count(flops)
        ),
    );
}
