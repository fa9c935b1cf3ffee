//! What a training step reads.

/// Rows of tokens, packed full: no padding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Number of rows.
    pub n_rows: usize,
    /// Length of each row.
    pub seq_len: usize,
    /// Inputs, `[n_rows, seq_len]` flattened.
    pub ids: Vec<u32>,
    /// The id that follows each input in its document, `[n_rows, seq_len]` flattened.
    pub targets: Vec<u32>,
    /// Stretches of one document each, ascending; together they cover every position once, and none crosses a row.
    pub segments: Vec<Segment>,
    /// Images that stand at `<|image|>` tokens; none yet.
    pub images: Vec<ImageRef>,
}

/// A stretch of consecutive tokens of one document, over the flattened rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First position.
    pub start: usize,
    /// Number of positions.
    pub len: usize,
}

/// An image and the position of its first placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageRef {
    /// Position over the flattened rows.
    pub position: usize,
    /// Number of the image in its shard.
    pub image: u64,
}

impl Batch {
    /// An empty batch with room for `n_rows`.
    pub(crate) fn with_room(n_rows: usize, seq_len: usize) -> Self {
        let room = n_rows * seq_len;
        Self {
            n_rows,
            seq_len,
            ids: Vec::with_capacity(room),
            targets: Vec::with_capacity(room),
            ..Self::default()
        }
    }

    /// Appends `tokens` as one segment: all but the last are inputs, all but the first targets.
    pub(crate) fn push_segment(&mut self, tokens: &[u32]) {
        let (start, len) = (self.ids.len(), tokens.len() - 1);
        self.ids.extend_from_slice(&tokens[..len]);
        self.targets.extend_from_slice(&tokens[1..]);
        self.segments.push(Segment { start, len });
    }

    /// Positions left in the row that is being filled.
    pub(crate) fn room_in_row(&self) -> usize {
        self.seq_len - self.ids.len() % self.seq_len
    }

    /// Whether every row is full.
    pub(crate) fn is_full(&self) -> bool {
        self.ids.len() == self.n_rows * self.seq_len
    }

    /// Bytes of text that the targets stand for, by [`crate::Tokenizer::token_bytes`]: bits per byte are
    /// summed nats / (ln 2 · bytes), with the nats of special targets in the sum.
    pub fn target_bytes(&self, token_bytes: &[u32]) -> u64 {
        self.targets.iter().map(|&id| u64::from(token_bytes[id as usize])).sum()
    }
}
