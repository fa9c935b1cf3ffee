//! Keys and values of what was already read.

use tensor::{AttentionShape, DType, Tensor};

use crate::ModelConfig;

/// Keys and values of several sequences, one slot each, for every layer.
#[derive(Debug)]
pub struct KvCache {
    /// Per layer: keys and values, `[slots · capacity, K·D]`.
    layers: Vec<[Tensor; 2]>,
    /// Positions in use in each slot.
    lens: Vec<usize>,
    capacity: usize,
}

impl KvCache {
    /// `n_slots` empty sequences of at most `capacity` tokens, for a model that computes in `dtype`.
    ///
    /// Takes `2·L·slots·capacity·K·D` numbers.
    pub fn new(config: &ModelConfig, dtype: DType, n_slots: usize, capacity: usize) -> Self {
        let zeros = || Tensor::zeros(&[n_slots * capacity, config.kv_width()], dtype);
        Self {
            layers: (0..config.n_layers).map(|_| [zeros(), zeros()]).collect(),
            lens: vec![0; n_slots],
            capacity,
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

    /// Row of a slot's first position.
    pub(crate) fn start(&self, slot: usize) -> usize {
        slot * self.capacity
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
        let width = shape.kv_width();
        for (cached, first) in self.layers[layer].iter_mut().zip([shape.q_width(), shape.q_width() + width]) {
            let mut cached = cached.slice_mut();
            for append in appends {
                for i in 0..append.len {
                    let to = (append.slot * self.capacity + append.at + i) * width;
                    let from = (append.row + i) * shape.qkv_width() + first;
                    cached.copy_range(to, qkv.slice(), from, width);
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
