//! Which parameters a model of a config has: names as Hugging Face has them, shapes, roles and initial scales.

use super::{Block, Linear, ParamSpec, Params, Role};
use crate::{ModelConfig, eyes::VisionConfig};

/// Standard deviation of an untied embedding: the residual stream begins at the scale of what blocks add to it.
const EMBEDDING_STD: f64 = 1.0;
/// Times `1/√C`: the initial logits are small, so that the first loss is near `ln V`. A tied embedding begins like
/// the head, which the width rules do not cover: see docs/log.md.
const HEAD_STD: f64 = 0.1;

impl ModelConfig {
    /// Every parameter of a model of this shape.
    ///
    /// Matrices begin with standard deviation `1/√fan_in`, so that activations keep their scale at any width; the
    /// two that write to the residual stream begin at 0, so that the model begins as the identity
    /// (<https://arxiv.org/abs/2203.03466>, appendix D.2, and <https://arxiv.org/abs/1901.09321>).
    pub fn params(&self) -> Params<ParamSpec> {
        let c = self.d_model;
        let embedding_std = if self.tie_embeddings { HEAD_STD * fan_in(c) } else { EMBEDDING_STD };
        let table = [self.vocab_size, c];
        let named = |name: &str| self.text_name(name);
        Params {
            eyes: self.vision.as_ref().map(|vision| vision.params(c)),
            embedding: ParamSpec::new(
                named("model.embed_tokens.weight"),
                &table,
                Role::Embedding,
                embedding_std,
            ),
            blocks: (0..self.n_layers).map(|layer| self.block(layer)).collect(),
            norm: ParamSpec::new(named("model.norm.weight"), &[c], Role::Gain, 0.0),
            head: (!self.tie_embeddings)
                .then(|| ParamSpec::new(named("lm_head.weight"), &table, Role::Head, HEAD_STD * fan_in(c))),
            heads: Vec::new(),
        }
    }

    /// The name of a parameter of the text model: in a model with eyes they have a prefix.
    fn text_name(&self, name: &str) -> String {
        format!("{}{name}", if self.vision.is_some() { VisionConfig::TEXT_PREFIX } else { "" })
    }

    fn block(&self, layer: usize) -> Block<ParamSpec> {
        let (c, q, kv, f) = (self.d_model, self.q_width(), self.kv_width(), self.d_ff);
        let name = |part: &str, kind: &str| self.text_name(&format!("model.layers.{layer}.{part}.{kind}"));
        let gain = |part: &str, n: usize| ParamSpec::new(name(part, "weight"), &[n], Role::Gain, 0.0);
        let linear = |part: &str, n: usize, k: usize, std: f64| {
            Linear::new(ParamSpec::new(name(part, "weight"), &[n, k], Role::Matrix, std))
        };
        let biased = |part: &str, n: usize, k: usize, std: f64| Linear {
            bias: self.qkv_bias.then(|| ParamSpec::new(name(part, "bias"), &[n], Role::Bias, 0.0)),
            ..linear(part, n, k, std)
        };
        Block {
            input_norm: gain("input_layernorm", c),
            q: biased("self_attn.q_proj", q, c, fan_in(c)),
            k: biased("self_attn.k_proj", kv, c, fan_in(c)),
            v: biased("self_attn.v_proj", kv, c, fan_in(c)),
            head_norms: self
                .qk_norm
                .then(|| [gain("self_attn.q_norm", self.d_head), gain("self_attn.k_norm", self.d_head)]),
            out: linear("self_attn.o_proj", c, q, 0.0),
            post_norm: gain("post_attention_layernorm", c),
            gate: linear("mlp.gate_proj", f, c, fan_in(c)),
            up: linear("mlp.up_proj", f, c, fan_in(c)),
            down: linear("mlp.down_proj", c, f, 0.0),
        }
    }
}

/// Standard deviation that keeps the scale of a product over `k`.
pub(crate) fn fan_in(k: usize) -> f64 {
    (k as f64).sqrt().recip()
}
