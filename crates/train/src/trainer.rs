//! The training loop.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Instant, SystemTime},
};

use data::Tokenizer;
use model::{Gpt, ModelConfig, checkpoint};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tensor::Kernels;

use crate::{
    Batch, Cadence, DamagedCheckpoint, Learner, Metric, Monitor, Objective, Optimizer, Readiness, RunBegun,
    RunResumed, Scalars, StepView, TrainError, TrainSettings, TrainStep, TrainerState, Tuning, Update,
    Validated, Validation,
    metrics_file::MetricsFile,
    state::{self, Expected, Parts, Resumed},
};

/// What a run is made from.
pub struct Inputs {
    /// Computes.
    pub kernels: Arc<dyn Kernels>,
    /// Shape of the model.
    pub config: ModelConfig,
    /// Every number of the run.
    pub settings: TrainSettings,
    /// What is minimised.
    pub objective: Box<dyn Objective>,
    /// What of the model is trained; all of it by default.
    pub tuning: Tuning,
    /// What made the tokens; saved with every checkpoint.
    pub tokenizer: Tokenizer,
    /// How chats are written; saved with every checkpoint.
    pub chat_template: Option<String>,
    /// A checkpoint whose weights the run begins with, of the same shape; random ones where there is none.
    pub start: Option<PathBuf>,
    /// The forecast of this run, for its record.
    pub forecast: Option<Sealed>,
}

/// A forecast that was sealed before the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Its hash.
    pub seal: String,
    /// When it was sealed.
    pub sealed_at: String,
}

/// What a run reports while it trains.
#[derive(Clone, Debug)]
pub enum Event {
    /// A step was taken.
    Step {
        /// Its number.
        step: u64,
        /// Loss of its batch, in nats.
        loss_nats: f64,
        /// Loss of the text in its batch, where something else is learned beside it.
        text_loss_nats: Option<f64>,
        /// Norm of its whole gradient before clipping.
        grad_norm: f64,
        /// Its speed.
        tokens_per_second: f64,
    },
    /// A validation was made.
    Validated {
        /// After this step.
        step: u64,
        /// The result.
        validation: Validation,
    },
    /// A part of what is validated was measured by itself.
    ValidatedPart {
        /// After this step.
        step: u64,
        /// Its name, such as `answers`.
        name: &'static str,
        /// The result.
        validation: Validation,
    },
    /// A monitor reports something that no healthy run shows.
    Noticed(Metric),
    /// A checkpoint was written.
    Saved {
        /// Where.
        dir: PathBuf,
    },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All steps were taken.
    Finished(Summary),
    /// It was asked to stop; a checkpoint of this step is written.
    Stopped {
        /// The step.
        step: u64,
    },
}

/// The end of a run, as `summary.json` holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// All parameters.
    pub n_params: usize,
    /// N of the scaling laws.
    pub n_matrix_params: usize,
    /// Steps taken.
    pub steps: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// FLOPs spent.
    pub flops: f64,
    /// Seconds of training, validation and saving left out.
    pub elapsed_s: f64,
    /// Tokens over seconds.
    pub tokens_per_second: f64,
    /// The last validation.
    pub validation: Validation,
    /// Parts of what was validated then, by their names; those that came to a finite loss.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, Validation>,
}

/// A run: weights, moments and data, at some step.
pub struct Trainer {
    inputs: Inputs,
    learner: Learner,
    monitors: Vec<Box<dyn Monitor>>,
    folder: PathBuf,
    metrics: MetricsFile,
    step: u64,
    tokens: u64,
    elapsed_s: f64,
    /// Whether the objective ended it before its last step.
    is_enough: bool,
    /// The last one made here, and after which step.
    last_validation: Option<(u64, Validation, BTreeMap<String, Validation>)>,
    cadence: Cadence,
    damaged: Vec<DamagedCheckpoint>,
}

impl Trainer {
    /// Begins a run in `folder`, or goes on from its newest checkpoint that is whole: to the exact bit, whatever stopped it.
    ///
    /// # Errors
    /// If a setting is out of range, or the folder holds the checkpoint of another run.
    pub fn open(mut inputs: Inputs, folder: &Path) -> Result<Self, TrainError> {
        let Inputs { config, settings, tuning, tokenizer, start, .. } = &inputs;
        config.validate()?;
        settings.validate(config)?;

        // A model of another program may have more rows than tokens.
        let is_padded = start.is_some() && config.vocab_size > tokenizer.vocab_size();
        if config.vocab_size != tokenizer.vocab_size() && !is_padded {
            let (tokenizer, model) = (tokenizer.vocab_size(), config.vocab_size);
            return Err(TrainError::Vocabulary { tokenizer, model });
        }
        let checkpoints = folder.join("checkpoints");
        base::disk::create_dir_all(&checkpoints).map_err(|source| TrainError::Io {
            action: "create",
            path: checkpoints.clone(),
            source,
        })?;
        checkpoint::remove_unfinished(&checkpoints)?;

        let (resumed, damaged) = state::resume(
            &checkpoints,
            Expected { config, settings, tuning, data_fingerprint: inputs.objective.fingerprint() },
        )?;
        if resumed.is_some() {
            // A kill may have come between the newest and the removal of the oldest.
            state::remove_old(&checkpoints, settings.keep_checkpoints)?;
        }
        let mut monitors = inputs.objective.monitors();
        let (gpt, optimizer, state) = match resumed {
            Some(resumed) => {
                monitors.iter_mut().for_each(|monitor| resumed.restore(&mut **monitor));
                let Resumed { gpt, optimizer, state, .. } = resumed;
                (gpt, optimizer, Some(state))
            }
            None => {
                let gpt = match start {
                    Some(dir) => begin_with(dir, config, settings.seed)?,
                    None => Gpt::new(config.clone(), settings.seed),
                };
                let gpt = tuning.apply(gpt, settings.seed)?;
                let optimizer = Optimizer::new(gpt.specs(), settings.optimizer);
                (gpt, optimizer, None)
            }
        };
        if let Some(state) = &state {
            inputs.objective.seek(&state.cursor)?;
        }
        let settings = &inputs.settings;
        let metrics_len = state.as_ref().map_or(0, |state| state.metrics_len);
        let step = state.as_ref().map_or(0, |state| state.step);
        let mut metrics = MetricsFile::open(&folder.join("metrics.jsonl"), metrics_len, step)?;
        match &state {
            Some(state) => metrics.write(&RunResumed { step: state.step })?,
            None => {
                let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                let unix_s = since_1970.map_or(0.0, |elapsed| elapsed.as_secs_f64());
                let forecast = inputs.forecast.clone();
                let sealed_at = forecast.as_ref().map(|forecast| forecast.sealed_at.clone());
                let seal = Some(forecast.map_or_else(String::new, |forecast| forecast.seal));
                metrics.write(&RunBegun { step, unix_s, seal, sealed_at })?;
            }
        }
        let gpt = gpt.with_dtype(settings.dtype.into()).with_recomputation(settings.recompute_activations);
        let (tokens, elapsed_s) = state.map_or((0, 0.0), |state| (state.tokens, state.elapsed_s));
        let cadence = Cadence::new(settings, step, Instant::now());
        Ok(Self {
            inputs,
            learner: Learner::resumed(gpt, optimizer),
            monitors,
            folder: folder.to_owned(),
            metrics,
            step,
            tokens,
            elapsed_s,
            is_enough: false,
            last_validation: None,
            cadence,
            damaged,
        })
    }

    /// Checkpoints that were damaged and are now out of the way.
    pub fn damaged(&self) -> &[DamagedCheckpoint] {
        &self.damaged
    }

    /// Whether the record of the steps taken so far had gaps when the run was opened.
    pub fn has_lost_record(&self) -> bool {
        self.metrics.is_lost()
    }

    /// The model as it stands.
    pub fn gpt(&self) -> &Gpt {
        self.learner.gpt()
    }

    /// Steps taken so far.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Takes the remaining steps. When `stop` turns true, saves and returns after the step at hand.
    ///
    /// # Errors
    /// If the loss or a gradient is not finite, or a file cannot be written. The last checkpoint stays.
    pub fn run(&mut self, stop: &AtomicBool, on_event: &mut dyn FnMut(Event)) -> Result<Outcome, TrainError> {
        let settings = self.inputs.settings.clone();
        // A checkpoint is written before the validation of its step: what came between them is made up here.
        self.validate_if_due(on_event)?;
        while self.step < settings.steps {
            let Self { inputs, learner, .. } = self;
            if inputs.objective.prepare(learner, &*inputs.kernels)? == Readiness::Enough {
                self.is_enough = true;
                let dir = self.save()?;
                on_event(Event::Saved { dir });
                self.validate_if_due(on_event)?;
                break;
            }
            self.take_step(on_event)?;
            let is_last = self.step == settings.steps;
            let is_stopped = stop.load(Ordering::Relaxed) && !is_last;
            // Save before evaluating: a failure there must not cost the run.
            if is_last || is_stopped || self.cadence.is_due(self.step, Instant::now()) {
                let began = Instant::now();
                let dir = self.save()?;
                self.cadence.saved(self.step, began, Instant::now());
                on_event(Event::Saved { dir });
            }
            if is_stopped {
                return Ok(Outcome::Stopped { step: self.step });
            }
            self.validate_if_due(on_event)?;
        }
        let (_, validation, parts) = self.last_validation.clone().expect("the last step is always validated");
        self.metrics.sync()?;
        let config = self.learner.gpt().config();
        let summary = Summary {
            n_params: config.n_params(),
            n_matrix_params: config.n_matrix_params(),
            steps: self.step,
            tokens: self.tokens,
            flops: self.flops(),
            elapsed_s: self.elapsed_s,
            tokens_per_second: self.tokens as f64 / self.elapsed_s.max(1e-9),
            validation,
            parts,
        };
        Ok(Outcome::Finished(summary))
    }

    /// One optimizer step on the next batch.
    fn take_step(&mut self, on_event: &mut dyn FnMut(Event)) -> Result<(), TrainError> {
        let start = Instant::now();
        let cursor = self.inputs.objective.cursor();
        let step = self.step + 1;
        let not_finite = |what, value| not_finite(step, what, value, &cursor);

        let batch = self.inputs.objective.next();
        let scalars = self.add_gradients(&batch);
        let loss_nats = scalars.loss_nats;
        if !loss_nats.is_finite() {
            return Err(not_finite("the loss", loss_nats));
        }
        let kernels = &*self.inputs.kernels;
        let grad_norm = self.learner.grad_norm(kernels);
        if !grad_norm.is_finite() {
            return Err(not_finite("the gradient's norm", grad_norm));
        }
        let settings = &self.inputs.settings;
        let fraction = settings.schedule().fraction(step);
        self.learner.update(kernels, settings, grad_norm, Update { lr_fraction: fraction, step });

        let seconds = start.elapsed().as_secs_f64();
        let rates = settings.learning_rates;
        let text_loss_nats = scalars.others.get("text_loss_nats").copied();
        self.step = step;
        self.tokens += batch.n_tokens;
        self.elapsed_s += seconds;
        let tokens_per_second = batch.n_tokens as f64 / seconds;
        let (tokens, flops, elapsed_s) = (self.tokens, self.flops(), self.elapsed_s);
        let mut metric = Metric::of(&TrainStep {
            step,
            loss_nats,
            text_loss_nats,
            grad_norm,
            lr_matrix: rates.matrix * fraction,
            lr_embedding: rates.embedding * fraction,
            lr_head: rates.head * fraction,
            lr_gain: rates.gain * fraction,
            tokens,
            flops,
            tokens_per_second,
            elapsed_s,
        });
        metric
            .scalars
            .extend(scalars.others.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())));
        self.metrics.write_metric(&metric)?;
        on_event(Event::Step { step, loss_nats, text_loss_nats, grad_norm, tokens_per_second });
        let view = StepView { step, loss_nats, grad_norm, batch: &batch, gpt: self.learner.gpt() };
        for metric in self.monitors.iter_mut().flat_map(|monitor| monitor.step(&view)).collect::<Vec<_>>() {
            self.metrics.write_metric(&metric)?;
            on_event(Event::Noticed(metric));
        }
        Ok(())
    }

    /// Gradients of a batch, micro-batch by micro-batch, and what it came to.
    fn add_gradients(&mut self, batch: &Batch) -> Scalars {
        let Self { inputs, learner, .. } = self;
        learner.clear_gradients();
        // Divided by the whole batch: any split adds up to the same gradient.
        let scale = 1.0 / batch.denominator;
        let mut scalars = Scalars::default();
        for micro_batch in &batch.micro_batches {
            scalars.add(inputs.objective.add_gradients(learner, &*inputs.kernels, micro_batch, scale));
        }
        scalars
    }

    /// Validates the step at hand, if it is one to be validated and was not yet.
    fn validate_if_due(&mut self, on_event: &mut dyn FnMut(Event)) -> Result<(), TrainError> {
        let settings = &self.inputs.settings;
        // A model that was trained before is validated before too.
        let has_learned = self.step > 0 || self.inputs.start.is_some();
        let is_eval = has_learned && self.step.is_multiple_of(settings.eval_every_steps);
        let is_last = self.step == settings.steps || self.is_enough;
        let is_made = self.last_validation.as_ref().is_some_and(|(step, ..)| *step == self.step);
        if (is_made && !self.is_enough) || !(is_eval || is_last) {
            return Ok(());
        }
        let (gpt, kernels) = (self.learner.gpt(), &*self.inputs.kernels);
        let validation = self.inputs.objective.validate(gpt, kernels, is_last)?;
        let (step, tokens, flops) = (self.step, self.tokens, self.flops());
        if !validation.loss_nats.is_finite() {
            return Err(not_finite(
                step,
                "the validation loss",
                validation.loss_nats,
                &self.inputs.objective.cursor(),
            ));
        }
        let parts = self.inputs.objective.validate_parts(gpt, kernels);
        let mut metric = Metric::of(&Validated { step, tokens, flops, validation });
        for (name, part) in &parts {
            metric.scalars.insert(format!("{name}_loss_nats"), part.loss_nats.into());
            metric.scalars.insert(format!("{name}_loss_stderr"), part.loss_stderr.into());
        }
        self.metrics.write_metric(&metric)?;
        let is_finite = |part: &Validation| part.loss_nats.is_finite() && part.loss_stderr.is_finite();
        let finite = parts.iter().filter(|(_, part)| is_finite(part));
        let finite = finite.map(|(name, part)| ((*name).to_owned(), *part)).collect();
        self.last_validation = Some((step, validation, finite));
        on_event(Event::Validated { step, validation });
        for (name, validation) in parts {
            on_event(Event::ValidatedPart { step, name, validation });
        }
        Ok(())
    }

    fn save(&mut self) -> Result<PathBuf, TrainError> {
        self.metrics.sync()?;
        let checkpoints = self.folder.join("checkpoints");
        let settings = &self.inputs.settings;
        let state = TrainerState {
            step: self.step,
            tokens: self.tokens,
            flops: self.flops(),
            elapsed_s: self.elapsed_s,
            cursor: self.inputs.objective.cursor(),
            metrics_len: self.metrics.len(),
            monitors: self.monitors.iter().map(|m| (m.name().to_owned(), m.state())).collect(),
            tuning: self.inputs.tuning.clone(),
            settings: settings.clone(),
            data_fingerprint: self.inputs.objective.fingerprint().into(),
        };
        let (gpt, optimizer) = (self.learner.gpt(), self.learner.optimizer());
        let (tokenizer, chat_template) = (&self.inputs.tokenizer, self.inputs.chat_template.as_deref());
        let dir = state::save(
            &checkpoints,
            &Parts {
                gpt,
                optimizer,
                tokenizer,
                chat_template,
                start: self.inputs.start.as_deref(),
                state: &state,
                monitors: &self.monitors,
            },
        )?;
        state::remove_old(&checkpoints, settings.keep_checkpoints)?;
        Ok(dir)
    }

    fn flops(&self) -> f64 {
        self.tokens as f64 * self.learner.gpt().config().train_flops_per_token(self.inputs.settings.seq_len)
    }
}

/// Most of a cursor that an error shows.
const MAX_CURSOR_CHARS: usize = 300;

/// The weights of a checkpoint, with its shape checked.
fn begin_with(dir: &Path, config: &ModelConfig, seed: u64) -> Result<Gpt, TrainError> {
    let mut gpt = checkpoint::read_model(dir)?;
    if let (None, Some(vision)) = (&gpt.config().vision, &config.vision) {
        gpt = gpt.with_eyes(vision.clone(), seed);
    }
    if gpt.config() != config {
        return Err(TrainError::Start { path: dir.to_owned() });
    }
    Ok(gpt)
}

fn not_finite(step: u64, what: &'static str, value: f64, cursor: &Value) -> TrainError {
    // That of a policy holds whole answers.
    let cursor = cursor.to_string().chars().take(MAX_CURSOR_CHARS).collect();
    TrainError::NotFinite { step, what, value, cursor }
}
