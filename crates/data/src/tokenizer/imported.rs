//! Tokenizers of other models: any byte-level BPE `tokenizer.json` whose parts are known here.

use std::path::Path;

use serde_json::Value;
use tokenizers::Tokenizer as Pipeline;
use xxhash_rust::xxh3::Xxh3;

use super::{
    Inner, Text, Tokenizer,
    file::{Mismatch, byte_chars},
};

/// Largest id: more than any published vocabulary, little enough to hold a list of them.
const MAX_ID: u32 = 1 << 24;

/// The patterns of `Split` that are known to cut every text in linear time: Llama 3's and Qwen2's.
pub(super) const PATTERNS: [&str; 2] = [
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
];

/// Names that end a text, and that end a turn of a chat, in the vocabularies of published models.
const END_OF_TEXT: [&str; 3] = ["<|endoftext|>", "<|end_of_text|>", "</s>"];
const END_OF_TURN: [&str; 3] = ["<|im_end|>", "<|eot_id|>", "<|end_of_turn|>"];

/// Files of the folder that an imported tokenizer came from, written back as they were.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    pub(super) tokenizer: Vec<u8>,
    /// `tokenizer_config.json`, where there was one.
    pub(super) config: Option<Vec<u8>>,
}

/// `tokenizers`' own pipeline, in two readings.
pub(super) struct Imported {
    /// Takes the names of special tokens for ordinary text.
    plain: Pipeline,
    /// Recognises them.
    recognising: Pipeline,
    pub(super) files: Files,
}

impl Imported {
    pub(super) fn encode(&self, text: &str) -> Vec<u32> {
        encode(&self.plain, text)
    }

    pub(super) fn encode_with_specials(&self, text: &str) -> Vec<u32> {
        encode(&self.recognising, text)
    }
}

/// The regex engine gives up on some texts, such as a million blanks in a row: those are cut in halves.
fn encode(pipeline: &Pipeline, text: &str) -> Vec<u32> {
    match pipeline.encode_fast(text, false) {
        Ok(encoding) => encoding.get_ids().to_vec(),
        Err(_) if text.chars().nth(1).is_none() => Vec::new(),
        Err(_) => {
            let middle = text.ceil_char_boundary(text.len() / 2);
            let middle = if middle == text.len() { text.floor_char_boundary(text.len() / 2) } else { middle };
            let (left, right) = text.split_at(middle);
            [encode(pipeline, left), encode(pipeline, right)].concat()
        }
    }
}

/// Reads a `tokenizer.json` of another program, and what stands beside it in `folder`.
pub(super) fn parse(document: &Value, files: Files) -> Result<Tokenizer, Mismatch> {
    check(document)?;
    let refuse = |expected: &str, found: &dyn std::fmt::Display| (expected.to_owned(), found.to_string());
    let mut plain = Pipeline::from_bytes(&files.tokenizer)
        .map_err(|error| refuse("a tokenizer that `tokenizers` 0.23 reads", &error))?;
    plain.with_padding(None);
    plain.with_truncation(None).map_err(|error| refuse("a tokenizer without truncation", &error))?;
    let recognising = plain.clone();
    plain.set_encode_special_tokens(true);

    let added = recognising.get_added_tokens_decoder();
    let vocab = recognising.get_vocab(true);
    let largest = vocab.values().copied().max().unwrap_or(0);
    if vocab.is_empty() || largest > MAX_ID {
        return Err(refuse(
            &format!("ids from 0 to {MAX_ID}"),
            &format!("{} tokens up to id {largest}", vocab.len()),
        ));
    }
    let chars = byte_chars();
    let byte_of: rustc_hash::FxHashMap<char, u8> =
        (0..=255).map(|byte| (chars[usize::from(byte)], byte)).collect();
    let mut tokens = vec![Vec::new(); largest as usize + 1];
    let mut is_special = vec![true; tokens.len()]; // so are ids that no text has
    for (name, id) in &vocab {
        let (bytes, special) = match added.get(id) {
            Some(token) => (name.clone().into_bytes(), token.special),
            None => {
                let bytes: Option<Vec<u8>> = name.chars().map(|c| byte_of.get(&c).copied()).collect();
                let bytes =
                    bytes.ok_or_else(|| refuse("tokens of GPT-2's byte characters", &format!("`{name}`")))?;
                (bytes, false)
            }
        };
        (tokens[*id as usize], is_special[*id as usize]) = (bytes, special);
    }
    for byte in 0..=255u8 {
        let name = chars[usize::from(byte)].to_string();
        // Three bytes never occur in UTF-8 and some vocabularies leave them, or control characters, out.
        if !vocab.contains_key(&name) && byte.is_ascii_graphic() {
            return Err(refuse(&format!("a token for the byte {byte:#04x}"), &"none"));
        }
    }

    let id_of = |names: &[&str]| names.iter().find_map(|name| vocab.get(*name).copied());
    let config: Value = match &files.config {
        Some(bytes) => serde_json::from_slice(bytes)
            .map_err(|error| refuse("JSON in tokenizer_config.json beside it", &error))?,
        None => Value::Null,
    };
    let named = |field: &str| {
        let name = config[field].as_str().or_else(|| config[field]["content"].as_str())?;
        vocab.get(name).copied()
    };
    let eos = named("eos_token");
    let end_of_text = id_of(&END_OF_TEXT)
        .or(eos)
        .ok_or_else(|| refuse(&format!("a token that ends texts, such as {}", END_OF_TEXT[0]), &"none"))?;
    let end_of_turn = id_of(&END_OF_TURN).or(eos.filter(|id| *id != end_of_text));
    let mut hash = Xxh3::new();
    hash.update(&files.tokenizer);
    let fingerprint = format!("{:032x}", hash.digest128());
    Ok(Tokenizer::new(Inner {
        tokens,
        is_special,
        bos: named("bos_token").filter(|_| adds_bos(document, &config)),
        end_of_text,
        end_of_turn,
        text: Text::Imported(Box::new(Imported { plain, recognising, files })),
        fingerprint,
    }))
}

/// Whether texts begin with the BOS token: `transformers` asks the post-processor, older files their configuration.
fn adds_bos(document: &Value, config: &Value) -> bool {
    let templates = |processor: &Value| {
        processor["type"] == "TemplateProcessing"
            && processor["single"]
                .as_array()
                .is_some_and(|items| items.first().is_some_and(|i| i.get("SpecialToken").is_some()))
    };
    let processor = &document["post_processor"];
    let in_sequence = processor["processors"].as_array().is_some_and(|all| all.iter().any(templates));
    templates(processor) || in_sequence || config["add_bos_token"] == true
}

/// Refuses by name what this crate does not know to be a byte-level BPE.
fn check(document: &Value) -> Result<(), Mismatch> {
    let refuse = |expected: &str, found: &Value| (expected.to_owned(), shorten(found));
    let model = &document["model"];
    if model["type"] != "BPE" {
        return Err(refuse("a model of type \"BPE\"", &model["type"]));
    }
    for field in ["byte_fallback", "dropout", "continuing_subword_prefix", "end_of_word_suffix"] {
        let found = &model[field];
        let is_off = found.is_null() || *found == false || found.as_str() == Some("");
        if !is_off {
            return Err(refuse(&format!("a model without `{field}`"), found));
        }
    }
    let normalizer = &document["normalizer"];
    if !normalizer.is_null() && normalizer["type"] != "NFC" {
        return Err(refuse("the normalizer NFC or none", normalizer));
    }
    let pre_tokenizer = &document["pre_tokenizer"];
    let one = std::slice::from_ref(pre_tokenizer);
    let parts = pre_tokenizer["pretokenizers"].as_array().map_or(one, Vec::as_slice);
    for part in parts {
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
    let added = document["added_tokens"].as_array().map_or(&[][..], Vec::as_slice);
    if let Some(token) = added
        .iter()
        .find(|token| ["lstrip", "rstrip", "single_word"].iter().any(|field| token[*field] == true))
    {
        return Err(refuse("added tokens that take no white space with them", token));
    }
    Ok(())
}

fn shorten(value: &Value) -> String {
    let mut text = value.to_string();
    if text.len() > 200 {
        text.truncate(text.floor_char_boundary(200));
        text.push('…');
    }
    text
}

/// Reads the files of a tokenizer's folder.
pub(super) fn files(path: &Path, tokenizer: Vec<u8>) -> Result<Files, std::io::Error> {
    let config = path.with_file_name("tokenizer_config.json");
    let config = if config.is_file() { Some(std::fs::read(config)?) } else { None };
    Ok(Files { tokenizer, config })
}
