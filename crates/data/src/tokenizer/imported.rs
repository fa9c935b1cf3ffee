//! Tokenizers of other models: any byte-level BPE `tokenizer.json` whose parts are known here.

use base::hash::Xxh3;
use serde_json::Value;
use tokenizers::Tokenizer as Pipeline;

use super::{
    Inner, Text, Tokenizer,
    bytes::byte_chars,
    class::Class,
    ends::Ends,
    folder::{Files, Folder},
    known, merge,
    mismatch::Mismatch,
};

/// Largest id: more than any published vocabulary, little enough to hold a list of them.
const MAX_ID: u32 = 1 << 24;

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

/// Reads a `tokenizer.json` of another program, and what stands beside it in its folder.
pub(super) fn parse(mut document: Value, mut files: Files) -> Result<Tokenizer, Mismatch> {
    known::check(&document)?;
    if known::drop_idle_normalizers(&mut document) {
        files.tokenizer = format!("{document:#}\n").into_bytes();
    }
    let refuse = |expected: &str, found: &dyn std::fmt::Display| (expected.to_owned(), found.to_string());
    let folder = files.parse()?;
    let class = Class::of(&folder)?;
    let remark = class.check(&document)?;
    let mut recognising = Pipeline::from_bytes(&files.tokenizer)
        .map_err(|error| refuse("a tokenizer that `tokenizers` 0.23 reads", &error))?;
    recognising.with_padding(None);
    recognising.with_truncation(None).map_err(|error| refuse("a tokenizer without truncation", &error))?;
    let merged = merge::merge(&mut recognising, &document, &folder, class)?;
    let added = merge::added_tokens(&recognising);
    known::check_added(&added)?;
    let mut in_file = document["added_tokens"].as_array().cloned().unwrap_or_default();
    in_file.sort_by_key(|token| token["id"].as_u64());
    if in_file != added {
        document["added_tokens"] = added.into();
        files.tokenizer = format!("{document:#}\n").into_bytes();
    }
    if let Some(config) = &merged.config {
        files.config = Some(format!("{config:#}\n").into_bytes());
    }
    let mut plain = recognising.clone();
    plain.set_encode_special_tokens(true);

    let (tokens, is_special) = tokens_of(&recognising)?;
    let ends = Ends::of(&recognising, &merged, &folder)?;
    let adds_bos = added_before(&document, &folder, &merged, &recognising)?;
    if let Some(id) = adds_bos.filter(|id| *id as usize >= tokens.len()) {
        return Err(refuse("a token of the vocabulary in the post-processor", &format!("id {id}")));
    }
    let mut hash = Xxh3::new();
    hash.update(&files.tokenizer);
    let fingerprint = base::hash::hex(hash.digest128());
    Ok(Tokenizer::new(Inner {
        tokens,
        is_special,
        bos: adds_bos,
        ends,
        remark,
        text: Text::Imported(Box::new(Imported { plain, recognising, files })),
        fingerprint,
    }))
}

/// The bytes of every id, and which ids stand for structure or for nothing.
fn tokens_of(pipeline: &Pipeline) -> Result<(Vec<Vec<u8>>, Vec<bool>), Mismatch> {
    let refuse = |expected: &str, found: &dyn std::fmt::Display| (expected.to_owned(), found.to_string());
    let added = merge::added(pipeline);
    let vocab = pipeline.get_vocab(true);
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
    Ok((tokens, is_special))
}

/// The token before every text. `transformers` 5 asks the post-processor alone, earlier versions the flags of
/// `tokenizer_config.json` too for some classes: where only a flag asks for a token, nobody can know which is meant.
fn added_before(
    document: &Value,
    folder: &Folder,
    merged: &merge::Merged,
    pipeline: &Pipeline,
) -> Result<Option<u32>, Mismatch> {
    let added = known::added_before(document)?;
    let asks = |flag: &str| *folder.config.get(flag) == true;
    let refuse = |flag: &str| {
        let found = format!("`{flag}` in tokenizer_config.json and no such token in the post-processor");
        Err(("a post-processor that adds the token which `tokenizer_config.json` asks for".to_owned(), found))
    };
    if asks("add_eos_token") {
        return refuse("add_eos_token");
    }
    match added {
        // Checkpoints of earlier versions of this program, and the tokenizer that a run keeps of one, have the flag alone.
        None if asks("add_bos_token") && (folder.is_checkpoint || folder.model.is_null()) => {
            Ok(merged.name("bos_token").and_then(|name| pipeline.token_to_id(name)))
        }
        None if asks("add_bos_token") => refuse("add_bos_token"),
        added => Ok(added),
    }
}
