//! Our shape as Hugging Face's `config.json`, and back.

use std::path::Path;

use serde_json::{Value, json};

use super::{CheckpointError, SpecialIds, fields::Fields, keys, llava, rope};
use crate::ModelConfig;

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
const KNOWN: &str = "LlamaForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM or LlavaForConditionalGeneration";

/// [`ModelConfig::validate`] lets through only what one of the families is.
pub(super) fn to_hugging_face(config: &ModelConfig, ids: &SpecialIds, dtype: &str) -> Value {
    let text = text_to_hugging_face(config, ids, dtype);
    match &config.vision {
        Some(vision) => llava::to_hugging_face(vision, text),
        None => text,
    }
}

fn text_to_hugging_face(config: &ModelConfig, ids: &SpecialIds, dtype: &str) -> Value {
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
        "pad_token_id": ids.pad.or(ids.eos.first().copied()),
        "do_sample": true,
        "temperature": 1.0,
    })
}

/// Reads what we compute and refuses the rest by name.
///
/// Absent fields have the defaults of `transformers`, which leaves out of `config.json` what equals them.
pub(super) fn from_hugging_face(path: &Path, value: &Value) -> Result<ModelConfig, CheckpointError> {
    if llava::is_llava(value) {
        return llava::read(path, value);
    }
    let fields = Fields { path, value };
    let family = fields.family()?;
    if let Some((name, found, expected)) = keys::changed(value) {
        return Err(fields.unsupported(name, found, &expected));
    }
    let n_layers = fields.size("num_hidden_layers")?;
    let max_seq_len = fields.size("max_position_embeddings")?;
    fields.check_windows(family, n_layers, max_seq_len)?;
    let (rope_theta, rope_scaling) = rope::read(&fields)?;
    let (n_heads, d_model) = (fields.size("num_attention_heads")?, fields.size("hidden_size")?);
    // Qwen3's default does not depend on the width.
    let default_d_head =
        if family.model_type == "qwen3" { 128 } else { d_model.checked_div(n_heads).unwrap_or(0) };
    Ok(ModelConfig {
        vocab_size: fields.size("vocab_size")?,
        max_seq_len,
        n_layers,
        d_model,
        n_heads,
        n_kv_heads: match value.get("num_key_value_heads") {
            None if family.model_type != "llama" => 32, // Qwen's default; null is as many as queries
            _ => fields.size_or("num_key_value_heads", n_heads)?,
        },
        d_head: fields.size_or("head_dim", default_d_head)?,
        d_ff: fields.size("intermediate_size")?,
        rope_theta,
        norm_eps: match value.get("rms_norm_eps") {
            None => 1e-6,
            Some(found) => fields.real("rms_norm_eps", found)?,
        },
        qk_norm: family.qk_norm,
        qkv_bias: family.qkv_bias,
        rope_scaling,
        tie_embeddings: fields.flag_or("tie_word_embeddings", false)?,
        vision: None,
    })
}

impl Fields<'_> {
    /// The family that `architectures` names, which `model_type` may not contradict: `transformers` goes by the latter.
    fn family(&self) -> Result<&'static Family, CheckpointError> {
        let (named, model_type) = (&self.value["architectures"], &self.value["model_type"]);
        let is_silent = named.is_null() || named.as_array().is_some_and(Vec::is_empty);
        let is_it = |family: &&Family| match is_silent {
            true => *model_type == family.model_type,
            false => named[0] == family.architecture,
        };
        let family = FAMILIES.iter().find(is_it).ok_or_else(|| match is_silent {
            true => self.unsupported("model_type", model_type, "llama, qwen2 or qwen3"),
            false => self.unsupported("architectures", named, KNOWN),
        })?;
        if !model_type.is_null() && *model_type != family.model_type {
            let expected = format!("\"{}\" with {}", family.model_type, family.architecture);
            return Err(self.unsupported("model_type", model_type, &expected));
        }
        Ok(family)
    }

    /// Refuses attention that does not reach back to the first token.
    fn check_windows(
        &self,
        family: &Family,
        n_layers: usize,
        max_seq_len: usize,
    ) -> Result<(), CheckpointError> {
        let value = self.value;
        if let Some(types) = value["layer_types"].as_array() {
            if let Some(other) = types.iter().find(|kind| **kind != "full_attention") {
                return Err(self.unsupported("layer_types", other, "\"full_attention\" in every layer"));
            }
            return match types.len() == n_layers {
                true => Ok(()),
                false => Err(self.unsupported(
                    "layer_types",
                    &json!(types.len()),
                    &format!("as many as `num_hidden_layers`, {n_layers}"),
                )),
            };
        }
        let is_on = self.flag_or("use_sliding_window", false)?;
        let window = value.get("sliding_window").filter(|window| !window.is_null());
        let is_shorter = |window: &Value| window.as_u64().is_none_or(|window| window < max_seq_len as u64);
        if family.model_type == "llama" {
            return match window.filter(|window| is_shorter(window)) {
                Some(window) => Err(self.unsupported("sliding_window", window, "models without it")),
                None if is_on => {
                    Err(self.unsupported("use_sliding_window", &value["use_sliding_window"], "false"))
                }
                None => Ok(()),
            };
        }
        // Qwen's layers from `max_window_layers` on look back that far where it is on.
        let first = self.size_or("max_window_layers", 28)?;
        let is_null = value.get("sliding_window").is_some_and(Value::is_null);
        let window = window.cloned().unwrap_or(json!(4096));
        if is_on && !is_null && first < n_layers && is_shorter(&window) {
            return Err(self.unsupported("use_sliding_window", &value["use_sliding_window"], "false"));
        }
        Ok(())
    }
}
