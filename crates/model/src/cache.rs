//! Keys and values of what was already read.

use tensor::{DType, Tensor};

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
    /// `n_slots` empty sequences of at most `capacity` tokens.
    ///
    /// Takes `2·L·slots·capacity·K·D` floats.
    pub fn new(config: &ModelConfig, n_slots: usize, capacity: usize) -> Self {
        let zeros = || Tensor::zeros(&[n_slots * capacity, config.kv_width()], DType::F32);
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

    /// Writes rows of new keys and values behind what the slots hold; returns all keys and all values of a layer.
    pub(crate) fn write(&mut self, layer: usize, new: [&Tensor; 2], appends: &[Append]) -> [Tensor; 2] {
        for (cached, new) in self.layers[layer].iter_mut().zip(new) {
            let width = cached.last_dim();
            let (cached, new) = (cached.f32_mut(), new.f32());
            for append in appends {
                let to = (append.slot * self.capacity + append.at) * width;
                let len = append.len * width;
                cached[to..to + len].copy_from_slice(&new[append.row * width..][..len]);
            }
        }
        self.layers[layer].clone()
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
