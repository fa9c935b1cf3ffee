//! An image as the engine is given it.

use std::sync::Arc;

use base::hash::Xxh3;

/// The patches of an image, with a hash by which what was computed of it is found again.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    patches: Arc<[f32]>,
    hash: u128,
}

impl Picture {
    /// Of patches `[P, 3·S·S]`, as [`super::VisionConfig`] counts them.
    pub fn new(patches: Vec<f32>) -> Self {
        let mut hash = Xxh3::new();
        patches.iter().for_each(|x| hash.update(&x.to_bits().to_le_bytes()));
        Self { patches: patches.into(), hash: hash.digest128() }
    }

    /// Its numbers.
    pub fn patches(&self) -> &[f32] {
        &self.patches
    }

    /// Equal for equal numbers.
    pub fn hash(&self) -> u128 {
        self.hash
    }
}
