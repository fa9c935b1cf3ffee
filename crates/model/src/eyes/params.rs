//! The parameters of the eyes, and how they begin.

use super::VisionConfig;
use crate::{Linear, ParamSpec, Role, params::layout::fan_in};

/// From patches to rows of the sequence; `T` is what a leaf holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Eyes<T> {
    /// From a patch's pixels to the residual stream, `[D, 3·S·S]`.
    pub patch: Linear<T>,
    /// Of CLIP alone.
    pub class: Option<Class<T>>,
    /// Added to the rows of every image, `[P, D]`; of CLIP `[1 + P, D]`.
    pub positions: T,
    /// In their order.
    pub blocks: Vec<EyeBlock<T>>,
    /// From the encoder's width to the text model's, `[C, D]`, then `[C, C]`.
    pub projector: [Linear<T>; 2],
}

/// What CLIP's encoder has beside SigLIP's.
#[derive(Clone, Debug, PartialEq)]
pub struct Class<T> {
    /// The row that stands for the whole image, before its patches, `[1, D]`.
    pub embedding: T,
    /// Before the first block.
    pub norm: LayerNorm<T>,
}

impl<T> Class<T> {
    fn as_ref(&self) -> Class<&T> {
        Class { embedding: &self.embedding, norm: self.norm.as_ref() }
    }

    fn as_mut(&mut self) -> Class<&mut T> {
        Class { embedding: &mut self.embedding, norm: self.norm.as_mut() }
    }

    fn map<U>(self, f: &mut impl FnMut(T) -> U) -> Class<U> {
        Class { embedding: f(self.embedding), norm: self.norm.map(f) }
    }
}

/// One block of the encoder: attention, then the feed-forward. All linear maps have biases.
#[derive(Clone, Debug, PartialEq)]
pub struct EyeBlock<T> {
    /// Before attention.
    pub norm1: LayerNorm<T>,
    /// Queries, `[D, D]`.
    pub q: Linear<T>,
    /// Keys.
    pub k: Linear<T>,
    /// Values.
    pub v: Linear<T>,
    /// Back to the residual stream.
    pub out: Linear<T>,
    /// Before the feed-forward.
    pub norm2: LayerNorm<T>,
    /// `[F, D]`, through GELU.
    pub up: Linear<T>,
    /// `[D, F]`.
    pub down: Linear<T>,
}

/// A LayerNorm.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNorm<T> {
    /// `[D]`.
    pub gain: T,
    /// `[D]`.
    pub bias: T,
}

impl<T> LayerNorm<T> {
    fn as_ref(&self) -> LayerNorm<&T> {
        LayerNorm { gain: &self.gain, bias: &self.bias }
    }

    fn as_mut(&mut self) -> LayerNorm<&mut T> {
        LayerNorm { gain: &mut self.gain, bias: &mut self.bias }
    }

    fn map<U>(self, f: &mut impl FnMut(T) -> U) -> LayerNorm<U> {
        LayerNorm { gain: f(self.gain), bias: f(self.bias) }
    }
}

impl<T> EyeBlock<T> {
    fn as_ref(&self) -> EyeBlock<&T> {
        EyeBlock {
            norm1: self.norm1.as_ref(),
            q: self.q.as_ref(),
            k: self.k.as_ref(),
            v: self.v.as_ref(),
            out: self.out.as_ref(),
            norm2: self.norm2.as_ref(),
            up: self.up.as_ref(),
            down: self.down.as_ref(),
        }
    }

    fn as_mut(&mut self) -> EyeBlock<&mut T> {
        EyeBlock {
            norm1: self.norm1.as_mut(),
            q: self.q.as_mut(),
            k: self.k.as_mut(),
            v: self.v.as_mut(),
            out: self.out.as_mut(),
            norm2: self.norm2.as_mut(),
            up: self.up.as_mut(),
            down: self.down.as_mut(),
        }
    }

    fn map<U>(self, f: &mut impl FnMut(T) -> U) -> EyeBlock<U> {
        EyeBlock {
            norm1: self.norm1.map(f),
            q: self.q.map(f),
            k: self.k.map(f),
            v: self.v.map(f),
            out: self.out.map(f),
            norm2: self.norm2.map(f),
            up: self.up.map(f),
            down: self.down.map(f),
        }
    }
}

impl<T> Eyes<T> {
    /// The same tree of borrowed leaves.
    pub fn as_ref(&self) -> Eyes<&T> {
        Eyes {
            patch: self.patch.as_ref(),
            class: self.class.as_ref().map(Class::as_ref),
            positions: &self.positions,
            blocks: self.blocks.iter().map(EyeBlock::as_ref).collect(),
            projector: self.projector.each_ref().map(Linear::as_ref),
        }
    }

    /// The same tree of borrowed leaves, to be changed.
    pub fn as_mut(&mut self) -> Eyes<&mut T> {
        Eyes {
            patch: self.patch.as_mut(),
            class: self.class.as_mut().map(Class::as_mut),
            positions: &mut self.positions,
            blocks: self.blocks.iter_mut().map(EyeBlock::as_mut).collect(),
            projector: self.projector.each_mut().map(Linear::as_mut),
        }
    }

    /// `f` of every leaf, in the order in which the forward pass meets them.
    pub(crate) fn map<U>(self, f: &mut impl FnMut(T) -> U) -> Eyes<U> {
        Eyes {
            patch: self.patch.map(f),
            class: self.class.map(|class| class.map(f)),
            positions: f(self.positions),
            blocks: self.blocks.into_iter().map(|block| block.map(f)).collect(),
            projector: self.projector.map(|linear| linear.map(f)),
        }
    }
}

impl VisionConfig {
    /// What the names of the encoder's parameters begin with.
    pub const TOWER_PREFIX: &str = "vision_tower.vision_model.";
    /// What the names of the projector's parameters begin with.
    pub const PROJECTOR_PREFIX: &str = "multi_modal_projector.";

    /// Every parameter, before a text model of width `c`.
    ///
    /// Matrices begin with standard deviation `1/√fan_in`; the two of each block that write to the residual stream begin
    /// at 0, so that the encoder begins as the projection of its patches and positions.
    pub(crate) fn params(&self, c: usize) -> Eyes<ParamSpec> {
        let d = self.d_model;
        let tower = |part: &str, kind: &str| format!("{}{part}.{kind}", Self::TOWER_PREFIX);
        let mut patch = linear(&tower("embeddings", "patch_embedding"), d, self.patch_len(), 1.0);
        patch.weight.stored_shape = Some(vec![d, 3, self.patch_size, self.patch_size]);
        let class = self.is_clip.then(|| {
            patch.bias = None;
            let name = format!("{}embeddings.class_embedding", Self::TOWER_PREFIX);
            let mut embedding = ParamSpec::new(name, &[1, d], Role::Bias, fan_in(d));
            embedding.stored_shape = Some(vec![d]);
            // So it is spelled in every checkpoint.
            Class { embedding, norm: norm(&format!("{}pre_layrnorm", Self::TOWER_PREFIX), d) }
        });
        let positions = tower("embeddings.position_embedding", "weight");
        let projector =
            |part: &str, n: usize, k: usize| linear(&format!("{}{part}", Self::PROJECTOR_PREFIX), n, k, 1.0);
        Eyes {
            patch,
            class,
            positions: ParamSpec::new(positions, &[self.n_encoder_rows(), d], Role::Bias, fan_in(d)),
            blocks: (0..self.n_layers).map(|layer| self.block(layer)).collect(),
            projector: [projector("linear_1", c, d), projector("linear_2", c, c)],
        }
    }

    fn block(&self, layer: usize) -> EyeBlock<ParamSpec> {
        let (d, f) = (self.d_model, self.d_ff);
        let name = |part: &str| format!("{}encoder.layers.{layer}.{part}", Self::TOWER_PREFIX);
        EyeBlock {
            norm1: norm(&name("layer_norm1"), d),
            q: linear(&name("self_attn.q_proj"), d, d, 1.0),
            k: linear(&name("self_attn.k_proj"), d, d, 1.0),
            v: linear(&name("self_attn.v_proj"), d, d, 1.0),
            out: linear(&name("self_attn.out_proj"), d, d, 0.0),
            norm2: norm(&name("layer_norm2"), d),
            up: linear(&name("mlp.fc1"), f, d, 1.0),
            down: linear(&name("mlp.fc2"), d, f, 0.0),
        }
    }
}

/// A linear map with a bias, which begins at `scale` times the deviation that keeps the scale of a product.
fn linear(name: &str, n: usize, k: usize, scale: f64) -> Linear<ParamSpec> {
    let weight = ParamSpec::new(format!("{name}.weight"), &[n, k], Role::Matrix, scale * fan_in(k));
    Linear {
        bias: Some(ParamSpec::new(format!("{name}.bias"), &[n], Role::Bias, 0.0)),
        ..Linear::new(weight)
    }
}

fn norm(name: &str, d: usize) -> LayerNorm<ParamSpec> {
    LayerNorm {
        gain: ParamSpec::new(format!("{name}.weight"), &[d], Role::Gain, 0.0),
        bias: ParamSpec::new(format!("{name}.bias"), &[d], Role::Bias, 0.0),
    }
}
