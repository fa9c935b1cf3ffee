//! Keys of `config.json` that change what is computed, and the values at which they do not.

use serde_json::{Value, json};

/// Switches of the computation. `transformers` reads some of them for the families that are computed here; the others
/// belong to relatives (Granite, Gemma, MiniCPM, Mixtral, …) whose weights would load into the same shapes. Any key
/// that is neither here nor read by `config.rs` describes training, storage or generation and is passed over.
const SWITCHES: [(&str, Off); 55] = [
    ("attention_bias", Off::False),
    ("mlp_bias", Off::False),
    ("use_bias", Off::False),
    ("add_bias_linear", Off::False),
    ("add_qkv_bias", Off::False),
    ("qk_layernorm", Off::False),
    ("use_qk_norm", Off::False),
    ("alibi", Off::False),
    ("use_alibi", Off::False),
    ("rope_interleave", Off::False),
    ("rope_interleaved", Off::False),
    ("parallel_attn", Off::False),
    ("use_parallel_residual", Off::False),
    ("apply_residual_connection_post_layernorm", Off::False),
    ("is_encoder_decoder", Off::False),
    ("add_cross_attention", Off::False),
    ("multi_query", Off::False),
    ("norm_topk_prob", Off::False),
    ("is_causal", Off::True),
    ("partial_rotary_factor", Off::One),
    ("rotary_pct", Off::One),
    ("logit_scale", Off::One),
    ("logits_scaling", Off::One),
    ("embedding_multiplier", Off::One),
    ("residual_multiplier", Off::One),
    ("lm_head_multiplier", Off::One),
    ("embedding_scale", Off::One),
    ("scale_emb", Off::One),
    ("residual_scale", Off::One),
    ("attention_multiplier", Off::Absent),
    ("scale_depth", Off::Absent),
    ("dim_model_base", Off::Absent),
    ("query_pre_attn_scalar", Off::Absent),
    ("final_logit_softcapping", Off::Zero),
    ("attn_logit_softcapping", Off::Zero),
    ("clip_qkv", Off::Absent),
    ("attention_chunk_size", Off::Absent),
    ("attn_temperature_tuning", Off::Zero),
    ("no_rope_layers", Off::Absent),
    ("no_rope_layer_interval", Off::Zero),
    ("nope_layer_interval", Off::Zero),
    ("num_experts", Off::Zero),
    ("num_local_experts", Off::Zero),
    ("n_routed_experts", Off::Zero),
    ("moe_intermediate_size", Off::Absent),
    ("kv_lora_rank", Off::Absent),
    ("q_lora_rank", Off::Absent),
    ("num_nextn_predict_layers", Off::Zero),
    ("per_layer_config", Off::Absent),
    ("pruned_heads", Off::Absent),
    ("quantization_config", Off::Absent),
    ("compression_config", Off::Absent),
    ("text_config", Off::Absent),
    ("vision_config", Off::Absent),
    ("attention_sinks", Off::Absent),
];

/// At which value a switch changes nothing; null and an empty object or list never do.
#[derive(Clone, Copy)]
enum Off {
    False,
    True,
    One,
    Zero,
    Absent,
}

impl Off {
    fn holds(self, found: &Value) -> bool {
        let is_empty = found.as_object().is_some_and(|all| all.is_empty())
            || found.as_array().is_some_and(|all| all.is_empty());
        found.is_null()
            || is_empty
            || match self {
                Self::False => *found == false,
                Self::True => *found == true,
                Self::One => found.as_f64() == Some(1.0),
                Self::Zero => found.as_f64() == Some(0.0) || *found == false,
                Self::Absent => false,
            }
    }

    fn name(self) -> &'static str {
        match self {
            Self::False => "false",
            Self::True => "true",
            Self::One => "1",
            Self::Zero => "0",
            Self::Absent => "models without it",
        }
    }
}

/// The first key that changes the computation: its name, what it is, and what would do.
pub(super) fn changed(config: &Value) -> Option<(&'static str, &Value, String)> {
    for (name, off) in SWITCHES {
        let found = &config[name];
        if !off.holds(found) {
            return Some((name, found, off.name().into()));
        }
    }
    let code = ["AutoModelForCausalLM", "AutoModel", "AutoConfig"];
    if code.iter().any(|class| !config["auto_map"][class].is_null()) {
        return Some(("auto_map", &config["auto_map"], "models without code of their own".into()));
    }
    let act = &config["hidden_act"];
    if !act.is_null() && *act != "silu" && *act != "swish" {
        return Some(("hidden_act", act, json!("silu").to_string()));
    }
    None
}
