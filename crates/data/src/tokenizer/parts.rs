//! A tokenizer from its parts, as GGUF files hold them.

use std::path::Path;

use serde_json::{Value, json};

use super::Tokenizer;
use crate::DataError;

/// Vocabulary and merges of a byte-level BPE, names as in `tokenizer.json`.
#[derive(Clone, Debug, Default)]
pub struct TokenizerParts {
    /// llama.cpp's name of the pre-tokenizer: `gpt-2`, `smollm`, `llama-bpe` or `qwen2`.
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
        let [llama3, qwen2] = super::imported::PATTERNS;
        let (normalizer, pre_tokenizers) = match &parts.pre[..] {
            "gpt-2" => (Value::Null, vec![byte_level(true)]),
            "smollm" => {
                (Value::Null, vec![json!({ "type": "Digits", "individual_digits": true }), byte_level(true)])
            }
            "llama-bpe" => (Value::Null, vec![split(llama3), byte_level(false)]),
            "qwen2" => (json!({ "type": "NFC" }), vec![split(qwen2), byte_level(false)]),
            other => {
                return Err(refuse(
                    "the pre-tokenizer gpt-2, smollm, llama-bpe or qwen2",
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
        let tokenizer = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": normalizer,
            "pre_tokenizer": { "type": "Sequence", "pretokenizers": pre_tokenizers },
            "post_processor": null,
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
            "add_bos_token": parts.adds_bos,
            "clean_up_tokenization_spaces": false,
        });
        Self::from_json(path, &tokenizer, &config)
    }
}
