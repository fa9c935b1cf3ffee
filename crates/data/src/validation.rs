//! The held-out documents in fixed windows.

use std::sync::Arc;

use crate::{Batch, DataError, Prepared};

/// Validation rows: always the same, in the same order.
///
/// The documents follow one another, each cut every `seq_len` inputs from its beginning, packed as in training. What
/// does not fill a last row is left out, so that there is no padding.
#[derive(Clone, Debug)]
pub struct ValidationSet {
    data: Arc<Prepared>,
    seq_len: usize,
    n_rows: usize,
}

impl ValidationSet {
    /// Whole rows from the first `max_tokens` held-out tokens.
    ///
    /// # Errors
    /// [`DataError::EmptyValidation`] if they do not fill a row, [`DataError::Setting`] if `seq_len` is 0.
    pub fn new(data: Arc<Prepared>, seq_len: usize, max_tokens: u64) -> Result<Self, DataError> {
        if seq_len == 0 {
            let (expected, hint) = ("at least 1", "a small model does well with 256");
            return Err(DataError::Setting { name: "seq_len", expected, found: "0".to_owned(), hint });
        }
        let n_tokens = data.validation().n_tokens().min(max_tokens);
        let n_rows = (n_tokens / seq_len as u64) as usize;
        if n_rows == 0 {
            let split = format!("limited to {max_tokens}, rows of {seq_len}");
            return Err(DataError::EmptyValidation { wanted: seq_len as u64, found: n_tokens, split });
        }
        Ok(Self { data, seq_len, n_rows })
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Number of targets.
    pub fn n_tokens(&self) -> u64 {
        self.n_rows as u64 * self.seq_len as u64
    }

    /// The rows in batches of `n_rows`; the last may have fewer.
    ///
    /// # Panics
    /// If `n_rows` is 0.
    #[track_caller]
    pub fn batches(&self, n_rows: usize) -> impl Iterator<Item = Batch> + '_ {
        assert!(n_rows > 0, "batches of 0 rows");
        let (mut document, mut start) = (0, 0);
        let mut rows_left = self.n_rows;
        let mut scratch = Vec::new();
        std::iter::from_fn(move || {
            let mut batch = Batch::with_room(n_rows.min(rows_left), self.seq_len);
            rows_left -= batch.n_rows;
            while !batch.is_full() {
                let shards = self.data.validation();
                let n_inputs = shards.n_inputs(document);
                let to_cut = self.seq_len as u64 - start % self.seq_len as u64;
                let n = to_cut.min(n_inputs - start).min(batch.room_in_row() as u64);
                scratch.clear();
                shards.read(document, start, n as usize + 1, &mut scratch);
                batch.push_segment(&scratch);
                start += n;
                if start == n_inputs {
                    (document, start) = (document + 1, 0);
                }
            }
            (batch.n_rows > 0).then_some(batch)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FIRST_ID, numbered, prepared, tokenizer};

    #[test]
    fn documents_follow_one_another() {
        let data = prepared(&[(1.0, numbered(&[1]))], &numbered(&[5, 1, 4]));
        let set = ValidationSet::new(data, 4, u64::MAX).unwrap();
        assert_eq!((set.n_rows(), set.n_tokens()), (3, 12)); // of 13
        let batches: Vec<_> = set.batches(2).collect();
        assert_eq!(batches.iter().map(|batch| batch.n_rows).collect::<Vec<_>>(), [2, 1]);
        let targets: Vec<_> =
            batches.iter().flat_map(|b| &b.targets).map(|&id| id.max(FIRST_ID - 1)).collect();
        let named: Vec<_> = targets.iter().map(|id| id - (FIRST_ID - 1)).collect(); // 0 ends a document
        assert_eq!(named, [1, 2, 3, 4, 5, 0, 6, 0, 7, 8, 9, 10]);
        let segments: Vec<_> = batches[0].segments.iter().map(|s| (s.start, s.len)).collect();
        assert_eq!(segments, [(0, 4), (4, 2), (6, 2)]);
        let n_bytes: u64 = batches.iter().map(|batch| batch.target_bytes(&tokenizer().token_bytes())).sum();
        assert_eq!(n_bytes, 20); // ten tokens of two bytes
    }

    #[test]
    fn a_limit_cuts_and_too_little_is_refused() {
        let data = prepared(&[(1.0, numbered(&[1]))], &numbered(&[30]));
        let set = ValidationSet::new(data.clone(), 4, 11).unwrap();
        assert_eq!((set.n_rows(), set.batches(9).count()), (2, 1));
        let error = ValidationSet::new(data, 32, u64::MAX).unwrap_err().to_string();
        assert!(error.starts_with("expected at least 32 validation tokens, found 31"), "{error}");
    }
}
