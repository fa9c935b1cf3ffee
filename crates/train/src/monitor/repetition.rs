//! Reports batches that were trained on before.

use std::collections::{HashSet, VecDeque};

use base::hash::xxh3_64;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Monitor, StepView};
use crate::{Metric, RowsRepeated};

/// Rows that the present share is taken over.
const WINDOW: usize = 64;
/// Share of repeated rows from which the data count as repeated. Cuts move between epochs, so that a healthy run meets
/// no row twice, whatever its number of epochs, unless documents are copies of each other.
const THRESHOLD: f64 = 0.5;
/// Rows that are remembered: 16 MB.
const MOST_ROWS: usize = 1 << 20;

/// Remembers a hash of every row of tokens; reports, and changes nothing.
///
/// A run on repeated data does not look ill: its loss falls, for a while even faster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RepetitionDetector {
    /// Too many for a text: see [`RepetitionDetector::seen`].
    #[serde(skip)]
    seen: HashSet<u64>,
    /// Whether each of the last rows had been seen before.
    recent: VecDeque<bool>,
    has_reported: bool,
}

impl RepetitionDetector {
    /// Takes in a batch of rows of `seq_len` tokens; returns the share of the last 64 rows that had been seen before when
    /// it first reaches one half.
    pub fn push(&mut self, ids: &[u32], seq_len: usize) -> Option<f64> {
        for row in ids.chunks(seq_len) {
            let bytes: Vec<u8> = row.iter().flat_map(|id| id.to_le_bytes()).collect();
            let hash = xxh3_64(&bytes);
            let is_known = self.seen.contains(&hash);
            if !is_known && self.seen.len() < MOST_ROWS {
                self.seen.insert(hash);
            }
            if self.recent.len() == WINDOW {
                self.recent.pop_front();
            }
            self.recent.push_back(is_known);
        }
        let share = self.recent.iter().filter(|is_known| **is_known).count() as f64 / WINDOW as f64;
        let is_due = share >= THRESHOLD && !self.has_reported;
        self.has_reported |= is_due;
        is_due.then_some(share)
    }

    /// The rows that are remembered, as bytes: 8 a row, the same for the same rows.
    pub fn seen(&self) -> Vec<u8> {
        let mut hashes: Vec<u64> = self.seen.iter().copied().collect();
        hashes.sort_unstable();
        hashes.into_iter().flat_map(u64::to_le_bytes).collect()
    }

    /// The same detector with the rows that [`RepetitionDetector::seen`] gave.
    pub fn with_seen(self, bytes: &[u8]) -> Self {
        let (rows, _) = bytes.as_chunks::<8>();
        Self { seen: rows.iter().map(|row| u64::from_le_bytes(*row)).collect(), ..self }
    }
}

/// Watches the rows of each step.
pub struct RepeatedRows {
    seq_len: usize,
    detector: RepetitionDetector,
}

impl RepeatedRows {
    /// Rows are so many tokens long.
    pub fn new(seq_len: usize) -> Self {
        Self { seq_len, detector: RepetitionDetector::default() }
    }
}

impl Monitor for RepeatedRows {
    fn name(&self) -> &'static str {
        "repetition"
    }

    fn step(&mut self, view: &StepView) -> Vec<Metric> {
        let mut first = None;
        for micro_batch in &view.batch.micro_batches {
            first = self.detector.push(micro_batch.tokens.ids(), self.seq_len).or(first);
        }
        let metric = |share| Metric::of(&RowsRepeated { step: view.step, share });
        first.map(metric).into_iter().collect()
    }

    fn state(&self) -> Value {
        super::state_of(&self.detector)
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        Some(self.detector.seen())
    }

    fn restore(&mut self, state: &Value, bytes: Option<&[u8]>) {
        let detector: RepetitionDetector = super::restored(state);
        self.detector = detector.with_seen(bytes.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_come_again_are_reported_once() {
        let mut rng = base::Rng::new(1, 0);
        let mut detector = RepetitionDetector::default();
        let rows: Vec<u32> = (0..40 * 8).map(|_| rng.below(256) as u32).collect();
        for _ in 0..100 {
            let fresh: Vec<u32> = (0..8 * 8).map(|_| rng.below(256) as u32).collect();
            assert_eq!(detector.push(&fresh, 8), None);
        }
        assert_eq!(detector.push(&rows, 8), None);
        assert_eq!(detector.push(&rows[..31 * 8], 8), None);
        // It goes on as it was from what a checkpoint holds.
        let json = serde_json::to_string(&detector).unwrap();
        let again = serde_json::from_str::<RepetitionDetector>(&json).unwrap().with_seen(&detector.seen());
        assert_eq!(again, detector);
        let mut detector = again;
        assert_eq!(detector.push(&rows[31 * 8..32 * 8], 8), Some(0.5));
        assert_eq!(detector.push(&rows, 8), None);
    }
}
