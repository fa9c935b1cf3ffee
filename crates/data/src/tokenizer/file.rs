//! `tokenizer.json` and `tokenizer_config.json`, as Hugging Face libraries read them.

use std::path::Path;

use serde_json::{Value, json};

use super::{
    Special, Text, Tokenizer, bytes::byte_chars, encode::Encoder, folder::Files, imported, known,
    mismatch::Mismatch, split::Splitter,
};
use crate::{DataError, file::write_atomically};

impl Tokenizer {
    /// Writes `tokenizer.json` and `tokenizer_config.json` into `folder`, from which
    /// `transformers.AutoTokenizer.from_pretrained` opens them. Unlike [`Tokenizer::encode`], it recognises special
    /// tokens in text unless it is asked to split them (`split_special_tokens=True`).
    ///
    /// # Errors
    /// If the folder cannot be made or written to.
    pub fn save(&self, folder: &Path) -> Result<(), DataError> {
        base::disk::create_dir_all(folder).map_err(DataError::io("create", folder))?;
        let (tokenizer, config) = match &self.0.text {
            Text::Native(encoder) => (to_json(encoder).into_bytes(), Some(self.config_json().into_bytes())),
            Text::Imported(imported) => (imported.files.tokenizer.clone(), imported.files.config.clone()),
        };
        write_atomically(&folder.join("tokenizer.json"), &tokenizer)?;
        match config {
            Some(config) => write_atomically(&folder.join("tokenizer_config.json"), &config),
            None => Ok(()),
        }
    }

    /// Opens a `tokenizer.json`, or the one in a folder: one that [`Tokenizer::save`] wrote, or that of a model of
    /// Hugging Face with byte-level BPE.
    ///
    /// # Errors
    /// If the file cannot be read, or describes another kind of tokenizer.
    pub fn load(path: &Path) -> Result<Self, DataError> {
        let path = if path.is_dir() { path.join("tokenizer.json") } else { path.to_path_buf() };
        let files = Files::read(&path).map_err(DataError::io("read", &path))?;
        parse(files).map_err(|(expected, found)| DataError::TokenizerFile { path, expected, found })
    }

    /// A tokenizer from the content of a `tokenizer.json`, of the `tokenizer_config.json` that belongs to it and of the
    /// model's `generation_config.json`.
    ///
    /// # Errors
    /// If they describe another kind of tokenizer; `path` is named as their place.
    pub fn from_json(
        path: &Path,
        tokenizer: &Value,
        config: &Value,
        generation: Option<&Value>,
    ) -> Result<Self, DataError> {
        let bytes = |value: &Value| format!("{value:#}\n").into_bytes();
        let generation = generation.map(bytes);
        let files = Files {
            tokenizer: bytes(tokenizer),
            config: Some(bytes(config)),
            generation,
            ..Files::default()
        };
        parse(files).map_err(|(expected, found)| DataError::TokenizerFile {
            path: path.into(),
            expected,
            found,
        })
    }

    /// The content of `tokenizer.json`.
    pub(super) fn document(&self) -> Value {
        let bytes = match &self.0.text {
            Text::Native(encoder) => to_json(encoder).into_bytes(),
            Text::Imported(imported) => imported.files.tokenizer.clone(),
        };
        serde_json::from_slice(&bytes).expect("it was read or written as JSON before")
    }

    /// The content of `tokenizer_config.json`; null where there is none.
    pub(super) fn config(&self) -> Value {
        let bytes = match &self.0.text {
            Text::Native(_) => Some(self.config_json().into_bytes()),
            Text::Imported(imported) => imported.files.config.clone(),
        };
        bytes.map_or(Value::Null, |bytes| {
            serde_json::from_slice(&bytes).expect("it was read or written as JSON before")
        })
    }

    fn config_json(&self) -> String {
        let added: serde_json::Map<String, Value> = (0u32..)
            .zip(added_tokens())
            .map(|(id, mut token)| {
                token.as_object_mut().map(|fields| fields.remove("id"));
                (id.to_string(), token)
            })
            .collect();
        let end = Special::EndOfText.name();
        let others: Vec<String> = Special::names().filter(|name| *name != end).collect();
        let document = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "added_tokens_decoder": added,
            "bos_token": end,
            "eos_token": end,
            "additional_special_tokens": others,
            "clean_up_tokenization_spaces": false,
        });
        format!("{document:#}\n")
    }
}

/// The content of `tokenizer.json`.
fn to_json(encoder: &Encoder) -> String {
    let model = serde_json::to_value(encoder.model()).expect("a model is plain data");
    let document = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added_tokens(),
        "normalizer": null,
        "pre_tokenizer": pre_tokenizer(encoder.splitter()),
        "post_processor": null,
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": model,
    });
    format!("{document:#}\n")
}

fn added_tokens() -> Vec<Value> {
    (0u32..)
        .zip(Special::names())
        .map(|(id, name)| {
            json!({
                "id": id, "content": name, "single_word": false,
                "lstrip": false, "rstrip": false, "normalized": false, "special": true,
            })
        })
        .collect()
}

fn pre_tokenizer(splitter: Splitter) -> Value {
    json!({
        "type": "Sequence",
        "pretokenizers": [
            { "type": "Split", "pattern": { "Regex": splitter.pattern() }, "behavior": "Isolated", "invert": false },
            { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false },
        ],
    })
}

/// Reads the content of `tokenizer.json`: one of ours if it has our special tokens, and not the pattern of another model,
/// as one that came back from a GGUF file has.
fn parse(files: Files) -> Result<Tokenizer, Mismatch> {
    let document: Value = serde_json::from_slice(&files.tokenizer)
        .map_err(|error| ("a tokenizer in JSON".to_owned(), error.to_string()))?;
    let has_our_tokens = document["model"]["vocab"][Special::Reserved(0).name()].is_u64();
    let pattern = document["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"].as_str();
    if has_our_tokens && !pattern.is_some_and(|pattern| known::PATTERNS.contains(&pattern)) {
        parse_native(&document, pattern.and_then(Splitter::of_pattern).unwrap_or_default())
    } else {
        imported::parse(document, files)
    }
}

/// Checks everything that [`Tokenizer::from_merges`] relies on.
fn parse_native(document: &Value, splitter: Splitter) -> Result<Tokenizer, Mismatch> {
    let mismatch = |expected: &str, found: &dyn std::fmt::Display| (expected.to_owned(), found.to_string());
    let model = &document["model"];
    if model["type"] != "BPE" {
        return Err(mismatch("a model of type \"BPE\"", &model["type"]));
    }
    for (field, expected) in [
        ("normalizer", Value::Null),
        ("post_processor", Value::Null),
        ("added_tokens", added_tokens().into()),
        ("pre_tokenizer", pre_tokenizer(splitter)),
    ] {
        if document[field] != expected {
            return Err(mismatch(&format!("the `{field}` of this program's tokenizers"), &"another one"));
        }
    }
    let vocab = model["vocab"].as_object().ok_or_else(|| mismatch("a vocabulary", &"none"))?;
    let merges = model["merges"].as_array().ok_or_else(|| mismatch("a list of merges", &"none"))?;
    let id_of = |token: &str| vocab.get(token).and_then(Value::as_u64);
    let chars = byte_chars();
    let base: Vec<String> = Special::names().chain(chars.iter().map(char::to_string)).collect();
    if let Some((id, name)) = (0..).zip(&base).find(|(id, name)| id_of(name) != Some(*id)) {
        return Err(mismatch(&format!("`{name}` with id {id}"), &vocab.get(name).unwrap_or(&Value::Null)));
    }
    // Every merge joins two known tokens into one that the vocabulary has: a known one, or the next new one.
    let longest = vocab.keys().map(String::len).max().unwrap_or(0);
    let mut names = base;
    let mut pairs = Vec::with_capacity(merges.len());
    for (i, merge) in merges.iter().enumerate() {
        let unfit = || mismatch(&format!("merge {i} to make the next token of the vocabulary"), merge);
        // Older files write a merge as one string.
        let (left, right) = match merge.as_str() {
            Some(merge) => merge.split_once(' ').ok_or_else(unfit)?,
            None => merge[0].as_str().zip(merge[1].as_str()).ok_or_else(unfit)?,
        };
        if left.len() + right.len() > longest {
            return Err(unfit());
        }
        let made = format!("{left}{right}");
        let known =
            |id: Option<u64>| id.filter(|id| (Special::COUNT as u64..names.len() as u64).contains(id));
        let (Some(left), Some(right)) = (known(id_of(left)), known(id_of(right))) else {
            return Err(unfit());
        };
        if known(id_of(&made)).is_none() {
            if id_of(&made) != Some(names.len() as u64) {
                return Err(unfit());
            }
            names.push(made);
        }
        pairs.push((left as u32, right as u32));
    }
    if names.len() != vocab.len() {
        return Err(mismatch(&format!("{} tokens, as the merges make", names.len()), &vocab.len()));
    }
    Ok(Tokenizer::from_merges(splitter, &pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_characters_of_gpt2() {
        let chars = byte_chars();
        assert_eq!(chars[usize::from(b' ')], 'Ġ');
        assert_eq!(chars[usize::from(b'\n')], 'Ċ');
        assert_eq!([chars[0], chars[0x7f], chars[0xad], chars[0xff]], ['Ā', 'ġ', 'Ń', 'ÿ']);
    }
}
