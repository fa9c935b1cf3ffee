//! What a stage still knows of text that it was not trained on.

use std::path::Path;

use data::{Tokenizer, ValidationSet};
use eval::Reliability;
use model::{Gpt, Sampling, Tokens, Wanted};
use tensor::Kernels;

use super::Number;
use crate::{stop, tune::prepared_text};

/// Rows that pass through the model together.
const N_ROWS: usize = 8;
/// Tokens of text; enough that a change of 0.2 % of the loss shows.
const MAX_TOKENS: u64 = 100_000;

/// The held-out text of a run, in rows.
///
/// # Errors
/// If it has none, or in other tokens.
pub(crate) fn read_text(run: &Path, tokenizer: &Tokenizer, seq_len: usize) -> anyhow::Result<ValidationSet> {
    Ok(ValidationSet::new(prepared_text(run, tokenizer)?, seq_len, MAX_TOKENS)?)
}

/// What was computed of each row of text.
pub(crate) struct TextLosses {
    /// Its loss in bits.
    pub(crate) bits: Vec<f64>,
    n_bytes: u64,
    /// Probability of the most likely token, and whether it came.
    events: Vec<Vec<(f64, bool)>>,
}

impl TextLosses {
    /// Of a model.
    ///
    /// # Errors
    /// If a stop was asked for.
    pub(crate) fn of(
        gpt: &Gpt,
        kernels: &dyn Kernels,
        set: &ValidationSet,
        tokenizer: &Tokenizer,
    ) -> anyhow::Result<Self> {
        let token_bytes = tokenizer.token_bytes();
        let (mut bits, mut n_bytes, mut events) = (Vec::new(), 0, Vec::new());
        for batch in set.batches(N_ROWS) {
            stop::still()?;
            n_bytes += batch.target_bytes(&token_bytes);
            let tokens = Tokens::packed(batch.ids, batch.segments.iter().map(|segment| segment.len));
            let rows: Vec<usize> = (0..tokens.len()).collect();
            let wanted = Wanted { rows: &rows, logits: true, head: None };
            let logits = gpt.outputs(kernels, &tokens, wanted).logits.expect("logits were asked for");
            let width = logits.shape()[1];
            for (rows, targets) in
                logits.f32().chunks(width * batch.seq_len).zip(batch.targets.chunks(batch.seq_len))
            {
                let (mut sum, mut of_row) = (0.0, Vec::with_capacity(targets.len()));
                for (row, &target) in rows.chunks_exact(width).zip(targets) {
                    let distribution = Sampling::default().distribution(row, &[], &[]);
                    let top = (0..width as u32)
                        .fold(0, |best, id| if row[id as usize] > row[best as usize] { id } else { best });
                    sum -= f64::from(distribution.logprob(target)) / std::f64::consts::LN_2;
                    of_row.push((f64::from(distribution.logprob(top)).exp(), top == target));
                }
                bits.push(sum);
                events.push(of_row);
            }
        }
        Ok(Self { bits, n_bytes, events })
    }

    /// The loss for each byte.
    pub(crate) fn bits_per_byte(&self) -> Number {
        let per_row = self.n_bytes as f64 / self.bits.len() as f64;
        Number::mean(&self.bits.iter().map(|bits| bits / per_row).collect::<Vec<_>>())
    }

    /// How far the probability of the most likely next token is from how often it comes: the expected calibration error, with the
    /// interval of the debiased one, and its bins.
    pub(crate) fn calibration(&self) -> (Number, Reliability) {
        let found = eval::reliability(&self.events);
        let n = self.events.iter().map(Vec::len).sum();
        (Number { n, value: found.ece_debiased, lo95: found.lo95, hi95: found.hi95 }, found)
    }
}
