//! Base and RoPE scaling, from the places in which `config.json` may have them.
//!
//! `transformers` writes them as `rope_theta` and `rope_scaling` before its version 5, since then both in
//! `rope_parameters`. Where both are there, `rope_scaling` counts (`convert_rope_params_to_dict` in
//! `modeling_rope_utils.py`); a `rope_theta` within counts before the one outside.

use serde_json::{Map, Value, json};

use super::{CheckpointError, fields::Fields};
use crate::RopeScaling;

/// The base where none is given.
const THETA: f64 = 10_000.0;

/// What a table may hold whatever its kind.
const COMMON: [&str; 4] = ["rope_type", "type", "rope_theta", "partial_rotary_factor"];
const LLAMA3: [&str; 4] =
    ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"];

/// Reads base and stretching. Whatever else a table holds is refused by name: `transformers` passes over it, although it
/// was meant to say something.
pub(super) fn read(fields: &Fields) -> Result<(f64, Option<RopeScaling>), CheckpointError> {
    let config = fields.value();
    let nothing = Value::Object(Map::new());
    let (scaling, parameters) = (&config["rope_scaling"], &config["rope_parameters"]);
    let says_nothing =
        |table: &Value| table.is_null() || *table == false || table.as_object().is_some_and(Map::is_empty);
    let (name, found) = match (says_nothing(scaling), says_nothing(parameters)) {
        (true, true) => ("rope_scaling", &nothing),
        (false, _) => ("rope_scaling", scaling),
        (true, false) => ("rope_parameters", parameters),
    };
    let Some(table) = found.as_object() else {
        return Err(fields.unsupported(name, found, "an object"));
    };
    let inside = |key: &str| format!("{name}.{key}");

    let theta = match (table.get("rope_theta"), config.get("rope_theta")) {
        (Some(theta), _) => fields.real(&inside("rope_theta"), theta)?,
        (None, Some(theta)) => fields.real("rope_theta", theta)?,
        (None, None) => THETA,
    };
    let other = &parameters["rope_theta"];
    if name == "rope_scaling" && !other.is_null() && other.as_f64() != Some(theta) {
        let expected = format!("{theta}, as with the `rope_scaling` beside it");
        return Err(fields.unsupported("rope_parameters.rope_theta", other, &expected));
    }
    if let Some(partial) = table.get("partial_rotary_factor").filter(|partial| !partial.is_null())
        && partial.as_f64() != Some(1.0)
    {
        return Err(fields.unsupported(&inside("partial_rotary_factor"), partial, "1"));
    }

    let kind = match (table.get("rope_type"), table.get("type")) {
        (Some(kind), _) | (None, Some(kind)) => {
            kind.as_str().ok_or_else(|| fields.unsupported(&inside("rope_type"), kind, "a text"))?
        }
        (None, None) => "default",
    };
    let unit_factor = table.get("factor").is_none_or(|factor| factor.as_f64() == Some(1.0));
    let more: &[&str] = match kind {
        "default" | "linear" if unit_factor => &["factor"],
        "default" => &[],
        "llama3" => &LLAMA3,
        _ => return Err(fields.unsupported(name, found, "the kind \"default\" or \"llama3\"")),
    };
    let is_unknown =
        |key: &str, value: &Value| !value.is_null() && !COMMON.contains(&key) && !more.contains(&key);
    if let Some((key, value)) = table.iter().find(|(key, value)| is_unknown(key, value)) {
        let expected = format!("one table for all layers, without `{key}` for the kind \"{kind}\"");
        return Err(fields.unsupported(&inside(key), value, &expected));
    }
    if kind != "llama3" {
        return Ok((theta, None));
    }

    let number = |key: &str| fields.real(&inside(key), table.get(key).unwrap_or(&Value::Null));
    let original_max_seq_len = match table.get("original_max_position_embeddings") {
        Some(_) => fields.size_in(found, "original_max_position_embeddings")?,
        None => fields.size("max_position_embeddings")?,
    };
    let outside = &config["original_max_position_embeddings"];
    if !outside.is_null() && *outside != json!(original_max_seq_len) {
        let expected = format!("{original_max_seq_len}, as in `{name}`");
        return Err(fields.unsupported("original_max_position_embeddings", outside, &expected));
    }
    let scaling = RopeScaling {
        factor: number("factor")?,
        low_freq_factor: number("low_freq_factor")?,
        high_freq_factor: number("high_freq_factor")?,
        original_max_seq_len,
    };
    Ok((theta, Some(scaling)))
}
