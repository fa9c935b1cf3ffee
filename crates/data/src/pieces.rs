//! The pieces into which one epoch cuts the documents of a source, in their order.

use base::Rng;

use crate::{permutation::Permutation, shard::ShardSet};

/// Consecutive inputs of one document, at most a row long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) document: u64,
    pub(crate) start: u64,
    pub(crate) len: u64,
}

/// One pass over a source: every input of every document is in exactly one piece.
///
/// A document longer than a row is cut every `seq_len` inputs, the first cut after `seq_len − phase` of them; the
/// phase is drawn for each document and epoch, so that the cuts move between epochs. Memory: 8 bytes a document.
#[derive(Clone, Debug)]
pub(crate) struct Epoch {
    seq_len: u64,
    seed: u64,
    /// Number of pieces before each document, and of all.
    first_piece: Vec<u64>,
    permutation: Permutation,
}

impl Epoch {
    /// The `epoch_idx`-th pass over `shards`, the `source_idx`-th source.
    pub(crate) fn new(
        shards: &ShardSet,
        seq_len: usize,
        seed: u64,
        source_idx: usize,
        epoch_idx: u64,
    ) -> Self {
        let seed = Rng::named(seed, &format!("data order/{source_idx}/{epoch_idx}")).next_u64();
        let seq_len = seq_len as u64;
        let mut n_pieces = 0;
        let mut first_piece = Vec::with_capacity(shards.n_documents() as usize + 1);
        for document in 0..shards.n_documents() {
            first_piece.push(n_pieces);
            let n_inputs = shards.n_inputs(document);
            n_pieces += (n_inputs + phase(seed, document, n_inputs, seq_len)).div_ceil(seq_len);
        }
        first_piece.push(n_pieces);
        let permutation = Permutation::new(n_pieces, &mut Rng::new(seed, u64::MAX));
        Self { seq_len, seed, first_piece, permutation }
    }

    /// How many pieces there are.
    pub(crate) fn n_pieces(&self) -> u64 {
        self.first_piece.last().copied().unwrap_or(0)
    }

    /// The `i`-th piece in this epoch's order.
    pub(crate) fn piece(&self, shards: &ShardSet, i: u64) -> Piece {
        let piece = self.permutation.at(i);
        let document = self.first_piece.partition_point(|&first| first <= piece) as u64 - 1;
        let n_inputs = shards.n_inputs(document);
        let phase = phase(self.seed, document, n_inputs, self.seq_len);
        let end = (piece - self.first_piece[document as usize] + 1) * self.seq_len - phase;
        let start = end.saturating_sub(self.seq_len);
        Piece { document, start, len: end.min(n_inputs) - start }
    }
}

/// How much earlier than a multiple of `seq_len` the cuts lie; a document that fits a row is not cut.
fn phase(seed: u64, document: u64, n_inputs: u64, seq_len: u64) -> u64 {
    if n_inputs <= seq_len { 0 } else { Rng::new(seed, document).below(seq_len) }
}
