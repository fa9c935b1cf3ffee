//! Text that a model was pretrained on, beside what a fine-tuning minimises.

use std::sync::Arc;

use base::{Rng, hash::xxh3_128};
use data::{BatchStream, Cursor, Prepared, ValidationSet};
use model::{Gpt, Tokens};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tensor::Kernels;

use super::{Batch, MicroBatch, Objective, Readiness, Scalars, read_cursor};
use crate::{Learner, Monitor, TrainError, TrainSettings, Validation, evaluate};

/// The loss of another objective, and beside it the mean loss of text that the model was pretrained on, so that it does not
/// forget what it knew (Ouyang et al. 2022, <https://arxiv.org/abs/2203.02155>, mix it into PPO).
pub struct WithReplay {
    own: Box<dyn Objective>,
    data: Arc<Prepared>,
    stream: BatchStream,
    validation: ValidationSet,
    token_bytes: Vec<u32>,
    replay: ReplaySettings,
    /// Of the order of its rows: trainings one after another read others.
    order_seed: u64,
    settings: TrainSettings,
    fingerprint: String,
}

/// How much text is read again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplaySettings {
    /// Rows of text in each step.
    pub rows: usize,
    /// Of their mean loss, beside the loss of the objective.
    pub weight: f64,
}

/// Where the next batch begins.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    own: Value,
    text: Value,
}

/// A micro-batch of text is known by this; no objective has so many examples.
const OF_TEXT: usize = usize::MAX;

impl WithReplay {
    /// At the beginning of both; `token_bytes[id]` is the length of the text that a token stands for.
    ///
    /// # Errors
    /// If a number is out of range, or the data hold too little text.
    pub fn new(
        own: Box<dyn Objective>,
        data: Arc<Prepared>,
        replay: ReplaySettings,
        settings: &TrainSettings,
        token_bytes: Vec<u32>,
    ) -> Result<Self, TrainError> {
        let ReplaySettings { rows, weight } = replay;
        let refuse = |name, expected, found| Err(TrainError::Setting { name, expected, found });
        if rows == 0 {
            return refuse("replay_rows", "at least 1", rows.to_string());
        }
        if !(weight > 0.0 && weight.is_finite()) {
            return refuse("replay_weight", "above 0", weight.to_string());
        }
        let fingerprint = format!("{} {} {rows} {weight}", own.fingerprint(), data.fingerprint());
        let order_seed = Rng::named(settings.seed, own.fingerprint()).next_u64();
        Ok(Self {
            stream: BatchStream::new(Arc::clone(&data), settings.seq_len, order_seed)?,
            validation: ValidationSet::new(Arc::clone(&data), settings.seq_len, settings.eval_tokens)?,
            fingerprint: base::hash::hex(xxh3_128(fingerprint.as_bytes())),
            order_seed,
            settings: settings.clone(),
            own,
            data,
            token_bytes,
            replay,
        })
    }
}

impl Objective for WithReplay {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn prepare(&mut self, learner: &mut Learner, kernels: &dyn Kernels) -> Result<Readiness, TrainError> {
        self.own.prepare(learner, kernels)
    }

    fn next(&mut self) -> Batch {
        let mut batch = self.own.next();
        let n_targets = (self.replay.rows * self.settings.seq_len) as f64;
        // The sum is divided by the objective's own denominator.
        let weight = (self.replay.weight * batch.denominator / n_targets) as f32;
        let mut rows_left = self.replay.rows;
        while rows_left > 0 {
            let n_rows = rows_left.min(self.settings.micro_batch_rows);
            rows_left -= n_rows;
            let text = self.stream.next_batch(n_rows);
            let tokens = Tokens::packed(text.ids, text.segments.iter().map(|segment| segment.len));
            batch.n_tokens += tokens.len() as u64;
            batch.micro_batches.push(MicroBatch {
                weights: Some(vec![weight; text.targets.len()]),
                examples: vec![OF_TEXT],
                ..MicroBatch::new(tokens, text.targets)
            });
        }
        batch
    }

    fn add_gradients(
        &mut self,
        learner: &mut Learner,
        kernels: &dyn Kernels,
        batch: &MicroBatch,
        scale: f64,
    ) -> Scalars {
        if batch.examples != [OF_TEXT] {
            return self.own.add_gradients(learner, kernels, batch, scale);
        }
        let loss_nats = scale * learner.add_gradients(kernels, batch, scale);
        Scalars { loss_nats, others: [("text_loss_nats", loss_nats / self.replay.weight)].into() }
    }

    fn cursor(&self) -> Value {
        let text = serde_json::to_value(self.stream.cursor()).expect("plain data is valid JSON");
        serde_json::to_value(Place { own: self.own.cursor(), text }).expect("plain data is valid JSON")
    }

    fn seek(&mut self, cursor: &Value) -> Result<(), TrainError> {
        let place: Place = read_cursor(cursor)?;
        self.own.seek(&place.own)?;
        let text: Cursor = read_cursor(&place.text)?;
        self.stream = BatchStream::at(Arc::clone(&self.data), self.settings.seq_len, self.order_seed, &text)?;
        Ok(())
    }

    fn validate(&self, gpt: &Gpt, kernels: &dyn Kernels, is_last: bool) -> Result<Validation, TrainError> {
        self.own.validate(gpt, kernels, is_last)
    }

    fn validate_parts(&self, gpt: &Gpt, kernels: &dyn Kernels) -> Vec<(&'static str, Validation)> {
        let rows = self.settings.micro_batch_rows;
        let text = evaluate(gpt, kernels, &self.validation, rows, &self.token_bytes);
        self.own.validate_parts(gpt, kernels).into_iter().chain([("text", text)]).collect()
    }

    fn monitors(&self) -> Vec<Box<dyn Monitor>> {
        self.own.monitors()
    }
}
