//! Loss on text that was not trained on.

use data::ValidationSet;
use model::{Gpt, Tokens};
use serde::{Deserialize, Serialize};
use tensor::Kernels;

/// A validation loss with its noise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Mean of `−ln p` over all tokens, in nats.
    pub loss_nats: f64,
    /// Standard error of that mean, from the spread between rows: what other passages of the same texts would
    /// change. Other texts differ by more.
    pub loss_stderr: f64,
    /// The same loss for each byte of text, in bits: comparable across tokenizers.
    pub bits_per_byte: f64,
    /// Tokens counted.
    pub n_tokens: u64,
    /// Bytes of text that they stand for.
    pub n_bytes: u64,
}

/// Loss of the model over the whole set, `batch_rows` rows at a time. The result does not depend on that number.
///
/// `token_bytes[id]` is the length of the text that a token stands for; 0 for special tokens.
pub fn evaluate(
    gpt: &Gpt,
    kernels: &dyn Kernels,
    set: &ValidationSet,
    batch_rows: usize,
    token_bytes: &[u32],
) -> Validation {
    let (mut n_tokens, mut n_bytes) = (0, 0);
    let (mut row_means, mut tokens_of_one_row): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    for batch in set.batches(batch_rows) {
        n_bytes += batch.target_bytes(token_bytes);
        n_tokens += batch.targets.len() as u64;
        let tokens = Tokens::packed(batch.ids, batch.segments.iter().map(|segment| segment.len));
        let losses = gpt.losses(kernels, &tokens, &batch.targets);
        for row in losses.f32().chunks_exact(batch.seq_len) {
            if row_means.is_empty() {
                tokens_of_one_row = row.iter().map(|&loss| f64::from(loss)).collect();
            }
            row_means.push(row.iter().map(|&loss| f64::from(loss)).sum::<f64>() / batch.seq_len as f64);
        }
    }
    let validation = Validation::of_means(&row_means, n_tokens, n_bytes);
    match row_means.len() {
        // One row has no spread between rows: that between its tokens, too small as they hang together, is better than none.
        1 => Validation {
            loss_stderr: Validation::of_means(&tokens_of_one_row, n_tokens, n_bytes).loss_stderr,
            ..validation
        },
        _ => validation,
    }
}

impl Validation {
    /// From the means of rows of one length: the mean of their means is the mean over tokens.
    fn of_means(row_means: &[f64], n_tokens: u64, n_bytes: u64) -> Self {
        let n_rows = row_means.len() as f64;
        let loss_nats = row_means.iter().sum::<f64>() / n_rows.max(1.0);
        let variance =
            row_means.iter().map(|mean| (mean - loss_nats).powi(2)).sum::<f64>() / (n_rows - 1.0).max(1.0);
        Validation {
            loss_nats,
            loss_stderr: (variance / n_rows.max(1.0)).sqrt(),
            bits_per_byte: loss_nats * n_tokens as f64 / (std::f64::consts::LN_2 * n_bytes as f64),
            n_tokens,
            n_bytes,
        }
    }

    /// From the weighted sum of losses and the sum of weights of each row, which may be of any length. The standard error is
    /// that of a ratio of two sums, from the spread between rows.
    pub(crate) fn of_ratio(rows: &[(f64, f64)], n_bytes: u64) -> Self {
        let (sum, weight) = rows.iter().fold((0.0, 0.0), |(s, w), (sum, weight)| (s + sum, w + weight));
        let (n, loss_nats) = (rows.len() as f64, sum / weight);
        let residuals = rows.iter().map(|(sum, weight)| (sum - loss_nats * weight).powi(2)).sum::<f64>();
        let bits = sum / std::f64::consts::LN_2;
        Self {
            loss_nats,
            loss_stderr: (residuals * n / (n - 1.0).max(1.0)).sqrt() / weight,
            bits_per_byte: bits / (n_bytes as f64).max(1.0),
            n_tokens: weight.round() as u64,
            n_bytes,
        }
    }
}
