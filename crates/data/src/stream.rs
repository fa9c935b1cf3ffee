//! Training batches without end, from any point on.

use std::sync::Arc;

use base::hash::Xxh3;
use serde::{Deserialize, Serialize};

use crate::{Batch, DataError, Prepared, pieces::Epoch};

/// Packs the training documents into rows, epoch after epoch.
///
/// Each epoch of a source visits its pieces (see [`Batch::segments`]) in an order drawn from the seed; every token
/// of every document is a target exactly once in it. The next piece comes from the source that has served the fewest
/// tokens for its weight, so shares of tokens follow the weights as closely as pieces allow, at every point. A piece
/// that does not fit into its row ends there, and its rest begins the next row.
#[derive(Debug)]
pub struct BatchStream {
    data: Arc<Prepared>,
    seq_len: usize,
    seed: u64,
    fingerprint: String,
    sources: Vec<Position>,
    scratch: Vec<u32>,
}

/// Where the stream stands in one source.
#[derive(Debug)]
struct Position {
    at: SourceCursor,
    epoch: Epoch,
}

/// A place in a [`BatchStream`], to be saved with a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// Of data, weights, seed and sequence length.
    fingerprint: String,
    sources: Vec<SourceCursor>,
}

/// Where the stream stands in one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceCursor {
    epoch: u64,
    /// Next piece of the epoch.
    piece: u64,
    /// Inputs of it that were served; above 0 in the one source whose piece was cut by the end of a row.
    offset: u64,
    /// Served in all.
    n_tokens: u64,
}

impl BatchStream {
    /// The stream that `seed` orders, at its beginning.
    ///
    /// # Errors
    /// [`DataError::Setting`] if `seq_len` is 0.
    pub fn new(data: Arc<Prepared>, seq_len: usize, seed: u64) -> Result<Self, DataError> {
        if seq_len == 0 {
            let (expected, hint) = ("at least 1", "a small model does well with 256");
            return Err(DataError::Setting { name: "seq_len", expected, found: "0".to_owned(), hint });
        }
        let mut hash = Xxh3::new();
        hash.update(data.fingerprint().as_bytes());
        hash.update(&(seq_len as u64).to_le_bytes());
        hash.update(&seed.to_le_bytes());
        let fingerprint = base::hash::hex(hash.digest128());
        let epoch = |(i, source): (usize, &crate::prepared::TrainSource)| Position {
            at: SourceCursor::default(),
            epoch: Epoch::new(&source.shards, seq_len, seed, i, 0),
        };
        let sources = data.train().iter().enumerate().map(epoch).collect();
        Ok(Self { data, seq_len, seed, fingerprint, sources, scratch: Vec::new() })
    }

    /// The stream that `seed` orders, where `cursor` was taken.
    ///
    /// # Errors
    /// [`DataError::Cursor`] if the cursor was taken from other data or with another seed or sequence length.
    pub fn at(data: Arc<Prepared>, seq_len: usize, seed: u64, cursor: &Cursor) -> Result<Self, DataError> {
        let mut stream = Self::new(data, seq_len, seed)?;
        if cursor.fingerprint != stream.fingerprint {
            let (expected, found) = (format!("stream {}", stream.fingerprint), cursor.fingerprint.clone());
            return Err(DataError::Cursor { expected, found });
        }
        let damaged =
            |found: String| DataError::Cursor { expected: "a place in the stream".to_owned(), found };
        let n_open = cursor.sources.iter().filter(|at| at.offset > 0).count();
        if cursor.sources.len() != stream.sources.len() || n_open > 1 {
            return Err(damaged(format!("{} sources, {n_open} in a piece", cursor.sources.len())));
        }
        for (i, at) in cursor.sources.iter().enumerate() {
            stream.sources[i] = Position { at: *at, epoch: stream.epoch_of(i, at.epoch) };
            let epoch = &stream.sources[i].epoch;
            if at.piece >= epoch.n_pieces() {
                return Err(damaged(format!("piece {} of {}", at.piece, epoch.n_pieces())));
            }
            let len = epoch.piece(&stream.data.train()[i].shards, at.piece).len;
            if at.offset >= len {
                return Err(damaged(format!("offset {} in a piece of {len}", at.offset)));
            }
        }
        Ok(stream)
    }

    /// Where the next batch begins.
    pub fn cursor(&self) -> Cursor {
        let sources = self.sources.iter().map(|source| source.at).collect();
        Cursor { fingerprint: self.fingerprint.clone(), sources }
    }

    /// The next `n_rows` rows.
    pub fn next_batch(&mut self, n_rows: usize) -> Batch {
        let mut batch = Batch::with_room(n_rows, self.seq_len);
        while !batch.is_full() {
            let i = self.next_source();
            let shards = &self.data.train()[i].shards;
            let Position { at, epoch } = &mut self.sources[i];
            let piece = epoch.piece(shards, at.piece);
            let n = (piece.len - at.offset).min(batch.room_in_row() as u64);
            self.scratch.clear();
            shards.read(piece.document, piece.start + at.offset, n as usize + 1, &mut self.scratch);
            batch.push_segment(&self.scratch);
            at.n_tokens += n;
            at.offset += n;
            if at.offset == piece.len {
                (at.piece, at.offset) = (at.piece + 1, 0);
            }
            if at.piece == epoch.n_pieces() {
                (at.epoch, at.piece) = (at.epoch + 1, 0);
                let next = at.epoch;
                self.sources[i].epoch = self.epoch_of(i, next);
            }
        }
        batch
    }

    /// The source with a piece cut by the end of a row, or else the one that is furthest behind its share.
    fn next_source(&self) -> usize {
        if let Some(open) = self.sources.iter().position(|source| source.at.offset > 0) {
            return open;
        }
        let share = |i: &usize| self.sources[*i].at.n_tokens as f64 / self.data.train()[*i].weight;
        (0..self.sources.len()).min_by(|a, b| share(a).total_cmp(&share(b))).unwrap_or(0)
    }

    fn epoch_of(&self, source_idx: usize, epoch_idx: u64) -> Epoch {
        Epoch::new(&self.data.train()[source_idx].shards, self.seq_len, self.seed, source_idx, epoch_idx)
    }

    /// Tokens served so far, by source.
    pub fn n_tokens_by_source(&self) -> Vec<u64> {
        self.sources.iter().map(|source| source.at.n_tokens).collect()
    }

    /// Tokens served so far.
    pub fn n_tokens(&self) -> u64 {
        self.sources.iter().map(|source| source.at.n_tokens).sum()
    }

    /// Epochs begun and the part of the current one, by source: 1.25 is a quarter into the second.
    pub fn epochs_by_source(&self) -> Vec<f64> {
        let epochs = |source: &Position| {
            source.at.epoch as f64 + source.at.piece as f64 / source.epoch.n_pieces() as f64
        };
        self.sources.iter().map(epochs).collect()
    }

    /// The largest of [`BatchStream::epochs_by_source`]: how often the most repeated source was seen.
    pub fn epoch(&self) -> f64 {
        self.epochs_by_source().into_iter().fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::testing::{numbered, prepared};

    /// Input and target of every position of these documents.
    fn pairs(documents: &[Vec<u32>]) -> Vec<(u32, u32)> {
        let stored = documents.iter().map(|ids| [&[0], &ids[..], &[0]].concat());
        let mut pairs: Vec<_> =
            stored.flat_map(|ids| ids.windows(2).map(|p| (p[0], p[1])).collect::<Vec<_>>()).collect();
        pairs.sort_unstable();
        pairs
    }

    /// Segments cover the rows and hold one document each.
    fn check_segments(batch: &Batch) -> Result<(), TestCaseError> {
        let mut at = 0;
        for segment in &batch.segments {
            prop_assert_eq!(segment.start, at);
            prop_assert!(segment.len > 0 && at % batch.seq_len + segment.len <= batch.seq_len);
            let ids = &batch.ids[at..at + segment.len];
            let targets = &batch.targets[at..at + segment.len];
            prop_assert_eq!(&ids[1..], &targets[..segment.len - 1]);
            // The id 0 begins and ends documents: inside of a segment it would be a border.
            prop_assert!(ids[1..].iter().all(|&id| id != 0));
            at += segment.len;
        }
        prop_assert_eq!((at, at), (batch.n_rows * batch.seq_len, batch.ids.len()));
        prop_assert_eq!(at, batch.targets.len());
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn an_epoch_serves_every_token_once(
            lengths in vec(0usize..40, 1..10), seq_len in 1usize..17, seed: u64, n_rows in 1usize..4,
        ) {
            let documents = numbered(&lengths);
            let data = prepared(&[(1.0, documents.clone())], &[]);
            let expected = pairs(&documents);
            prop_assert_eq!(data.n_train_tokens(), expected.len() as u64);
            let mut stream = BatchStream::new(data, seq_len, seed).unwrap();
            let mut served = Vec::new();
            while served.len() < 3 * expected.len() {
                let batch = stream.next_batch(n_rows);
                check_segments(&batch)?;
                served.extend(batch.ids.into_iter().zip(batch.targets));
                prop_assert_eq!(stream.n_tokens(), served.len() as u64);
            }
            for epoch in served.chunks_exact_mut(expected.len()).take(3) {
                epoch.sort_unstable();
                prop_assert_eq!(&*epoch, &expected[..]);
            }
        }

        #[test]
        fn a_cursor_continues_exactly(
            lengths in vec(0usize..40, 2..10), seq_len in 1usize..17, seed: u64, n_before in 0usize..30,
        ) {
            let documents = numbered(&lengths);
            let (a, b) = documents.split_at(documents.len() / 2);
            let data = prepared(&[(1.0, a.to_vec()), (0.3, b.to_vec())], &[]);
            let mut stream = BatchStream::new(data.clone(), seq_len, seed).unwrap();
            (0..n_before).for_each(|i| drop(stream.next_batch(1 + i % 3)));
            let saved = serde_json::to_string(&stream.cursor()).unwrap();
            let cursor = serde_json::from_str(&saved).unwrap();
            let mut resumed = BatchStream::at(data, seq_len, seed, &cursor).unwrap();
            for i in 0..20 {
                prop_assert_eq!(stream.next_batch(1 + i % 2), resumed.next_batch(1 + i % 2));
                prop_assert_eq!(stream.cursor(), resumed.cursor());
            }
        }

        /// A source is never more than two pieces away from its share: one that it may be ahead by, and one that
        /// the others may.
        #[test]
        fn shares_follow_the_weights(weights in vec(0.1f64..10.0, 1..5), seq_len in 1usize..17, seed: u64) {
            let documents = numbered(&[5, 30, 1, 50]);
            let sources: Vec<_> = weights.iter().map(|&weight| (weight, documents.clone())).collect();
            let mut stream = BatchStream::new(prepared(&sources, &[]), seq_len, seed).unwrap();
            let sum: f64 = weights.iter().sum();
            for _ in 0..50 {
                stream.next_batch(2);
                for (n, weight) in stream.n_tokens_by_source().into_iter().zip(&weights) {
                    let expected = weight / sum * stream.n_tokens() as f64;
                    let bound = (weights.len() * seq_len) as f64;
                    prop_assert!((n as f64 - expected).abs() <= bound, "{n}, share {expected}");
                }
            }
        }

        #[test]
        fn a_hostile_cursor_is_refused_or_served(
            numbers in vec((0u64..4, any::<bool>()), 8), seed in 0u64..2,
        ) {
            let data = prepared(&[(1.0, numbered(&[9])), (1.0, numbered(&[20]))], &[]);
            let stream = BatchStream::new(data.clone(), 4, 0).unwrap();
            let mut cursor = stream.cursor();
            let number = |i: usize| if numbers[i].1 { u64::MAX - numbers[i].0 } else { numbers[i].0 };
            for (i, at) in cursor.sources.iter_mut().enumerate() {
                // Counts that no run reaches would overflow after the check.
                let (epoch, n_tokens) = (number(4 * i) >> 1, number(4 * i + 1) >> 2);
                *at = SourceCursor { epoch, piece: number(4 * i + 2), offset: number(4 * i + 3), n_tokens };
            }
            if let Ok(mut stream) = BatchStream::at(data, 4, seed, &cursor) {
                prop_assert_eq!(seed, 0);
                check_segments(&stream.next_batch(9))?;
            }
        }
    }

    #[test]
    fn a_cursor_of_another_stream_is_refused() {
        let data = prepared(&[(1.0, numbered(&[9, 20]))], &[]);
        let cursor = BatchStream::new(data.clone(), 4, 1).unwrap().cursor();
        assert!(BatchStream::at(data.clone(), 4, 1, &cursor).is_ok());
        let others =
            [prepared(&[(2.0, numbered(&[9, 20]))], &[]), prepared(&[(1.0, numbered(&[9, 21]))], &[])];
        for (data, seq_len, seed) in
            [(data.clone(), 5, 1), (data, 4, 2), (others[0].clone(), 4, 1), (others[1].clone(), 4, 1)]
        {
            let error = BatchStream::at(data, seq_len, seed, &cursor).unwrap_err();
            assert!(matches!(error, DataError::Cursor { .. }), "{error}");
        }
    }

    /// Order and cuts hang on the seed alone: a change breaks every resume.
    #[test]
    fn the_order_is_fixed_for_ever() {
        let data = prepared(&[(1.0, numbered(&[2, 1, 7]))], &[]);
        let batch = BatchStream::new(data, 4, 3).unwrap().next_batch(2);
        let segments: Vec<_> =
            batch.segments.iter().map(|s| &batch.targets[s.start..s.start + s.len]).collect();
        let expected: [&[u32]; 3] = [&[0], &[272, 273, 0], &[278, 279, 280, 281]];
        assert_eq!(segments, expected);
    }

    #[test]
    fn cuts_and_order_move_between_epochs() {
        let data = prepared(&[(1.0, numbered(&[399]))], &[]);
        let mut stream = BatchStream::new(data, 50, 3).unwrap();
        let mut starts = || stream.next_batch(8).segments.iter().map(|s| s.start).collect::<Vec<_>>();
        assert_ne!(starts(), starts());
        assert_eq!(stream.epoch(), 2.0);
    }
}
