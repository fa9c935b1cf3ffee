//! A held-out mean as the trainer records it.

use train::Validation;

/// The mean of values, one an example, with its standard error. It is no loss of text, so that its bits per byte are 0.
pub(crate) fn validation(values: &[f64]) -> Validation {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    Validation {
        loss_nats: mean,
        loss_stderr: (variance / n).sqrt(),
        bits_per_byte: 0.0,
        n_tokens: values.len() as u64,
        n_bytes: 0,
    }
}
