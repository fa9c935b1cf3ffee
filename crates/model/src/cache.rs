//! Keys and values of what was already read.

use tensor::{AttentionShape, DType, Tensor};

use crate::ModelConfig;

/// Keys and values of several sequences, one slot each, for every layer.
#[derive(Debug)]
pub struct KvCache {
    /// Per layer: keys and values, `[slots, K, capacity, D]`: what one head reads lies in one piece.
    layers: Vec<[Tensor; 2]>,
    /// Positions in use in each slot.
    lens: Vec<usize>,
    capacity: usize,
    n_kv_heads: usize,
}

impl KvCache {
    /// `n_slots` empty sequences of at most `capacity` tokens, for a model that computes in `dtype`.
    ///
    /// Takes `2·L·slots·capacity·K·D` numbers.
    pub fn new(config: &ModelConfig, dtype: DType, n_slots: usize, capacity: usize) -> Self {
        let zeros = || Tensor::zeros(&[n_slots, config.n_kv_heads, capacity, config.d_head], dtype);
        Self {
            layers: (0..config.n_layers).map(|_| [zeros(), zeros()]).collect(),
            lens: vec![0; n_slots],
            capacity,
            n_kv_heads: config.n_kv_heads,
        }
    }

    /// Most tokens that a slot holds.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Tokens in a slot.
    pub fn len(&self, slot: usize) -> usize {
        self.lens[slot]
    }

    /// Forgets a slot's sequence.
    pub fn clear(&mut self, slot: usize) {
        self.lens[slot] = 0;
    }

    /// Row of D numbers at which a slot's first head begins.
    pub(crate) fn start(&self, slot: usize) -> usize {
        slot * self.n_kv_heads * self.capacity
    }

    /// Writes the keys and values of `qkv` rows behind what the slots hold; returns all keys and all values of a
    /// layer.
    pub(crate) fn write(
        &mut self,
        layer: usize,
        qkv: &Tensor,
        shape: AttentionShape,
        appends: &[Append],
    ) -> [&Tensor; 2] {
        let d_head = shape.d_head;
        let first_heads = [shape.n_heads, shape.n_heads + shape.n_kv_heads];
        for (cached, first_head) in self.layers[layer].iter_mut().zip(first_heads) {
            let mut cached = cached.slice_mut();
            for append in appends {
                let start = append.slot * self.n_kv_heads * self.capacity + append.at;
                for head in 0..shape.n_kv_heads {
                    for i in 0..append.len {
                        let to = (start + head * self.capacity + i) * d_head;
                        let from = (append.row + i) * shape.qkv_width() + (first_head + head) * d_head;
                        cached.copy_range(to, qkv.slice(), from, d_head);
                    }
                }
            }
        }
        self.layers[layer].each_ref()
    }

    /// Counts what [`KvCache::write`] wrote, once for all layers.
    pub(crate) fn advance(&mut self, appends: &[Append]) {
        for append in appends {
            self.lens[append.slot] = append.at + append.len;
        }
    }
}

/// New tokens of one slot: rows `row .. row + len` of a forward pass go to positions from `at` on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Append {
    pub(crate) slot: usize,
    pub(crate) at: usize,
    pub(crate) row: usize,
    pub(crate) len: usize,
}
