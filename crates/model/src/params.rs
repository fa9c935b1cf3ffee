//! The list of parameters: names as Hugging Face has them, shapes, roles and initial scales.

use base::Rng;
use tensor::{DType, Tensor};

use crate::ModelConfig;

/// What a parameter does, which decides its optimizer and learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Rows looked up by token id; the head too where they are tied.
    Embedding,
    /// A matrix between two hidden vectors.
    Matrix,
    /// The matrix from the last hidden vector to logits.
    Head,
    /// The gain of a norm.
    Gain,
    /// A row that is added.
    Bias,
}

/// One parameter: name, shape and how it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamSpec {
    /// As in Hugging Face checkpoints.
    pub name: String,
    /// `[out, in]` for matrices.
    pub shape: Vec<usize>,
    /// What it does.
    pub role: Role,
    /// Standard deviation at the beginning; gains begin at 1, biases at 0.
    pub init_std: f64,
}

/// Standard deviation of an untied embedding: the residual stream begins at the scale of what blocks add to it.
const EMBEDDING_STD: f64 = 1.0;
/// Times `1/√C`: the initial logits are small, so that the first loss is near `ln V`. A tied embedding begins like
/// the head, which the width rules do not cover: see docs/log.md.
const HEAD_STD: f64 = 0.1;

impl ModelConfig {
    /// Every parameter, in the order in which the forward pass meets them.
    ///
    /// Matrices begin with standard deviation `1/√fan_in`, so that activations keep their scale at any width; the
    /// two that write to the residual stream begin at 0, so that the model begins as the identity
    /// (<https://arxiv.org/abs/2203.03466>, appendix D.2, and <https://arxiv.org/abs/1901.09321>).
    pub fn params(&self) -> Vec<ParamSpec> {
        let c = self.d_model;
        let matrix = |name: String, n: usize, k: usize, std: f64| ParamSpec {
            name,
            shape: vec![n, k],
            role: Role::Matrix,
            init_std: std,
        };
        let gain =
            |name: String, n: usize| ParamSpec { name, shape: vec![n], role: Role::Gain, init_std: 0.0 };
        let fan_in = |k: usize| (k as f64).sqrt().recip();
        let embedding_std = if self.tie_embeddings { HEAD_STD * fan_in(c) } else { EMBEDDING_STD };

        let mut specs = vec![ParamSpec {
            name: "model.embed_tokens.weight".into(),
            shape: vec![self.vocab_size, c],
            role: Role::Embedding,
            init_std: embedding_std,
        }];
        for layer in 0..self.n_layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
            specs.push(gain(name("input_layernorm"), c));
            specs.push(matrix(name("self_attn.q_proj"), self.q_width(), c, fan_in(c)));
            specs.push(matrix(name("self_attn.k_proj"), self.kv_width(), c, fan_in(c)));
            specs.push(matrix(name("self_attn.v_proj"), self.kv_width(), c, fan_in(c)));
            if self.qkv_bias {
                for (part, n) in
                    [("q_proj", self.q_width()), ("k_proj", self.kv_width()), ("v_proj", self.kv_width())]
                {
                    let name = format!("model.layers.{layer}.self_attn.{part}.bias");
                    specs.push(ParamSpec { name, shape: vec![n], role: Role::Bias, init_std: 0.0 });
                }
            }
            if self.qk_norm {
                specs.push(gain(name("self_attn.q_norm"), self.d_head));
                specs.push(gain(name("self_attn.k_norm"), self.d_head));
            }
            specs.push(matrix(name("self_attn.o_proj"), c, self.q_width(), 0.0));
            specs.push(gain(name("post_attention_layernorm"), c));
            specs.push(matrix(name("mlp.gate_proj"), self.d_ff, c, fan_in(c)));
            specs.push(matrix(name("mlp.up_proj"), self.d_ff, c, fan_in(c)));
            specs.push(matrix(name("mlp.down_proj"), c, self.d_ff, 0.0));
        }
        specs.push(gain("model.norm.weight".into(), c));
        if !self.tie_embeddings {
            specs.push(ParamSpec {
                name: "lm_head.weight".into(),
                shape: vec![self.vocab_size, c],
                role: Role::Head,
                init_std: HEAD_STD * fan_in(c),
            });
        }
        specs
    }
}

impl ModelConfig {
    /// How many of [`ModelConfig::params`] belong to one block.
    pub(crate) fn n_params_of_a_block(&self) -> usize {
        9 + if self.qkv_bias { 3 } else { 0 } + if self.qk_norm { 2 } else { 0 }
    }
}

impl ParamSpec {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Initial values. Each parameter has a random stream of its own name, so adding one does not change others.
    pub fn init(&self, dtype: DType, seed: u64) -> Tensor {
        if self.role == Role::Gain {
            return Tensor::from_f32(&self.shape, vec![1.0; self.len()]).to_dtype(dtype);
        }
        Tensor::normal(&self.shape, self.init_std, dtype, &mut Rng::named(seed, &self.name))
    }
}
