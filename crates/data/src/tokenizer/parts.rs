//! A tokenizer from its parts and into them, as GGUF files hold them.

use std::path::Path;

use serde_json::{Value, json};

use super::Tokenizer;
use crate::DataError;

/// Vocabulary and merges of a byte-level BPE, names as in `tokenizer.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenizerParts {
    /// llama.cpp's name of the pre-tokenizer: `gpt-2`, `smollm`, `llama-bpe`, `dbrx` (Llama 3's pattern, where a piece
    /// that is a token as a whole is still made by merges) or `qwen2`.
    pub pre: String,
    /// The token of every id.
    pub tokens: Vec<String>,
    /// Ids that stand for structure.
    pub control: Vec<u32>,
    /// Ids of further tokens that are recognised in text as a whole.
    pub added: Vec<u32>,
    /// `left right` in the order in which they were learned.
    pub merges: Vec<String>,
    /// Begins a text, where [`TokenizerParts::adds_bos`] says so.
    pub bos: Option<u32>,
    /// Ends an answer.
    pub eos: Option<u32>,
    /// Further ids that end an answer.
    pub ends: Vec<u32>,
    /// Fills up what is too short, where it is not `eos`.
    pub pad: Option<u32>,
    /// Whether every text begins with `bos`.
    pub adds_bos: bool,
}

impl Tokenizer {
    /// Makes the `tokenizer.json` that these parts come from; `path` is named in errors.
    ///
    /// # Errors
    /// If the pre-tokenizer is none of those known, or the parts contradict each other.
    pub fn from_parts(path: &Path, parts: &TokenizerParts) -> Result<Self, DataError> {
        let refuse = |expected: &str, found: String| DataError::TokenizerFile {
            path: path.to_owned(),
            expected: expected.to_owned(),
            found,
        };
        let byte_level = |use_regex: bool| json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex });
        let split = |pattern: &str| json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false });
        let [llama3, qwen2] = super::known::PATTERNS;
        let (normalizer, pre_tokenizers) = match &parts.pre[..] {
            "gpt-2" => (Value::Null, vec![byte_level(true)]),
            "smollm" => {
                (Value::Null, vec![json!({ "type": "Digits", "individual_digits": true }), byte_level(true)])
            }
            "llama-bpe" | "dbrx" => (Value::Null, vec![split(llama3), byte_level(false)]),
            "qwen2" => (json!({ "type": "NFC" }), vec![split(qwen2), byte_level(false)]),
            other => {
                return Err(refuse(
                    "the pre-tokenizer gpt-2, smollm, llama-bpe, dbrx or qwen2",
                    format!("`{other}`"),
                ));
            }
        };
        let token = |id: u32| {
            let found = parts.tokens.get(id as usize);
            found.ok_or_else(|| refuse(&format!("ids below {}", parts.tokens.len()), id.to_string()))
        };
        let mut added = Vec::new();
        for (ids, special) in [(&parts.control, true), (&parts.added, false)] {
            for &id in ids {
                added.push(json!({
                    "id": id, "content": token(id)?, "single_word": false,
                    "lstrip": false, "rstrip": false, "normalized": false, "special": special,
                }));
            }
        }
        added.sort_by_key(|token| token["id"].as_u64());
        let vocab: serde_json::Map<String, Value> =
            parts.tokens.iter().enumerate().map(|(id, token)| (token.clone(), id.into())).collect();
        if vocab.len() != parts.tokens.len() {
            return Err(refuse("every token once", format!("{} twice", parts.tokens.len() - vocab.len())));
        }
        let bos = match parts.bos {
            Some(id) if parts.adds_bos => Some((token(id)?, id)),
            None if parts.adds_bos => {
                return Err(refuse("the token that every text begins with", "none".into()));
            }
            _ => None,
        };
        let post_processor = bos.map_or(Value::Null, |(name, id)| begins_with(name, id));
        let tokenizer = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": normalizer,
            "pre_tokenizer": { "type": "Sequence", "pretokenizers": pre_tokenizers },
            "post_processor": post_processor,
            "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                "ignore_merges": parts.pre == "llama-bpe",
                "vocab": vocab, "merges": parts.merges,
            },
        });
        let name = |id: Option<u32>| id.map(token).transpose();
        let config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": name(parts.bos)?,
            "eos_token": name(parts.eos)?,
            "pad_token": name(parts.pad)?,
            "add_bos_token": parts.adds_bos,
            "clean_up_tokenization_spaces": false,
        });
        parts.ends.iter().try_for_each(|&id| token(id).map(drop))?;
        let generation = json!({ "eos_token_id": parts.ends });
        Self::from_json(path, &tokenizer, &config, Some(&generation))
    }

    /// Whether llama.cpp has a pre-tokenizer that cuts every text as this one does. Where it has none, the one that
    /// [`Tokenizer::parts`] names is the nearest: numbers of three digits and more have other tokens there.
    pub fn has_exact_parts(&self) -> bool {
        let document = self.document();
        pre_of(&document).1 || document["model"]["merges"].as_array().is_none_or(Vec::is_empty)
    }

    /// The inverse of [`Tokenizer::from_parts`], for tokenizers trained here too. Ids without a token have an empty one.
    pub fn parts(&self) -> TokenizerParts {
        let document = self.document();
        let model = &document["model"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut tokens = vec![String::new(); self.vocab_size()];
        for (token, id) in model["vocab"].as_object().into_iter().flatten() {
            if let Some(place) = id.as_u64().and_then(|id| tokens.get_mut(id as usize)) {
                place.clone_from(token);
            }
        }
        let (mut control, mut added) = (Vec::new(), Vec::new());
        for token in document["added_tokens"].as_array().into_iter().flatten() {
            let Some(id) = token["id"].as_u64() else { continue };
            if let Some(place) = tokens.get_mut(id as usize) {
                *place = text(&token["content"]);
                if token["special"] == true { &mut control } else { &mut added }.push(id as u32);
            }
        }
        let merge = |merge: &Value| match merge.as_str() {
            Some(merge) => merge.to_owned(),
            None => format!("{} {}", text(&merge[0]), text(&merge[1])),
        };
        let merges: Vec<String> = model["merges"].as_array().into_iter().flatten().map(merge).collect();
        let config = self.config();
        let named = |field: &str| {
            let field = &config[field];
            self.special(field.as_str().or_else(|| field["content"].as_str())?)
        };
        TokenizerParts {
            pre: pre_of(&document).0.to_owned(),
            tokens,
            control,
            added,
            merges,
            bos: self.bos().or_else(|| named("bos_token")),
            eos: Some(self.end_of_text()),
            ends: self.stops().split_off(1),
            pad: named("pad_token").filter(|pad| *pad != self.end_of_text()),
            adds_bos: self.bos().is_some(),
        }
    }
}

/// A post-processor that puts a token before every text.
fn begins_with(name: &str, id: u32) -> Value {
    json!({
        "type": "TemplateProcessing",
        "single": [{ "SpecialToken": { "id": name, "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
        "pair": [
            { "SpecialToken": { "id": name, "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } },
            { "SpecialToken": { "id": name, "type_id": 1 } }, { "Sequence": { "id": "B", "type_id": 1 } },
        ],
        "special_tokens": { name: { "id": name, "ids": [id], "tokens": [name] } },
    })
}

/// llama.cpp's name of a document's pre-tokenizer, and whether it cuts every text alike.
fn pre_of(document: &Value) -> (&'static str, bool) {
    let [llama3, qwen2] = super::known::PATTERNS;
    let parts = super::known::pre_tokenizers(&document["pre_tokenizer"]);
    let Some(first) = parts.first() else { return ("gpt-2", true) };
    let ignores_merges = document["model"]["ignore_merges"] == true;
    match (first["type"].as_str(), first["pattern"]["Regex"].as_str()) {
        (Some("Digits"), _) => ("smollm", true),
        (_, Some(pattern)) if pattern == llama3 => (if ignores_merges { "llama-bpe" } else { "dbrx" }, true),
        (_, Some(pattern)) if pattern == qwen2 => ("qwen2", true),
        (_, Some(pattern)) => match super::Splitter::of_pattern(pattern) {
            Some(splitter) if splitter == super::Splitter::new(1).unwrap_or_default() => ("qwen2", true),
            splitter => ("dbrx", splitter == super::Splitter::new(3)),
        },
        _ => ("gpt-2", true),
    }
}
