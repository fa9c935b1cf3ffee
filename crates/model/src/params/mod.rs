//! The parameters of a model as a tree with names, generic in what a leaf holds: a [`ParamSpec`], a tensor, a value on a tape, a
//! gradient, moments.

mod adapters;
mod block;
pub(crate) mod layout;
mod linear;
mod spec;

pub use adapters::AdapterConfig;
pub use block::{Block, LinearName};
pub use linear::{Adapter, Linear};
pub use spec::{ParamSpec, Role};

use tensor::{DType, Tensor};

use crate::eyes::Eyes;

/// The parameters of a model; `T` is what a leaf holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Params<T> {
    /// From the pixels of images to rows of the sequence; none in a model of text alone.
    pub eyes: Option<Eyes<T>>,
    /// Rows by token id, `[V, C]`.
    pub embedding: T,
    /// In their order.
    pub blocks: Vec<Block<T>>,
    /// Gain of the last norm, `[C]`.
    pub norm: T,
    /// From the last hidden vector to logits, `[V, C]`; none where it is the embedding.
    pub head: Option<T>,
    /// Further outputs of the last hidden vector, such as a value, in the order in which they were added.
    pub heads: Vec<Linear<T>>,
}

impl<T> Params<T> {
    /// The same tree of borrowed leaves.
    pub fn as_ref(&self) -> Params<&T> {
        Params {
            eyes: self.eyes.as_ref().map(Eyes::as_ref),
            embedding: &self.embedding,
            blocks: self.blocks.iter().map(Block::as_ref).collect(),
            norm: &self.norm,
            head: self.head.as_ref(),
            heads: self.heads.iter().map(Linear::as_ref).collect(),
        }
    }

    /// The same tree of borrowed leaves, to be changed.
    pub fn as_mut(&mut self) -> Params<&mut T> {
        Params {
            eyes: self.eyes.as_mut().map(Eyes::as_mut),
            embedding: &mut self.embedding,
            blocks: self.blocks.iter_mut().map(Block::as_mut).collect(),
            norm: &mut self.norm,
            head: self.head.as_mut(),
            heads: self.heads.iter_mut().map(Linear::as_mut).collect(),
        }
    }

    /// `f` of every leaf, in the order in which the forward pass meets them. Sums over all leaves, such as the gradient's
    /// norm, run in this order.
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> Params<U> {
        Params {
            eyes: self.eyes.map(|eyes| eyes.map(&mut f)),
            embedding: f(self.embedding),
            blocks: self.blocks.into_iter().map(|block| block.map(&mut f)).collect(),
            norm: f(self.norm),
            head: self.head.map(&mut f),
            heads: self.heads.into_iter().map(|head| head.map(&mut f)).collect(),
        }
    }

    /// The leaves, in the order of [`Params::map`].
    pub fn into_leaves(self) -> Vec<T> {
        let mut leaves = Vec::new();
        self.map(|leaf| leaves.push(leaf));
        leaves
    }

    /// The leaves, in the order of [`Params::map`].
    pub fn iter(&self) -> std::vec::IntoIter<&T> {
        self.as_ref().into_leaves().into_iter()
    }

    /// The leaves, to be changed.
    pub fn iter_mut(&mut self) -> std::vec::IntoIter<&mut T> {
        self.as_mut().into_leaves().into_iter()
    }

    /// The tree of this shape with other leaves, in the order of [`Params::map`].
    ///
    /// # Panics
    /// If there are fewer.
    pub fn rebuilt<U>(&self, leaves: impl IntoIterator<Item = U>) -> Params<U> {
        let mut leaves = leaves.into_iter();
        self.as_ref().map(|_| leaves.next().expect("a leaf for each of the tree"))
    }

    /// `f` of every leaf, or its first error.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn try_map<U, E>(&self, f: impl FnMut(&T) -> Result<U, E>) -> Result<Params<U>, E> {
        let leaves = self.iter().map(f).collect::<Result<Vec<U>, E>>()?;
        Ok(self.rebuilt(leaves))
    }
}

impl Params<Tensor> {
    /// Lends the leaves side by side, as the tape adds gradients to them.
    pub fn with_slice<R>(&mut self, f: impl FnOnce(&mut [Tensor]) -> R) -> R {
        let nothing = || Tensor::zeros(&[0], DType::F32);
        let mut leaves: Vec<Tensor> =
            self.iter_mut().map(|leaf| std::mem::replace(leaf, nothing())).collect();
        let result = f(&mut leaves);
        self.iter_mut().zip(leaves).for_each(|(leaf, lent)| *leaf = lent);
        result
    }
}

impl<'a, T> IntoIterator for &'a Params<T> {
    type Item = &'a T;
    type IntoIter = std::vec::IntoIter<&'a T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T> IntoIterator for &'a mut Params<T> {
    type Item = &'a mut T;
    type IntoIter = std::vec::IntoIter<&'a mut T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl<T> IntoIterator for Params<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.into_leaves().into_iter()
    }
}
