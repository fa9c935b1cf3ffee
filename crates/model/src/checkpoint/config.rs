//! Our shape as Hugging Face's `config.json`, and back.

use std::path::Path;

use serde_json::{Value, json};

use super::{CheckpointError, SpecialIds};
use crate::ModelConfig;

/// `Qwen3ForCausalLM` with QK-norm, `LlamaForCausalLM` without.
pub(super) fn to_hugging_face(config: &ModelConfig, ids: SpecialIds) -> Value {
    let (architecture, model_type) =
        if config.qk_norm { ("Qwen3ForCausalLM", "qwen3") } else { ("LlamaForCausalLM", "llama") };
    let mut value = json!({
        "architectures": [architecture],
        "model_type": model_type,
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
        "bos_token_id": null,
        "eos_token_id": ids.end_of_text,
        "torch_dtype": "float32",
    });
    if !config.qk_norm {
        value["mlp_bias"] = json!(false);
    }
    value
}

pub(super) fn generation_config(ids: SpecialIds) -> Value {
    json!({
        "bos_token_id": null,
        "eos_token_id": [ids.end_of_text, ids.end_of_turn],
        "pad_token_id": ids.end_of_text,
        "do_sample": true,
        "temperature": 1.0,
    })
}

/// Reads what we compute and refuses the rest by name.
pub(super) fn from_hugging_face(path: &Path, value: &Value) -> Result<ModelConfig, CheckpointError> {
    let unsupported = |what: &str, found: &Value, expected: &str| CheckpointError::Unsupported {
        path: path.to_owned(),
        what: format!("`{what}`"),
        found: found.to_string(),
        expected: expected.into(),
    };
    let size = |name: &str| {
        let found = &value[name];
        found
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .ok_or_else(|| unsupported(name, found, "a whole number"))
    };
    let real = |name: &str| value[name].as_f64().ok_or_else(|| unsupported(name, &value[name], "a number"));
    let qk_norm = match value["architectures"][0].as_str() {
        Some("Qwen3ForCausalLM") => true,
        Some("LlamaForCausalLM") => false,
        _ => {
            return Err(unsupported(
                "architectures",
                &value["architectures"],
                "Qwen3ForCausalLM or LlamaForCausalLM",
            ));
        }
    };
    for (name, expected) in [
        ("hidden_act", json!("silu")),
        ("attention_bias", json!(false)),
        ("mlp_bias", json!(false)),
        ("rope_scaling", Value::Null),
        ("use_sliding_window", json!(false)),
    ] {
        let found = &value[name];
        if !found.is_null() && *found != expected {
            return Err(unsupported(name, found, &expected.to_string()));
        }
    }
    let (n_heads, d_model) = (size("num_attention_heads")?, size("hidden_size")?);
    Ok(ModelConfig {
        vocab_size: size("vocab_size")?,
        max_seq_len: size("max_position_embeddings")?,
        n_layers: size("num_hidden_layers")?,
        d_model,
        n_heads,
        n_kv_heads: if value["num_key_value_heads"].is_null() {
            n_heads
        } else {
            size("num_key_value_heads")?
        },
        d_head: if value["head_dim"].is_null() { d_model / n_heads.max(1) } else { size("head_dim")? },
        d_ff: size("intermediate_size")?,
        rope_theta: real("rope_theta")?,
        norm_eps: real("rms_norm_eps")?,
        qk_norm,
        tie_embeddings: value["tie_word_embeddings"].as_bool().unwrap_or(false),
    })
}
