//! The training itself, shown while it runs.

use std::{path::PathBuf, sync::Arc};

use data::ChatTemplate;
use model::checkpoint;
use serde::Serialize;
use tensor::Cpu;
use train::{Event, Inputs, Objective, Outcome, Summary, Trainer, Validation};

use super::{Base, Made, Tuned};
use crate::{
    disk, machine,
    progress::{self, Field, Progress, count, duration},
    run_dir::write_whole,
    stop::{self, Interrupted},
};

/// What a fine-tuning came to.
#[derive(Serialize)]
pub(crate) struct Finished {
    /// The model: its last checkpoint, or the one with its adapters added to its weights.
    pub(crate) model: PathBuf,
    pub(crate) summary: Summary,
}

/// How a training is shown.
#[derive(Clone, Copy)]
pub(crate) struct Shown {
    /// The command.
    pub(crate) title: &'static str,
    /// What is validated, such as `held-out loss`.
    pub(crate) validated: &'static str,
    /// Of what is validated: −1 where more is better.
    pub(crate) sign: f64,
}

impl Shown {
    /// A loss on what was held out.
    pub(crate) fn loss(title: &'static str) -> Self {
        Self { title, validated: "held-out loss", sign: 1.0 }
    }
}

/// Trains in the folder of `tuned`, or goes on there; the model as a checkpoint that every command opens.
pub(crate) fn train(
    title: &'static str,
    tuned: &Tuned,
    made: &Made,
    base: &Base,
    objective: Box<dyn Objective>,
    kernels: &Arc<Cpu>,
) -> anyhow::Result<Finished> {
    let (trainer, summary) = steps(Shown::loss(title), tuned, made, base, objective, kernels)?;
    finished(tuned, made, base, &trainer, summary)
}

/// The steps alone.
pub(crate) fn steps(
    shown: Shown,
    tuned: &Tuned,
    made: &Made,
    base: &Base,
    objective: Box<dyn Objective>,
    kernels: &Arc<Cpu>,
) -> anyhow::Result<(Trainer, Summary)> {
    let title = shown.title;
    let (settings, steps) = (&made.train, made.train.steps);
    machine::check_memory(&base.config, settings)?;
    if let Some(warning) = disk::check(tuned.dir(), &base.config, settings)? {
        progress::say("warning", &warning);
    }
    let inputs = Inputs {
        kernels: Arc::clone(kernels) as Arc<dyn tensor::Kernels>,
        config: base.config.clone(),
        settings: settings.clone(),
        objective,
        tuning: made.tuning.clone(),
        tokenizer: base.tokenizer.clone(),
        chat_template: Some(base.template.source().to_owned()),
        start: Some(base.dir.clone()),
        forecast: None,
    };
    let mut trainer = Trainer::open(inputs, tuned.dir())?;
    if trainer.step() > 0 {
        progress::say(title, &format!("continues after step {} of {steps}", trainer.step()));
    }
    let mut bar = Progress::new(title);
    let outcome = trainer.run(stop::flag(), &mut |event| match event {
        Event::Step { step, loss_nats, tokens_per_second, .. } => {
            let fields = [
                Field::new(5, format!("step {step}/{steps}")),
                progress::loss(loss_nats, None),
                progress::speed(tokens_per_second),
            ];
            bar.update(step, steps, fields);
        }
        Event::Validated { step, validation } => {
            bar.say(&format!("step {step}: {} {}", shown.validated, with_margin(&validation, shown.sign)));
        }
        Event::Noticed(metric) => bar.say(&format!("step {}: {}", metric.step, metric.kind)),
        Event::Saved { .. } | Event::ValidatedPart { .. } => {}
    })?;
    let summary = match outcome {
        Outcome::Stopped { step } => {
            return Err(Interrupted(format!(" after step {step} of {steps}, saved")).into());
        }
        Outcome::Finished(summary) => summary,
    };
    let (tokens, took) = (count(summary.tokens as f64), duration(summary.elapsed_s));
    bar.finish(&format!("{tokens} tokens in {took}, {} tokens/s", count(summary.tokens_per_second)));
    write_whole(&tuned.summary(), &serde_json::to_vec_pretty(&summary)?)?;
    Ok((trainer, summary))
}

/// What was validated, `sign` times, with the half width of its 95 % interval; one example has none.
pub(crate) fn with_margin(validation: &Validation, sign: f64) -> String {
    let value = sign * validation.loss_nats;
    match validation.loss_stderr > 0.0 {
        true => format!("{value:.4} ± {:.4}", 1.96 * validation.loss_stderr),
        false => format!("{value:.4} (no spread: too few to say how sure)"),
    }
}

/// The model of a finished training.
pub(crate) fn finished(
    tuned: &Tuned,
    made: &Made,
    base: &Base,
    trainer: &Trainer,
    summary: Summary,
) -> anyhow::Result<Finished> {
    let last = tuned.dir().join(format!("checkpoints/step-{}", summary.steps));
    let Some(adapters) = &made.tuning.adapters else { return Ok(Finished { model: last, summary }) };
    let (named, fingerprint) = (base.dir.display().to_string(), base.tokenizer.fingerprint());
    checkpoint::publish(&tuned.dir().join("adapter"), |dir| {
        checkpoint::write_peft(dir, trainer.gpt(), adapters, &named, fingerprint)
    })?;
    let (gpt, merged) = (trainer.gpt().merged(), tuned.merged());
    checkpoint::publish(&merged, |dir| -> anyhow::Result<()> {
        let ids = train::special_ids(&base.tokenizer);
        checkpoint::write_model(dir, &gpt, &ids, base.tokenizer.fingerprint())?;
        base.tokenizer.save(dir)?;
        checkpoint::write_file(&dir.join(ChatTemplate::FILE), base.template.source().as_bytes())?;
        if let Some(vision) = &base.config.vision {
            let image_token = base.tokenizer.show(vision.image_token);
            checkpoint::write_processor_like(Some(&base.dir), dir, vision, &image_token)?;
        }
        Ok(())
    })?;
    Ok(Finished { model: merged, summary })
}
