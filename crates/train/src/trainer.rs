//! The training loop.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Instant, SystemTime},
};

use data::{BatchStream, Cursor, Prepared, Tokenizer, ValidationSet};
use model::{Gpt, ModelConfig, Tokens, checkpoint};
use serde::{Deserialize, Serialize};
use tensor::Kernels;

use crate::{
    Cadence, DamagedCheckpoint, Learner, Optimizer, ParamStalled, RepetitionDetector, RowsRepeated, RunBegun,
    RunResumed, Spike, SpikeDetector, Spiked, StalledDetector, TrainError, TrainSettings, TrainStep,
    TrainerState, Update, Validated, Validation, evaluate,
    metrics_file::MetricsFile,
    state::{self, Parts, Resumed},
};

/// What a run is made from.
pub struct Inputs {
    /// Computes.
    pub kernels: Arc<dyn Kernels>,
    /// Shape of the model.
    pub config: ModelConfig,
    /// Every number of the run.
    pub settings: TrainSettings,
    /// Token shards.
    pub data: Arc<Prepared>,
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
    /// A value stands out.
    Spiked {
        /// At this step.
        step: u64,
        /// Which value.
        of: &'static str,
        /// How far.
        spike: Spike,
    },
    /// Rows were trained on before.
    Repeated {
        /// At this step.
        step: u64,
        /// Part of the last rows.
        share: f64,
    },
    /// A parameter has not changed for [`StalledDetector::PATIENCE`] steps.
    Stalled {
        /// At this step.
        step: u64,
        /// Its name.
        param: String,
    },
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
}

/// A run: weights, moments and data, at some step.
pub struct Trainer {
    inputs: Inputs,
    learner: Learner,
    stream: BatchStream,
    validation: ValidationSet,
    final_validation: ValidationSet,
    token_bytes: Vec<u32>,
    folder: PathBuf,
    metrics: MetricsFile,
    step: u64,
    tokens: u64,
    elapsed_s: f64,
    /// The last one made here, and after which step.
    last_validation: Option<(u64, Validation)>,
    loss_spikes: SpikeDetector,
    grad_spikes: SpikeDetector,
    stalled: StalledDetector,
    repetition: RepetitionDetector,
    cadence: Cadence,
    /// Found while the gradients of the step at hand were added up.
    repeated_share: Option<f64>,
    damaged: Vec<DamagedCheckpoint>,
}

impl Trainer {
    /// Begins a run in `folder`, or goes on from its newest checkpoint that is whole: to the exact bit, whatever stopped it.
    ///
    /// # Errors
    /// If a setting is out of range, or the folder holds the checkpoint of another run.
    pub fn open(inputs: Inputs, folder: &Path) -> Result<Self, TrainError> {
        let Inputs { config, settings, data, tokenizer, start, .. } = &inputs;
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

        let (resumed, damaged) = state::resume(&checkpoints, config, settings, data.fingerprint())?;
        if resumed.is_some() {
            // A kill may have come between the newest and the removal of the oldest.
            state::remove_old(&checkpoints, settings.keep_checkpoints)?;
        }
        let (gpt, optimizer, state) = match resumed {
            Some(Resumed { gpt, optimizer, state }) => (gpt, optimizer, Some(state)),
            None => {
                let gpt = match start {
                    Some(dir) => begin_with(dir, config)?,
                    None => Gpt::new(config.clone(), settings.seed),
                };
                let optimizer = Optimizer::new(gpt.specs(), settings.optimizer);
                (gpt, optimizer, None)
            }
        };
        let (seq_len, seed) = (settings.seq_len, settings.seed);
        let stream = match &state {
            Some(state) => BatchStream::at(Arc::clone(data), seq_len, seed, &state.cursor)?,
            None => BatchStream::new(Arc::clone(data), seq_len, seed)?,
        };
        let validation = ValidationSet::new(Arc::clone(data), seq_len, settings.eval_tokens)?;
        let final_validation = ValidationSet::new(Arc::clone(data), seq_len, settings.final_eval_tokens)?;
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
        let token_bytes = tokenizer.token_bytes();
        let (mut loss_spikes, mut grad_spikes) = Default::default();
        let (mut repetition, mut stalled) = Default::default();
        let (mut tokens, mut elapsed_s) = (0, 0.0);
        if let Some(state) = state {
            (loss_spikes, grad_spikes) = (state.loss_spikes, state.grad_spikes);
            (repetition, stalled) = (state.repetition, state.stalled);
            (tokens, elapsed_s) = (state.tokens, state.elapsed_s);
        }
        let cadence = Cadence::new(settings, step, Instant::now());
        Ok(Self {
            inputs,
            learner: Learner::resumed(gpt, optimizer),
            stream,
            validation,
            final_validation,
            token_bytes,
            folder: folder.to_owned(),
            metrics,
            step,
            tokens,
            elapsed_s,
            last_validation: None,
            loss_spikes,
            grad_spikes,
            stalled,
            repetition,
            cadence,
            repeated_share: None,
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
        let (_, validation) = self.last_validation.expect("the last step is always validated");
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
        };
        Ok(Outcome::Finished(summary))
    }

    /// One optimizer step on the next batch.
    fn take_step(&mut self, on_event: &mut dyn FnMut(Event)) -> Result<(), TrainError> {
        let start = Instant::now();
        let cursor = self.stream.cursor();
        let step = self.step + 1;
        let not_finite = |what, value| not_finite(step, what, value, &cursor);

        let loss_nats = self.accumulate_gradients();
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
        let batch_tokens = settings.batch_tokens();
        let rates = settings.learning_rates;
        self.step = step;
        self.tokens += batch_tokens;
        self.elapsed_s += seconds;
        let tokens_per_second = batch_tokens as f64 / seconds;
        let (tokens, flops, elapsed_s) = (self.tokens, self.flops(), self.elapsed_s);
        self.metrics.write(&TrainStep {
            step,
            loss_nats,
            grad_norm,
            lr_matrix: rates.matrix * fraction,
            lr_embedding: rates.embedding * fraction,
            lr_head: rates.head * fraction,
            lr_gain: rates.gain * fraction,
            tokens,
            flops,
            tokens_per_second,
            elapsed_s,
        })?;
        on_event(Event::Step { step, loss_nats, grad_norm, tokens_per_second });
        for (of, spike) in
            [("loss_nats", self.loss_spikes.push(loss_nats)), ("grad_norm", self.grad_spikes.push(grad_norm))]
        {
            if let Some(spike) = spike {
                self.metrics.write(&Spiked { step, of: of.into(), spike })?;
                on_event(Event::Spiked { step, of, spike });
            }
        }
        if let Some(share) = self.repeated_share.take() {
            self.metrics.write(&RowsRepeated { step, share })?;
            on_event(Event::Repeated { step, share });
        }
        for param in self.stalled.push(self.learner.gpt()) {
            self.metrics.write(&ParamStalled { step, param: param.clone() })?;
            on_event(Event::Stalled { step, param });
        }
        Ok(())
    }

    /// Gradients of the mean loss of the next batch, micro-batch by micro-batch; returns that loss in nats.
    fn accumulate_gradients(&mut self) -> f64 {
        let settings = &self.inputs.settings;
        self.learner.clear_gradients();
        let mut loss = 0.0;
        let mut rows_left = settings.batch_rows;
        while rows_left > 0 {
            let n_rows = rows_left.min(settings.micro_batch_rows);
            rows_left -= n_rows;
            // Divided by the targets of the whole batch: any split adds up to the same gradient.
            let scale = 1.0 / settings.batch_tokens() as f64;
            let batch = self.stream.next_batch(n_rows);
            self.repeated_share = self.repetition.push(&batch.ids, batch.seq_len).or(self.repeated_share);
            let tokens = Tokens::packed(batch.ids, batch.segments.iter().map(|segment| segment.len));
            loss += scale * self.learner.add_gradients(&*self.inputs.kernels, &tokens, &batch.targets, scale);
        }
        loss
    }

    /// Validates the step at hand, if it is one to be validated and was not yet.
    fn validate_if_due(&mut self, on_event: &mut dyn FnMut(Event)) -> Result<(), TrainError> {
        let settings = &self.inputs.settings;
        // A model that was trained before is validated before too.
        let has_learned = self.step > 0 || self.inputs.start.is_some();
        let is_eval = has_learned && self.step.is_multiple_of(settings.eval_every_steps);
        let is_made = self.last_validation.is_some_and(|(step, _)| step == self.step);
        if is_made || !(is_eval || self.step == settings.steps) {
            return Ok(());
        }
        let set = if self.step == settings.steps { &self.final_validation } else { &self.validation };
        let kernels = &*self.inputs.kernels;
        let validation =
            evaluate(self.learner.gpt(), kernels, set, settings.micro_batch_rows, &self.token_bytes);
        let (step, tokens, flops) = (self.step, self.tokens, self.flops());
        if !validation.loss_nats.is_finite() {
            return Err(not_finite(step, "the validation loss", validation.loss_nats, &self.stream.cursor()));
        }
        self.metrics.write(&Validated { step, tokens, flops, validation })?;
        self.last_validation = Some((step, validation));
        on_event(Event::Validated { step, validation });
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
            cursor: self.stream.cursor(),
            metrics_len: self.metrics.len(),
            loss_spikes: self.loss_spikes.clone(),
            grad_spikes: self.grad_spikes.clone(),
            repetition: self.repetition.clone(),
            stalled: self.stalled.clone(),
            settings: settings.clone(),
            data_fingerprint: self.inputs.data.fingerprint().into(),
        };
        let (gpt, optimizer) = (self.learner.gpt(), self.learner.optimizer());
        let (tokenizer, chat_template) = (&self.inputs.tokenizer, self.inputs.chat_template.as_deref());
        let dir =
            state::save(&checkpoints, &Parts { gpt, optimizer, tokenizer, chat_template, state: &state })?;
        state::remove_old(&checkpoints, settings.keep_checkpoints)?;
        Ok(dir)
    }

    fn flops(&self) -> f64 {
        self.tokens as f64 * self.learner.gpt().config().train_flops_per_token(self.inputs.settings.seq_len)
    }
}

/// The weights of a checkpoint, with its shape checked.
fn begin_with(dir: &Path, config: &ModelConfig) -> Result<Gpt, TrainError> {
    let gpt = checkpoint::read_model(dir)?;
    if gpt.config() != config {
        return Err(TrainError::Start { path: dir.to_owned() });
    }
    Ok(gpt)
}

fn not_finite(step: u64, what: &'static str, value: f64, cursor: &Cursor) -> TrainError {
    let cursor = serde_json::to_string(cursor).expect("plain data is valid JSON");
    TrainError::NotFinite { step, what, value, cursor }
}
