//! Batches of pairs.

use train::{Batch, MicroBatch, Shuffled, TrainSettings};

/// The next batch, a mean over its pairs; `micro_batch` packs pairs of given numbers.
pub(crate) fn next(
    shuffled: &mut Shuffled,
    settings: &TrainSettings,
    micro_batch: impl Fn(&[usize]) -> MicroBatch,
) -> Batch {
    let TrainSettings { batch_rows, micro_batch_rows, .. } = *settings;
    let drawn: Vec<usize> = (0..batch_rows).map(|_| shuffled.draw()).collect();
    let micro_batches: Vec<MicroBatch> = drawn.chunks(micro_batch_rows).map(micro_batch).collect();
    let n_tokens = micro_batches.iter().map(|batch| batch.tokens.len() as u64).sum();
    Batch { micro_batches, denominator: batch_rows as f64, n_tokens }
}
