//! The stage `pretrain`: train the model, then let it write.

use std::{fs, path::Path, sync::Arc, time::Instant};

use anyhow::Context as _;
use data::{ChatTemplate, Prepared, Tokenizer};
use model::{ModelConfig, checkpoint, scaling::ModelOverrides};
use train::{Event, Inputs, OptimizerKind, Outcome, StalledDetector, TrainOverrides, TrainSettings, Trainer};

use super::{
    Finished, Run, budget, capability, hash, samples, seal, set_aside, vocabulary,
    watch::{self, Watcher},
};
use crate::{
    disk,
    machine::{self, Machine},
    progress::{self, Field, Progress, count, duration},
    recipe::{Budget, Hashes, Recipe},
    run_dir::{
        self, CAPABILITY, FORECAST, INPUTS, METRICS, RunSummary, SAMPLES, SAMPLES_INPUTS, SCORES, STAMP,
        SUMMARY, Sample, Stamp, VERDICT, read_seal, write_whole,
    },
    stop::{self, Interrupted},
};

impl Run {
    /// Trains, or keeps the training that is there, or goes on with one that was interrupted.
    pub(super) fn pretrain(
        &self,
        tokenizer: &Tokenizer,
        prepared: &Arc<Prepared>,
    ) -> anyhow::Result<Finished> {
        let (resolved, config, settings) = self.resolve(tokenizer, prepared)?;
        let mut inputs = inputs(&config, &settings, tokenizer, prepared)?;
        if let Some(from) = &resolved.model.from {
            let weights = checkpoint::sha256_of(&from.join("model.safetensors"))?;
            inputs = hash(&[&inputs, &weights]);
        }
        let dir = self.dir.join("pretrain");
        let forecast = self.dir.join(FORECAST);
        let seal = self.own_seal()?;
        if let Some(seal) = &seal {
            let target = seal::target(&(config.clone(), settings.clone()))?;
            let run = seal::identity(inputs.clone(), tokenizer, prepared);
            run_dir::check_plan(&forecast, seal, &run, &target)?;
        }
        let checkpoint = dir.join(format!("checkpoints/step-{}", settings.steps));
        // A training whose checkpoint is gone or damaged is not one to keep.
        let is_stamped = Stamp::is_kept(&dir, &inputs);
        let lost = is_stamped.then(|| self.lost(&settings, seal.as_ref())).flatten();
        if let Some(lost) = &lost {
            let lost = self.dir.join(lost);
            let text = format!(
                "`{}` is lost or damaged: made again from the last checkpoint, as far as it can be",
                lost.display()
            );
            progress::say("pretrain", &text);
        }
        let is_whole = checkpoint.is_dir() && checkpoint::verify(&checkpoint).is_ok();
        if is_stamped && is_whole && lost.is_none() {
            if let Some(seal) = &seal {
                run_dir::check(&self.dir, &forecast, seal)?;
            }
            self.write_recipe(&resolved)?;
            if !fs::read_to_string(self.dir.join(INPUTS)).is_ok_and(|begun| begun == inputs) {
                write_whole(&self.dir.join(INPUTS), inputs.as_bytes())?;
            }
            progress::say("pretrain", "kept");
        } else {
            // Checked before anything is written: a refused variant leaves the run as it was.
            machine::check_memory(&config, &settings)?;
            if let Some(warning) = disk::check(&dir, &config, &settings)? {
                progress::say("warning", &warning);
            }
            self.check_prompts(tokenizer, &config)?;
            let is_other =
                is_begun(&self.dir) && !is_begun_from(&self.dir, &inputs, &config, &settings, prepared);
            if is_other {
                set_aside(&dir)?;
            }
            // What an earlier training came to is no outcome of this one.
            for outcome in [VERDICT, CAPABILITY, SCORES] {
                let path = self.dir.join(outcome);
                if (is_other || !is_begun(&self.dir)) && path.exists() {
                    set_aside(&path)?;
                }
            }
            base::disk::create_dir_all(&dir).with_context(|| {
                format!(
                    "cannot create `{}`\nhint: choose a folder that you may write to, with --out",
                    dir.display()
                )
            })?;
            self.write_recipe(&resolved)?;
            write_whole(&self.dir.join(INPUTS), inputs.as_bytes())?;
            describe(&config, &settings);
            for imbalance in vocabulary::imbalances(&config, &settings, prepared) {
                progress::say("warning", &imbalance);
            }
            self.train(tokenizer, prepared, config, settings, &dir)?;
            Stamp::write(&dir, &inputs, None)?;
        }
        let samples = self.samples(tokenizer, &resolved, &checkpoint, &inputs)?;
        let path = self.dir.join(SUMMARY);
        let advice = || format!("hint: remove `{}` and run again", dir.join(STAMP).display());
        let summary =
            fs::read(&path).with_context(|| format!("cannot read `{}`\n{}", path.display(), advice()))?;
        let summary = serde_json::from_slice(&summary)
            .with_context(|| format!("`{}` is damaged\n{}", path.display(), advice()))?;
        Ok(Finished { summary, samples, checkpoint })
    }

    /// Refuses prompts that the model could not read, before it is trained.
    fn check_prompts(&self, tokenizer: &Tokenizer, config: &ModelConfig) -> anyhow::Result<()> {
        for prompt in &self.recipe.samples.prompts {
            samples::prompt_within(
                tokenizer,
                prompt,
                self.recipe.samples.special_tokens,
                config.max_seq_len,
            )?;
        }
        Ok(())
    }

    /// Every number of the run: from an earlier start in this folder, or derived now.
    pub(super) fn resolve(
        &self,
        tokenizer: &Tokenizer,
        prepared: &Prepared,
    ) -> anyhow::Result<(Recipe, ModelConfig, TrainSettings)> {
        let began = Instant::now();
        let hashes = Hashes {
            maquette_version: env!("CARGO_PKG_VERSION").into(),
            recipe: self.recipe.fingerprint(),
            tokenizer: tokenizer.fingerprint().into(),
            data: prepared.fingerprint().into(),
        };
        let from = self.start()?.map(Path::to_owned);
        let start = from.as_deref().map(checkpoint::read_config).transpose()?;
        let vocab_size = start.as_ref().map_or(tokenizer.vocab_size(), |config| config.vocab_size);
        if let Some(earlier) = self.earlier_recipe(&hashes) {
            let Recipe { name, samples, data, ladder, .. } = self.recipe.clone();
            let model = ModelOverrides { from: from.clone(), ..earlier.model };
            let earlier = Recipe { name, samples, data, ladder, model, ..earlier };
            let (model, train) = (&earlier.model, &earlier.train);
            let (config, settings) = train::plan(None, vocab_size, model, train, earlier.seed)?;
            return Ok((earlier, config, settings));
        }
        let mut recipe = self.recipe.clone();
        recipe.model.from = from;
        recipe.train.dtype.get_or_insert_with(|| super::default_precision(tensor::Isa::current()));
        if let Some(config) = &start {
            let fixed = ModelOverrides { from: recipe.model.from.clone(), ..ModelOverrides::fixed(config) };
            let given = std::mem::replace(&mut recipe.model, fixed);
            let nothing = ModelOverrides { from: given.from.clone(), ..ModelOverrides::default() };
            anyhow::ensure!(
                given == nothing || given == recipe.model,
                "expected no sizes in [model] beside `from`, found some that are not the checkpoint's\n\
                 hint: remove them: a model that is continued keeps its shape"
            );
            continue_gently(&mut recipe.train);
        }
        let n_validation = prepared.n_validation_tokens();
        if recipe.train.seq_len.is_none() && (SHORTEST_ROW..USUAL_ROW).contains(&n_validation) {
            let seq_len = 1 << n_validation.ilog2();
            recipe.train.seq_len = Some(seq_len);
            progress::say(
                "plan",
                &format!("rows of {seq_len} tokens: of so little text only {n_validation} are held out"),
            );
        }
        let train_flops = match recipe.budget.minutes {
            Some(minutes) => {
                let kernels = self.kernels();
                let afforded =
                    budget::within_minutes(&recipe, &kernels, vocab_size, minutes, began, n_validation)?;
                recipe.train = afforded.train;
                Some(afforded.train_flops)
            }
            None => recipe.budget.train_flops,
        };
        let recipe = &recipe;
        let (config, mut settings) =
            train::plan(train_flops, vocab_size, &recipe.model, &recipe.train, recipe.seed)?;
        if recipe.train.keep_checkpoints.is_none() {
            settings.keep_checkpoints = disk::affordable(&self.dir.join("pretrain"), &config, &settings);
        }
        let mut resolved = Recipe {
            model: ModelOverrides { from: recipe.model.from.clone(), ..ModelOverrides::fixed(&config) },
            train: TrainOverrides::fixed(&settings),
            hashes: Some(hashes),
            ..recipe.clone()
        };
        if let Some(open) = resolved.tokenizer.as_mut().filter(|config| config.is_open()) {
            open.vocab_size = Some(tokenizer.vocab_size());
        }
        // What the minutes came to on this machine: the resolved recipe gives the same run on any other.
        resolved.budget = Budget { minutes: None, train_flops };
        Ok((resolved, config, settings))
    }

    fn train(
        &self,
        tokenizer: &Tokenizer,
        prepared: &Arc<Prepared>,
        config: ModelConfig,
        settings: TrainSettings,
        dir: &Path,
    ) -> anyhow::Result<()> {
        let (steps, dtype) = (settings.steps, settings.dtype.into());
        let inputs = Inputs {
            kernels: self.kernels(),
            config,
            settings,
            data: Arc::clone(prepared),
            tokenizer: tokenizer.clone(),
            chat_template: ChatTemplate::read(&self.dir.join("tokenizer"))?,
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
            Event::Step { step, loss_nats, grad_norm, tokens_per_second } => {
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
                        "step {step}: from the run so far the end looks like {median:.4}, 80 % in {low:.4} to {high:.4} (not the \
                         sealed forecast, which stays)"
                    ));
                }
            }
            Event::Spiked { step, of, spike } => {
                bar.say(&format!(
                    "step {step}: {of} {:.3} is {:.1} standard deviations above its mean",
                    spike.value, spike.z
                ));
            }
            Event::Repeated { step, share } => bar.say(&format!(
                "ALARM at step {step}: {:.0} % of the last rows were trained on before; look at the data for copies",
                100.0 * share
            )),
            Event::Stalled { step, param } => bar.say(&format!(
                "ALARM at step {step}: `{param}` has not changed for {} steps",
                StalledDetector::PATIENCE
            )),
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
                write_whole(&self.dir.join(SUMMARY), &serde_json::to_vec_pretty(&summary)?)?;
                if let Some(watcher) = &watcher {
                    watcher.judge(&self.dir, &metrics, &summary.train)?;
                }
                let Some(n_problems) = self.recipe.suite_problems() else { return Ok(()) };
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

    /// Says what of an interrupted training cannot be read any more, and what that means.
    fn say_what_is_lost(&self, trainer: &Trainer) {
        for damaged in trainer.damaged() {
            let problem = damaged.problem.lines().next().unwrap_or_default();
            progress::say("pretrain", &format!("{problem}; now `{}`", damaged.aside.display()));
        }
        if !trainer.damaged().is_empty() && trainer.step() == 0 {
            progress::say("pretrain", "no whole checkpoint is left: the training begins anew");
        }
        if trainer.has_lost_record() {
            let metrics = self.dir.join(METRICS);
            let text = format!(
                "LOST: `{}` has a gap before step {}: the curves of these steps cannot be drawn, and the run is not watched any \
                 more. The weights are whole: the training goes on",
                metrics.display(),
                trainer.step() + 1
            );
            progress::say("pretrain", &text);
        }
    }

    /// Writes the samples; the same ones again where the training was kept.
    fn samples(
        &self,
        tokenizer: &Tokenizer,
        recipe: &Recipe,
        checkpoint: &Path,
        inputs: &str,
    ) -> anyhow::Result<Vec<Sample>> {
        let inputs = hash(&[inputs, &serde_json::to_string(&(&recipe.samples, recipe.seed))?]);
        let (path, made_from) = (self.dir.join(SAMPLES), self.dir.join(SAMPLES_INPUTS));
        if fs::read_to_string(&made_from).is_ok_and(|made_from| made_from == inputs)
            && let Some(kept) = Sample::read_all(&path)
        {
            match kept {
                Ok(kept) if kept.len() == recipe.samples.prompts.len() => return Ok(kept),
                _ => progress::say("samples", &format!("`{}` is damaged: written again", path.display())),
            }
        }
        let dtype = recipe.train.dtype.unwrap_or_default().into();
        let (settings, seed, kernels) = (&recipe.samples, recipe.seed, &*self.kernels);
        let samples = samples::write(settings, seed, tokenizer, checkpoint, kernels, dtype)?;
        Sample::write_all(&path, &samples)?;
        write_whole(&made_from, inputs.as_bytes())?;
        Ok(samples)
    }
}

/// Tokens of a row where nothing is said, and the fewest where little text is held out: a validation needs a whole row.
const USUAL_ROW: u64 = 256;
const SHORTEST_ROW: u64 = 16;

/// AdamW and a tenth of the peak rate at which models of 10⁸ weights are usually trained: Muon's steps and the rates of a
/// new model would undo what a trained one knows.
fn continue_gently(train: &mut TrainOverrides) {
    train.optimizer.get_or_insert(OptimizerKind::AdamW);
    let rates = &mut train.learning_rates;
    for rate in [&mut rates.matrix, &mut rates.embedding, &mut rates.head, &mut rates.gain] {
        rate.get_or_insert(CONTINUED_LEARNING_RATE);
    }
}

/// Of every weight.
const CONTINUED_LEARNING_RATE: f64 = 1e-4;

/// Hash of everything that a training is made from.
pub(super) fn inputs(
    config: &ModelConfig,
    settings: &TrainSettings,
    tokenizer: &Tokenizer,
    prepared: &Prepared,
) -> anyhow::Result<String> {
    let plan = serde_json::to_string(&(config, settings))?;
    Ok(hash(&[&plan, tokenizer.fingerprint(), prepared.fingerprint()]))
}

/// Whether a training stands there; a crash right at its beginning leaves a folder with none.
fn is_begun(run_dir: &Path) -> bool {
    run_dir.join(INPUTS).exists() || run_dir.join("pretrain/checkpoints").exists()
}

/// Whether the training there was begun from these inputs; where the file that says so is lost, its checkpoints show it.
pub(super) fn is_begun_from(
    run_dir: &Path,
    inputs: &str,
    config: &ModelConfig,
    settings: &TrainSettings,
    prepared: &Prepared,
) -> bool {
    match fs::read_to_string(run_dir.join(INPUTS)) {
        Ok(begun) if begun.len() == inputs.len() => begun == inputs,
        _ => {
            train::holds_run(&run_dir.join("pretrain/checkpoints"), config, settings, prepared.fingerprint())
        }
    }
}

/// Says before it starts what will be trained.
fn describe(config: &ModelConfig, settings: &TrainSettings) {
    let tokens = settings.steps * settings.batch_tokens();
    let flops = tokens as f64 * config.train_flops_per_token(settings.seq_len);
    progress::say(
        "model",
        &format!(
            "{} parameters: {} layers, width {}, {} heads of {}, {} tokens of vocabulary",
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
