//! What is known to be a byte-level BPE, and the ways in which its file can say nothing.

use serde_json::Value;

use super::mismatch::Mismatch;

/// The patterns of `Split` that are known to cut every text in linear time: Llama 3's and Qwen2's.
pub(super) const PATTERNS: [&str; 2] = [
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
];

/// Refuses by name what this crate does not know to be a byte-level BPE.
pub(super) fn check(document: &Value) -> Result<(), Mismatch> {
    let model = &document["model"];
    if model["type"] != "BPE" {
        return Err(refuse("a model of type \"BPE\"", &model["type"]));
    }
    for field in ["byte_fallback", "dropout", "continuing_subword_prefix", "end_of_word_suffix"] {
        let found = &model[field];
        let is_off = found.is_null()
            || *found == false
            || found.as_str() == Some("")
            || field == "dropout" && found.as_f64() == Some(0.0);
        if !is_off {
            return Err(refuse(&format!("a model without `{field}`"), found));
        }
    }
    if let Some(other) =
        normalizers(&document["normalizer"]).into_iter().find(|normalizer| normalizer["type"] != "NFC")
    {
        return Err(refuse("the normalizer NFC or none", other));
    }
    let pre_tokenizer = &document["pre_tokenizer"];
    let parts = pre_tokenizers(pre_tokenizer);
    for part in &parts {
        let is_known = match part["type"].as_str() {
            Some("ByteLevel") => part["add_prefix_space"] != true,
            Some("Digits") => true,
            Some("Split") => {
                let pattern = part["pattern"]["Regex"].as_str();
                part["behavior"] == "Isolated"
                    && part["invert"] != true
                    && pattern
                        .is_some_and(|p| PATTERNS.contains(&p) || super::Splitter::of_pattern(p).is_some())
            }
            _ => false,
        };
        if !is_known {
            return Err(refuse("the pre-tokenizer of GPT-2, SmolLM, Llama 3 or Qwen2", part));
        }
    }
    if parts.last().is_none_or(|last| last["type"] != "ByteLevel") {
        return Err(refuse("a pre-tokenizer that ends in ByteLevel", pre_tokenizer));
    }
    Ok(())
}

/// Refuses added tokens that would take white space with them, or stand in no word.
pub(super) fn check_added(added: &[Value]) -> Result<(), Mismatch> {
    let takes_more =
        |token: &&Value| ["lstrip", "rstrip", "single_word"].iter().any(|field| token[*field] == true);
    match added.iter().find(takes_more) {
        Some(token) => Err(refuse("added tokens that take no white space with them", token)),
        None => Ok(()),
    }
}

/// The steps of a normalizer that do something, sequences opened.
pub(super) fn normalizers(normalizer: &Value) -> Vec<&Value> {
    steps(normalizer, "normalizers", |step| match step["type"].as_str() {
        Some("Prepend") => step["prepend"] != "",
        Some("Strip") => step["strip_left"] != false || step["strip_right"] != false,
        Some("BertNormalizer") => {
            // Accents are stripped where that is on, or open and case is lowered.
            ["clean_text", "handle_chinese_chars", "lowercase"].iter().any(|field| step[*field] != false)
                || step["strip_accents"] == true
        }
        Some("Replace") => {
            let from = step["pattern"]["String"].as_str();
            from.is_none() || from != step["content"].as_str()
        }
        _ => true,
    })
}

/// Leaves out what a normalizer only seems to do: `tokenizers` 0.23 stops at a `Prepend` of nothing. Says whether that
/// changed anything.
pub(super) fn drop_idle_normalizers(document: &mut Value) -> bool {
    let all = normalizers(&document["normalizer"]);
    let mut kept: Vec<Value> = Vec::new();
    for step in all {
        if !kept.contains(step) {
            kept.push(step.clone());
        }
    }
    let needed = match kept.len() {
        0 => Value::Null,
        1 => kept.remove(0),
        _ => serde_json::json!({ "type": "Sequence", "normalizers": kept }),
    };
    let is_changed = document["normalizer"] != needed;
    document["normalizer"] = needed;
    is_changed
}

/// The steps of a pre-tokenizer, sequences opened.
pub(super) fn pre_tokenizers(pre_tokenizer: &Value) -> Vec<&Value> {
    steps(pre_tokenizer, "pretokenizers", |_| true)
}

fn steps<'a>(whole: &'a Value, list: &str, does_something: fn(&Value) -> bool) -> Vec<&'a Value> {
    if whole.is_null() {
        return Vec::new();
    }
    match whole[list].as_array() {
        Some(steps_of) if whole["type"] == "Sequence" => {
            steps_of.iter().flat_map(|step| steps(step, list, does_something)).collect()
        }
        _ if does_something(whole) => vec![whole],
        _ => Vec::new(),
    }
}

/// The one token that the post-processor puts before a text. Whatever else it adds is refused.
pub(super) fn added_before(document: &Value) -> Result<Option<u32>, Mismatch> {
    let processors = steps(&document["post_processor"], "processors", |_| true);
    let mut before = None;
    for processor in processors {
        match processor["type"].as_str() {
            Some("ByteLevel") => {}
            Some("TemplateProcessing") => {
                let found = before_of_template(processor)?;
                if before.is_some() && found.is_some() {
                    return Err(refuse("one token before a text", &document["post_processor"]));
                }
                before = before.or(found);
            }
            _ => return Err(refuse("the post-processor ByteLevel or TemplateProcessing", processor)),
        }
    }
    Ok(before)
}

fn before_of_template(template: &Value) -> Result<Option<u32>, Mismatch> {
    let pieces = template["single"].as_array().map_or(&[][..], Vec::as_slice);
    let name = match pieces {
        [text] if !text["Sequence"].is_null() => return Ok(None),
        [token, text] if !token["SpecialToken"].is_null() && !text["Sequence"].is_null() => {
            token["SpecialToken"]["id"].as_str().unwrap_or_default()
        }
        _ => {
            return Err(refuse(
                "a post-processor that adds at most one token, before the text",
                &template["single"],
            ));
        }
    };
    let ids = &template["special_tokens"][name]["ids"];
    match ids.as_array().map(Vec::as_slice) {
        Some([id]) if id.as_u64().is_some_and(|id| u32::try_from(id).is_ok()) => {
            Ok(id.as_u64().map(|id| id as u32))
        }
        _ => Err(refuse(&format!("one id for `{name}` in the post-processor"), ids)),
    }
}

fn refuse(expected: &str, found: &Value) -> Mismatch {
    (expected.to_owned(), shorten(found))
}

fn shorten(value: &Value) -> String {
    let mut text = value.to_string();
    if text.len() > 200 {
        text.truncate(text.floor_char_boundary(200));
        text.push('…');
    }
    text
}
