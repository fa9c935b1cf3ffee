//! Our shape as Hugging Face's `config.json`, and back.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{CheckpointError, SpecialIds};
use crate::{ModelConfig, RopeScaling};

/// Architectures of Hugging Face that this crate computes: the name in `architectures`, `model_type`, and what sets
/// them apart.
struct Family {
    architecture: &'static str,
    model_type: &'static str,
    qkv_bias: bool,
    qk_norm: bool,
}

const FAMILIES: [Family; 3] = [
    Family { architecture: "LlamaForCausalLM", model_type: "llama", qkv_bias: false, qk_norm: false },
    Family { architecture: "Qwen2ForCausalLM", model_type: "qwen2", qkv_bias: true, qk_norm: false },
    Family { architecture: "Qwen3ForCausalLM", model_type: "qwen3", qkv_bias: false, qk_norm: true },
];

/// Their names, for people.
const KNOWN: &str = "LlamaForCausalLM, Qwen2ForCausalLM or Qwen3ForCausalLM";

/// [`ModelConfig::validate`] lets through only what one of the families is.
pub(super) fn to_hugging_face(config: &ModelConfig, ids: &SpecialIds, dtype: &str) -> Value {
    let family = FAMILIES
        .iter()
        .find(|family| family.qkv_bias == config.qkv_bias && family.qk_norm == config.qk_norm)
        .expect("a valid config is of a known family");
    let mut value = json!({
        "architectures": [family.architecture],
        "model_type": family.model_type,
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "intermediate_size": config.d_ff,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "head_dim": config.d_head,
        "hidden_act": "silu",
        "max_position_embeddings": config.max_seq_len,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "attention_bias": false,
        "tie_word_embeddings": config.tie_embeddings,
        "bos_token_id": ids.bos,
        "eos_token_id": ids.eos.first(),
        "torch_dtype": dtype,
    });
    if family.model_type == "llama" {
        value["mlp_bias"] = json!(false);
    }
    if let Some(scaling) = config.rope_scaling {
        value["rope_scaling"] = json!({
            "rope_type": "llama3",
            "factor": scaling.factor,
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_max_seq_len,
        });
    }
    value
}

pub(super) fn generation_config(ids: &SpecialIds) -> Value {
    json!({
        "bos_token_id": ids.bos,
        "eos_token_id": ids.eos,
        "pad_token_id": ids.eos.first(),
        "do_sample": true,
        "temperature": 1.0,
    })
}

/// The ids in `eos_token_id`: a number, a list, or nothing.
pub(super) fn eos_of(value: &Value) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match &value["eos_token_id"] {
        Value::Array(ids) => ids.iter().filter_map(id).collect(),
        one => id(one).into_iter().collect(),
    }
}

/// Reads what we compute and refuses the rest by name.
///
/// Absent fields have the defaults of `transformers`, which leaves out of `config.json` what equals them.
pub(super) fn from_hugging_face(path: &Path, value: &Value) -> Result<ModelConfig, CheckpointError> {
    let fields = Fields { path, value };
    let family = FAMILIES
        .iter()
        .find(|family| value["architectures"][0].as_str() == Some(family.architecture))
        .ok_or_else(|| fields.unsupported("architectures", &value["architectures"], KNOWN))?;
    for (name, expected) in [
        ("hidden_act", json!("silu")),
        ("attention_bias", json!(false)),
        ("mlp_bias", json!(false)),
        ("use_sliding_window", json!(false)),
        ("partial_rotary_factor", json!(1.0)),
        ("quantization_config", Value::Null),
    ] {
        let found = &value[name];
        if !found.is_null() && *found != expected {
            return Err(fields.unsupported(name, found, &expected.to_string()));
        }
    }
    if let Some(other) =
        value["layer_types"].as_array().and_then(|types| types.iter().find(|kind| *kind != "full_attention"))
    {
        return Err(fields.unsupported("layer_types", other, "\"full_attention\" in every layer"));
    }
    let (rope_theta, rope_scaling) = fields.rope()?;
    let (n_heads, d_model) = (fields.size("num_attention_heads")?, fields.size("hidden_size")?);
    // Qwen3's default does not depend on the width.
    let default_d_head =
        if family.model_type == "qwen3" { 128 } else { d_model.checked_div(n_heads).unwrap_or(0) };
    Ok(ModelConfig {
        vocab_size: fields.size("vocab_size")?,
        max_seq_len: fields.size("max_position_embeddings")?,
        n_layers: fields.size("num_hidden_layers")?,
        d_model,
        n_heads,
        n_kv_heads: fields.size_or("num_key_value_heads", n_heads)?,
        d_head: fields.size_or("head_dim", default_d_head)?,
        d_ff: fields.size("intermediate_size")?,
        rope_theta,
        norm_eps: fields.real_or(value, "rms_norm_eps", 1e-6)?,
        qk_norm: family.qk_norm,
        qkv_bias: family.qkv_bias,
        rope_scaling,
        tie_embeddings: fields.flag_or("tie_word_embeddings", false)?,
    })
}

/// `config.json` while it is read.
struct Fields<'a> {
    path: &'a Path,
    value: &'a Value,
}

impl Fields<'_> {
    fn unsupported(&self, what: &str, found: &Value, expected: &str) -> CheckpointError {
        CheckpointError::Unsupported {
            path: self.path.to_owned(),
            what: format!("`{what}`"),
            found: found.to_string(),
            expected: expected.into(),
        }
    }

    fn size_in(&self, object: &Value, name: &str) -> Result<usize, CheckpointError> {
        let found = &object[name];
        let size = found.as_u64().and_then(|n| usize::try_from(n).ok());
        size.ok_or_else(|| self.unsupported(name, found, "a whole number"))
    }

    fn size(&self, name: &str) -> Result<usize, CheckpointError> {
        self.size_in(self.value, name)
    }

    fn size_or(&self, name: &str, default: usize) -> Result<usize, CheckpointError> {
        if self.value[name].is_null() { Ok(default) } else { self.size(name) }
    }

    fn real_or(&self, object: &Value, name: &str, default: f64) -> Result<f64, CheckpointError> {
        match &object[name] {
            Value::Null => Ok(default),
            found => found.as_f64().ok_or_else(|| self.unsupported(name, found, "a number")),
        }
    }

    fn flag_or(&self, name: &str, default: bool) -> Result<bool, CheckpointError> {
        match &self.value[name] {
            Value::Null => Ok(default),
            found => found.as_bool().ok_or_else(|| self.unsupported(name, found, "true or false")),
        }
    }

    /// Base and stretching of the rotary frequencies. `transformers` writes them as `rope_theta` and `rope_scaling`
    /// before its version 5, since then both in `rope_parameters`; the kind is `rope_type`, once `type`.
    fn rope(&self) -> Result<(f64, Option<RopeScaling>), CheckpointError> {
        const THETA: f64 = 10_000.0;
        let theta = self.real_or(self.value, "rope_theta", THETA)?;
        let nothing = Value::Object(Map::new());
        let (name, found) = match (&self.value["rope_parameters"], &self.value["rope_scaling"]) {
            (Value::Null, Value::Null) => ("rope_scaling", &nothing),
            (Value::Null, scaling) => ("rope_scaling", scaling),
            (parameters, _) => ("rope_parameters", parameters),
        };
        let theta = self.real_or(found, "rope_theta", theta)?;
        let partial = self.real_or(found, "partial_rotary_factor", 1.0)?;
        if partial != 1.0 {
            return Err(self.unsupported("partial_rotary_factor", &json!(partial), "1.0"));
        }
        let kind = if found["rope_type"].is_null() { &found["type"] } else { &found["rope_type"] };
        match kind.as_str() {
            None | Some("default") if !found.is_object() => Err(self.unsupported(name, found, "an object")),
            None if !kind.is_null() => Err(self.unsupported(name, found, "a `rope_type`")),
            None | Some("default") => Ok((theta, None)),
            Some("llama3") => {
                let number = |name: &str| match found[name].as_f64() {
                    Some(x) => Ok(x),
                    None => Err(self.unsupported(name, &found[name], "a number")),
                };
                let scaling = RopeScaling {
                    factor: number("factor")?,
                    low_freq_factor: number("low_freq_factor")?,
                    high_freq_factor: number("high_freq_factor")?,
                    original_max_seq_len: self.size_in(found, "original_max_position_embeddings")?,
                };
                Ok((theta, Some(scaling)))
            }
            Some(_) => Err(self.unsupported(name, found, "the kind \"default\" or \"llama3\"")),
        }
    }
}
