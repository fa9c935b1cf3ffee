//! The training of the stage `pretrain`, shown and watched while it runs.

use std::path::Path;

use data::ChatTemplate;
use train::{
    Event, Inputs, Metric, MetricKind as _, Outcome, ParamStalled, RowsRepeated, Spiked, StalledDetector,
    Trainer,
};

use super::{
    capability,
    plan::Plan,
    run::Run,
    watch::{self, Watcher},
};
use crate::{
    machine::Machine,
    progress::{self, Field, Progress, count, duration},
    run_dir::{FORECAST, METRICS, RunFile as _, RunSummary, read_seal},
    stop::{self, Interrupted},
};

impl Run {
    /// Trains in `dir`, or goes on there; then judges and examines what came of it.
    pub(super) fn train(&self, plan: &Plan, dir: &Path) -> anyhow::Result<()> {
        let (steps, dtype) = (plan.settings().steps, plan.settings().dtype.into());
        let tokenizer = self.tokenizer()?;
        let inputs = Inputs {
            kernels: self.kernels(),
            config: plan.config().clone(),
            settings: plan.settings().clone(),
            objective: self.objective(plan.config(), plan.settings(), None)?,
            tuning: plan.recipe.tuning.clone(),
            tokenizer: tokenizer.clone(),
            chat_template: self.chat_template(plan)?,
            forecast: read_seal(&self.dir.join(FORECAST))?.as_ref().map(watch::recorded),
            start: self.start()?.map(Path::to_owned),
        };
        // Before anything of the run is there: a forecast that was changed, or sealed late, stops it.
        let (is_new, metrics) = (!dir.join("checkpoints").exists(), self.dir.join(METRICS));
        if is_new {
            Watcher::open(&self.dir, &metrics, 0)?;
        }
        let mut trainer = Trainer::open(inputs, dir)?;
        let mut watcher = Watcher::open(&self.dir, &metrics, trainer.step())?;
        self.say_what_is_lost(&trainer);
        let mut broken = None;
        if trainer.step() > 0 {
            progress::say("pretrain", &format!("continues after step {} of {steps}", trainer.step()));
        }
        let mut bar = Progress::new("pretrain");
        // A running mean: single batches jump.
        let (mut loss, mut speed) = (Mean::default(), Mean::default());
        let outcome = trainer.run(stop::flag(), &mut |event| match event {
            Event::Step { step, loss_nats, text_loss_nats, grad_norm, tokens_per_second } => {
                // Forecasts are of the text's loss.
                let loss_nats = text_loss_nats.filter(|_| watcher.is_some()).unwrap_or(loss_nats);
                let (loss, speed) = (loss.push(loss_nats), speed.push(tokens_per_second));
                let forecast = watcher.as_ref().and_then(|watcher| watcher.predicted(step));
                let fields = [
                    Field::new(5, format!("step {step}/{steps}")),
                    progress::loss(loss, forecast),
                    progress::speed(speed),
                ];
                bar.update(step, steps, fields);
                let Some(watcher) = &mut watcher else { return };
                match watcher.observe(step, loss_nats, grad_norm) {
                    Ok(alarms) => alarms.iter().for_each(|alarm| bar.say(&watch::described(alarm))),
                    Err(error) => broken = Some(error),
                }
            }
            Event::Validated { step, validation: v } => {
                bar.say(&format!(
                    "step {step}: validation loss {:.4} ± {:.4} nats per token, {:.4} bits per byte",
                    v.loss_nats,
                    1.96 * v.loss_stderr,
                    v.bits_per_byte
                ));
                if let Some((median, low, high)) = watcher.as_ref().and_then(Watcher::revised).filter(|_| step < steps) {
                    bar.say(&format!(
                        "step {step}: final loss estimated from the run so far {median:.4}, 80 % interval {low:.4} to {high:.4} (the \
                         sealed forecast stays)"
                    ));
                }
            }
            Event::ValidatedPart { step, name, validation: v } => {
                let (loss, error) = (v.loss_nats, 1.96 * v.loss_stderr);
                bar.say(&format!("step {step}: {name} {loss:.4} ± {error:.4} nats per token"));
            }
            Event::Noticed(metric) => {
                if let Some(notice) = noticed(&metric) {
                    bar.say(&notice);
                }
            }
            Event::Saved { .. } => {}
        })?;
        if let Some(error) = broken {
            return Err(error.context("watching the run"));
        }
        if let Some(watcher) = &watcher {
            watcher.write(&self.dir)?;
        }
        match outcome {
            Outcome::Stopped { step } => {
                Err(Interrupted(format!(" after step {step} of {steps}, saved")).into())
            }
            Outcome::Finished(summary) => {
                let (tokens, took) = (count(summary.tokens as f64), duration(summary.elapsed_s));
                bar.finish(&format!(
                    "{tokens} tokens in {took}, {} tokens/s",
                    count(summary.tokens_per_second)
                ));
                let machine = Machine::detect(self.kernels.n_threads());
                let maquette_version = env!("CARGO_PKG_VERSION").to_owned();
                let summary = RunSummary { train: summary, machine, maquette_version };
                summary.write(&self.dir)?;
                if let Some(watcher) = &watcher {
                    watcher.judge(&self.dir, &metrics, &summary.train)?;
                }
                let Some(n_problems) = self.recipe()?.suite_problems() else { return Ok(()) };
                let checkpoint = dir.join(format!("checkpoints/step-{steps}"));
                let predicted = watcher.map(|watcher| watcher.capability()).transpose()?.flatten();
                let kernels = &*self.kernels;
                capability::examine(
                    &self.dir,
                    &checkpoint,
                    n_problems,
                    kernels,
                    tokenizer,
                    dtype,
                    predicted.as_ref(),
                )
            }
        }
    }

    /// How chats with the model are written: by the template that came with its tokenizer, or, where it learns questions about
    /// pictures, as it learns them.
    fn chat_template(&self, plan: &Plan) -> anyhow::Result<Option<String>> {
        let given = ChatTemplate::read(&self.dir.join("tokenizer"))?;
        let asks = plan.config().vision.is_some() && plan.recipe.data.pictures.is_some();
        Ok(given.or_else(|| asks.then(|| ChatTemplate::of_pictures(self.tokenizer().ok()?)).flatten()))
    }

    /// Says what of an interrupted training cannot be read any more, and what that means.
    fn say_what_is_lost(&self, trainer: &Trainer) {
        for damaged in trainer.damaged() {
            let problem = damaged.problem.lines().next().unwrap_or_default();
            progress::say("pretrain", &format!("{problem}; now `{}`", damaged.aside.display()));
        }
        if !trainer.damaged().is_empty() && trainer.step() == 0 {
            progress::say("pretrain", "no intact checkpoint is left: the training starts over");
        }
        if trainer.has_lost_record() {
            let metrics = self.dir.join(METRICS);
            let text = format!(
                "LOST: `{}` has a gap before step {}: the curves of these steps cannot be drawn, and the run raises no \
                 alarms any more. The weights are intact: the training continues",
                metrics.display(),
                trainer.step() + 1
            );
            progress::say("pretrain", &text);
        }
    }
}

/// What a monitor reports, in words.
fn noticed(metric: &Metric) -> Option<String> {
    let step = metric.step;
    Some(match &metric.kind[..] {
        Spiked::KIND => {
            let Spiked { of, spike, .. } = metric.read().ok()?;
            format!(
                "step {step}: {of} {:.3} is {:.1} standard deviations above its mean",
                spike.value, spike.z
            )
        }
        RowsRepeated::KIND => {
            let RowsRepeated { share, .. } = metric.read().ok()?;
            format!(
                "ALARM at step {step}: {:.0} % of the last rows were trained on before; look at the data for copies",
                100.0 * share
            )
        }
        ParamStalled::KIND => {
            let ParamStalled { param, .. } = metric.read().ok()?;
            format!("ALARM at step {step}: `{param}` has not changed for {} steps", StalledDetector::PATIENCE)
        }
        _ => return None,
    })
}

/// Exponential mean over about 20 values.
#[derive(Default)]
struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    fn push(&mut self, value: f64) -> f64 {
        self.sum = 0.95 * self.sum + 0.05 * value;
        self.weight = 0.95 * self.weight + 0.05;
        self.sum / self.weight
    }
}
