//! Which key and which tensor of llama.cpp is which of ours.
//!
//! Source: `convert_hf_to_gguf.py` and `gguf-py/gguf/constants.py` of <https://github.com/ggml-org/llama.cpp>.

use std::collections::BTreeSet;

use tensor::Tensor;

use super::{GgufError, GgufFile, TensorInfo, Value};
use crate::{ModelConfig, ParamSpec, RopeScaling};

/// What stretched frequencies are stored as: one divisor for each pair of channels.
const ROPE_FACTORS: &str = "rope_freqs.weight";

/// Llama 3.1's stretching has the first factor, that of Llama 3.2's small models the second; the file does not say.
const PUBLISHED_FACTORS: [f64; 2] = [8.0, 32.0];

/// Keys of an architecture that are read, or say nothing of the computation. Any other is refused by name: there is no
/// telling what it changes.
const READ: [&str; 20] = [
    "vocab_size",
    "context_length",
    "embedding_length",
    "block_count",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "attention.layer_norm_epsilon",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.finetuned",
    "rope.scale_linear",
    "attention.causal",
    "tensor_data_layout",
];

/// Keys of an architecture that change what is computed, and the value at which they do not.
const SWITCHES: [(&str, f64); 13] = [
    ("pooling_type", 0.0),
    ("expert_count", 0.0),
    ("expert_used_count", 0.0),
    ("attention.sliding_window", 0.0),
    ("attention.scale", 0.0),
    ("attn_logit_softcapping", 0.0),
    ("final_logit_softcapping", 0.0),
    ("logit_scale", 0.0),
    ("residual_scale", 0.0),
    ("embedding_scale", 0.0),
    ("attention.clamp_kqv", 0.0),
    ("attention.max_alibi_bias", 0.0),
    ("leading_dense_block_count", 0.0),
];

/// Endings of tensors' names within a block: theirs, ours.
const BLOCK: [(&str, &str); 14] = [
    ("attn_norm.weight", "input_layernorm.weight"),
    ("attn_q.weight", "self_attn.q_proj.weight"),
    ("attn_k.weight", "self_attn.k_proj.weight"),
    ("attn_v.weight", "self_attn.v_proj.weight"),
    ("attn_q.bias", "self_attn.q_proj.bias"),
    ("attn_k.bias", "self_attn.k_proj.bias"),
    ("attn_v.bias", "self_attn.v_proj.bias"),
    ("attn_q_norm.weight", "self_attn.q_norm.weight"),
    ("attn_k_norm.weight", "self_attn.k_norm.weight"),
    ("attn_output.weight", "self_attn.o_proj.weight"),
    ("ffn_norm.weight", "post_attention_layernorm.weight"),
    ("ffn_gate.weight", "mlp.gate_proj.weight"),
    ("ffn_up.weight", "mlp.up_proj.weight"),
    ("ffn_down.weight", "mlp.down_proj.weight"),
];

/// llama.cpp's name of a parameter.
pub(super) fn theirs(ours: &str) -> String {
    match ours {
        "model.embed_tokens.weight" => return "token_embd.weight".into(),
        "model.norm.weight" => return "output_norm.weight".into(),
        "lm_head.weight" => return "output.weight".into(),
        _ => {}
    }
    let in_block = ours.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
    let (layer, part) = in_block.expect("every other parameter lies in a block");
    let (theirs, _) =
        BLOCK.iter().find(|(_, ours)| *ours == part).expect("the table has every part of a block");
    format!("blk.{layer}.{theirs}")
}

impl GgufFile {
    /// The shape of the model.
    ///
    /// # Errors
    /// If a key is missing, or something in the file changes the computation in a way that is not built here.
    pub fn config(&self) -> Result<ModelConfig, GgufError> {
        let architecture = self.get("general.architecture").and_then(Value::as_str).unwrap_or("nothing");
        let known = ARCHITECTURES.iter().find(|known| known.0 == architecture);
        let (qk_norm, qkv_bias) = known
            .map(|known| known.1)
            .ok_or_else(|| self.unsupported("general.architecture", architecture, "llama, qwen2 or qwen3"))?;
        let keys = Keys { file: self, architecture };
        for (name, off) in SWITCHES {
            let value = keys.get(name);
            if value.is_some_and(|value| value.as_f64() != Some(off)) {
                return Err(self.unsupported(
                    &keys.name(name),
                    value.expect("checked above"),
                    "models without it",
                ));
            }
        }
        keys.check_others()?;
        keys.check_scaling()?;
        let (n_heads, d_model) = (keys.size("attention.head_count")?, keys.size("embedding_length")?);
        let d_head = keys.size_or("attention.key_length", d_model.checked_div(n_heads).unwrap_or(0))?;
        for name in ["attention.value_length", "rope.dimension_count"] {
            let found = keys.size_or(name, d_head)?;
            if found != d_head {
                return Err(self.unsupported(
                    &keys.name(name),
                    found,
                    &format!("{d_head}, the width of a key"),
                ));
            }
        }
        let embedding = self
            .tensor("token_embd.weight")
            .ok_or_else(|| self.damaged("a tensor `token_embd.weight`", "none"))?;
        let mut config = ModelConfig {
            vocab_size: embedding.shape[0],
            max_seq_len: keys.size("context_length")?,
            n_layers: keys.size("block_count")?,
            d_model,
            n_heads,
            n_kv_heads: keys.size_or("attention.head_count_kv", n_heads)?,
            d_head,
            d_ff: keys.size("feed_forward_length")?,
            rope_theta: keys.real("rope.freq_base", Some(10_000.0))?,
            norm_eps: keys.real("attention.layer_norm_rms_epsilon", None)?,
            qk_norm,
            qkv_bias,
            rope_scaling: None,
            tie_embeddings: self.tensor("output.weight").is_none(),
            vision: None,
        };
        config.validate().map_err(|error| self.damaged("a shape that can be built", error.to_string()))?;
        if let Some(factors) = self.tensor(ROPE_FACTORS) {
            if architecture != "llama" {
                return Err(self.unsupported(
                    ROPE_FACTORS,
                    format!("there in {architecture}"),
                    "llama models alone",
                ));
            }
            config.rope_scaling = Some(self.rope_scaling(&config, factors)?);
        }
        self.check_tensors(&config)?;
        Ok(config)
    }

    /// A parameter's numbers in our order.
    ///
    /// # Panics
    /// If the file lacks it; [`GgufFile::config`] has checked that.
    #[track_caller]
    pub fn param(&self, config: &ModelConfig, spec: &ParamSpec) -> Vec<f32> {
        let tensor = self.tensor(&theirs(&spec.name)).expect("`config` has found every parameter");
        let values = self.read(tensor);
        match n_permuted_heads(config, spec) {
            Some(n_heads) => halves_together(&values, n_heads, spec.shape[0]),
            None => values,
        }
    }

    /// The stretching that these divisors come from.
    fn rope_scaling(&self, config: &ModelConfig, factors: &TensorInfo) -> Result<RopeScaling, GgufError> {
        let half = config.d_head / 2;
        let found = if factors.shape == [half] { self.read(factors) } else { Vec::new() };
        let fits = |scaling: &RopeScaling| {
            let expected = (0..half).map(|i| {
                let frequency = config.rope_frequency(i);
                frequency / scaling.stretch(frequency)
            });
            found.len() == half
                && expected.zip(&found).all(|(want, found)| (want - found).abs() <= 1e-4 * want)
        };
        PUBLISHED_FACTORS
            .map(|factor| RopeScaling {
                factor,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                original_max_seq_len: 8192,
            })
            .into_iter()
            .find(fits)
            .ok_or_else(|| self.unsupported(ROPE_FACTORS, "another table", "that of Llama 3.1 or 3.2"))
    }

    /// Every tensor of the model is there in its shape, and none beside them.
    fn check_tensors(&self, config: &ModelConfig) -> Result<(), GgufError> {
        let mut unknown: BTreeSet<&str> = self.tensors().iter().map(|tensor| &tensor.name[..]).collect();
        unknown.remove(ROPE_FACTORS);
        // A file's list bounds the work before the config's claims do.
        if config.n_layers > self.tensors().len() {
            return Err(
                self.damaged(format!("tensors of {} blocks", config.n_layers), unknown.len().to_string())
            );
        }
        for spec in config.params() {
            let name = theirs(&spec.name);
            match self.tensor(&name) {
                None => return Err(self.damaged(format!("a tensor `{name}`"), "none")),
                Some(tensor) if tensor.shape != spec.shape => {
                    return Err(self.damaged(
                        format!("{:?} as the shape of `{name}`", spec.shape),
                        format!("{:?}", tensor.shape),
                    ));
                }
                Some(_) => unknown.remove(&name[..]),
            };
        }
        match unknown.first() {
            None => Ok(()),
            Some(name) => Err(self.unsupported("a tensor", format!("`{name}`"), "models without it")),
        }
    }
}

/// The values of `general.architecture` that are computed, with `qk_norm` and `qkv_bias` of each.
const ARCHITECTURES: [(&str, (bool, bool)); 3] =
    [("llama", (false, false)), ("qwen2", (false, true)), ("qwen3", (true, false))];

/// All that a file says of the shape of a model.
pub(super) fn metadata(config: &ModelConfig) -> Vec<(String, Value)> {
    let own = (config.qk_norm, config.qkv_bias);
    let (architecture, _) = ARCHITECTURES
        .into_iter()
        .find(|(_, flags)| *flags == own)
        .expect("a valid config is of a known architecture");
    let size = |x: usize| Value::U32(u32::try_from(x).expect("a valid config has sizes below 2^32"));
    let keys = [
        ("vocab_size", size(config.vocab_size)),
        ("context_length", size(config.max_seq_len)),
        ("embedding_length", size(config.d_model)),
        ("block_count", size(config.n_layers)),
        ("feed_forward_length", size(config.d_ff)),
        ("attention.head_count", size(config.n_heads)),
        ("attention.head_count_kv", size(config.n_kv_heads)),
        ("attention.key_length", size(config.d_head)),
        ("attention.value_length", size(config.d_head)),
        ("rope.dimension_count", size(config.d_head)),
        ("rope.freq_base", Value::F32(config.rope_theta as f32)),
        ("attention.layer_norm_rms_epsilon", Value::F32(config.norm_eps as f32)),
    ];
    std::iter::once(("general.architecture".to_owned(), Value::String(architecture.into())))
        .chain(keys.map(|(name, value)| (format!("{architecture}.{name}"), value)))
        .collect()
}

/// A parameter in llama.cpp's order.
pub(super) fn ordered(config: &ModelConfig, spec: &ParamSpec, param: Tensor) -> Tensor {
    match n_permuted_heads(config, spec) {
        Some(n_heads) => Tensor::from_f32(&spec.shape, pairs_together(param.f32(), n_heads, spec.shape[0])),
        None => param,
    }
}

/// The divisors of stretched frequencies, by the name under which they are stored.
pub(super) fn rope_factors(config: &ModelConfig) -> Option<(&'static str, Vec<f32>)> {
    let scaling = config.rope_scaling?;
    let plain = ModelConfig { rope_scaling: None, ..config.clone() };
    let factor = |i| {
        let frequency = plain.rope_frequency(i);
        frequency / scaling.stretch(frequency)
    };
    Some((ROPE_FACTORS, (0..config.d_head / 2).map(factor).collect()))
}

/// Heads of a matrix whose rows llama.cpp orders otherwise: it turns neighbouring channels of Llama's queries and keys,
/// Hugging Face's code those half a head apart.
fn n_permuted_heads(config: &ModelConfig, spec: &ParamSpec) -> Option<usize> {
    let is_llama = !config.qk_norm && !config.qkv_bias;
    match spec.name.rsplit_once("self_attn.")?.1 {
        "q_proj.weight" if is_llama => Some(config.n_heads),
        "k_proj.weight" if is_llama => Some(config.n_kv_heads),
        _ => None,
    }
}

/// Rows of each head from pairs `(0, 1), (2, 3) …` to halves: row `s·D/2 + i` was row `2i + s`.
fn halves_together(values: &[f32], n_heads: usize, n_rows: usize) -> Vec<f32> {
    let (width, half) = (values.len() / n_rows.max(1), n_rows / n_heads / 2);
    let mut ordered = Vec::with_capacity(values.len());
    for head in 0..n_heads {
        for s in 0..2 {
            for i in 0..half {
                let row = head * 2 * half + 2 * i + s;
                ordered.extend_from_slice(&values[row * width..][..width]);
            }
        }
    }
    ordered
}

/// The inverse of [`halves_together`]: row `2i + s` was row `s·D/2 + i`.
fn pairs_together(values: &[f32], n_heads: usize, n_rows: usize) -> Vec<f32> {
    let (width, half) = (values.len() / n_rows.max(1), n_rows / n_heads / 2);
    let mut ordered = Vec::with_capacity(values.len());
    for head in 0..n_heads {
        for i in 0..half {
            for s in 0..2 {
                let row = head * 2 * half + s * half + i;
                ordered.extend_from_slice(&values[row * width..][..width]);
            }
        }
    }
    ordered
}

/// The keys of an architecture.
struct Keys<'a> {
    file: &'a GgufFile,
    architecture: &'a str,
}

impl Keys<'_> {
    fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.file.get(&self.name(name))
    }

    /// Refuses a key of this architecture that nothing here reads.
    fn check_others(&self) -> Result<(), GgufError> {
        let is_known = |name: &str| READ.contains(&name) || SWITCHES.iter().any(|(known, _)| *known == name);
        let prefix = format!("{}.", self.architecture);
        let mut own = self.file.metadata().iter().filter_map(|(key, value)| {
            let name = key.strip_prefix(&prefix)?;
            (!is_known(name)).then_some((key, value))
        });
        if let Some((key, value)) = own.next() {
            return Err(self.file.unsupported(key, value, "models without it"));
        }
        if let Some(found) = self.get("attention.causal").filter(|value| value.as_bool() != Some(true)) {
            return Err(self.file.unsupported(&self.name("attention.causal"), found, "true"));
        }
        let layout = self.get("tensor_data_layout").and_then(Value::as_str);
        match layout.filter(|layout| !layout.is_empty() && *layout != "default") {
            Some(found) => {
                Err(self.file.unsupported(&self.name("tensor_data_layout"), found, "llama.cpp's own"))
            }
            None => Ok(()),
        }
    }

    /// Refuses frequencies that are stretched other than by a table. A factor without a kind is a linear one, as in
    /// llama.cpp; a factor of 0 or 1 is none.
    fn check_scaling(&self) -> Result<(), GgufError> {
        let kind = self.get("rope.scaling.type").and_then(Value::as_str).unwrap_or("linear");
        let is_none = |value: &Value| value.as_f64().is_some_and(|factor| factor == 0.0 || factor == 1.0);
        let refuse = |name: &str, found: &dyn std::fmt::Display, expected: &str| {
            Err(self.file.unsupported(&self.name(name), found, expected))
        };
        match kind {
            "none" => return Ok(()),
            "linear" => {}
            other => return refuse("rope.scaling.type", &other, "none"),
        }
        for name in ["rope.scaling.factor", "rope.scale_linear"] {
            if let Some(factor) = self.get(name).filter(|value| !is_none(value)) {
                return refuse(name, factor, "1, or none");
            }
        }
        Ok(())
    }

    fn size(&self, name: &str) -> Result<usize, GgufError> {
        let value = self.get(name);
        value.and_then(Value::as_u64).and_then(|x| usize::try_from(x).ok()).ok_or_else(|| {
            let found = value.map_or("nothing".to_owned(), Value::to_string);
            self.file.unsupported(&self.name(name), found, "one whole number for all layers")
        })
    }

    fn size_or(&self, name: &str, default: usize) -> Result<usize, GgufError> {
        if self.get(name).is_none() { Ok(default) } else { self.size(name) }
    }

    fn real(&self, name: &str, default: Option<f64>) -> Result<f64, GgufError> {
        let value = self.get(name);
        value.map_or(default, Value::as_f64).ok_or_else(|| {
            let found = value.map_or("nothing".to_owned(), Value::to_string);
            self.file.unsupported(&self.name(name), found, "a number")
        })
    }
}
