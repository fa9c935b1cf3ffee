//! The objective of pretraining: every token of every document is predicted once an epoch.

use std::sync::Arc;

use data::{BatchStream, Cursor, Prepared, ValidationSet};
use model::{Gpt, Tokens};
use serde_json::Value;
use tensor::Kernels;

use super::{Batch, MicroBatch, Objective};
use crate::{Monitor, RepeatedRows, StalledParams, TrainError, TrainSettings, Validation, evaluate, monitor};

/// Mean loss of every token of packed rows.
pub struct Pretraining {
    data: Arc<Prepared>,
    stream: BatchStream,
    validation: ValidationSet,
    final_validation: ValidationSet,
    /// Bytes of text that each token stands for.
    token_bytes: Vec<u32>,
    settings: TrainSettings,
}

impl Pretraining {
    /// At the beginning of the data; `token_bytes[id]` is the length of the text that a token stands for.
    ///
    /// # Errors
    /// If the data hold too little text to validate with.
    pub fn new(
        data: Arc<Prepared>,
        settings: &TrainSettings,
        token_bytes: Vec<u32>,
    ) -> Result<Self, TrainError> {
        let (seq_len, seed) = (settings.seq_len, settings.seed);
        Ok(Self {
            stream: BatchStream::new(Arc::clone(&data), seq_len, seed)?,
            validation: ValidationSet::new(Arc::clone(&data), seq_len, settings.eval_tokens)?,
            final_validation: ValidationSet::new(Arc::clone(&data), seq_len, settings.final_eval_tokens)?,
            data,
            token_bytes,
            settings: settings.clone(),
        })
    }
}

impl Objective for Pretraining {
    fn fingerprint(&self) -> &str {
        self.data.fingerprint()
    }

    fn next(&mut self) -> Batch {
        let TrainSettings { batch_rows, micro_batch_rows, .. } = self.settings;
        let mut micro_batches = Vec::with_capacity(batch_rows.div_ceil(micro_batch_rows));
        let mut rows_left = batch_rows;
        while rows_left > 0 {
            let n_rows = rows_left.min(micro_batch_rows);
            rows_left -= n_rows;
            let batch = self.stream.next_batch(n_rows);
            let tokens = Tokens::packed(batch.ids, batch.segments.iter().map(|segment| segment.len));
            micro_batches.push(MicroBatch::new(tokens, batch.targets));
        }
        let n_tokens = self.settings.batch_tokens();
        Batch { micro_batches, denominator: n_tokens as f64, n_tokens }
    }

    fn cursor(&self) -> Value {
        serde_json::to_value(self.stream.cursor()).expect("plain data is valid JSON")
    }

    fn seek(&mut self, cursor: &Value) -> Result<(), TrainError> {
        let cursor: Cursor = super::read_cursor(cursor)?;
        let (seq_len, seed) = (self.settings.seq_len, self.settings.seed);
        self.stream = BatchStream::at(Arc::clone(&self.data), seq_len, seed, &cursor)?;
        Ok(())
    }

    fn validate(&self, gpt: &Gpt, kernels: &dyn Kernels, is_last: bool) -> Result<Validation, TrainError> {
        let set = if is_last { &self.final_validation } else { &self.validation };
        Ok(evaluate(gpt, kernels, set, self.settings.micro_batch_rows, &self.token_bytes))
    }

    fn monitors(&self) -> Vec<Box<dyn Monitor>> {
        vec![
            monitor::loss_spikes(),
            monitor::grad_norm_spikes(),
            Box::new(RepeatedRows::new(self.settings.seq_len)),
            Box::new(StalledParams::default()),
        ]
    }
}
