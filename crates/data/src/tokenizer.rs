//! Text to token ids and back.

mod bytes;
mod class;
mod encode;
mod ends;
mod file;
mod folder;
mod imported;
mod known;
mod merge;
mod mismatch;
mod names;
mod parts;
mod special;
mod split;
mod stop_text;
mod stream;
mod train;

use std::sync::Arc;

use base::hash::Xxh3;
use rayon::prelude::*;

pub use names::{SpecialNames, SpecialTokens};
pub use parts::TokenizerParts;
pub use special::Special;
pub use stop_text::{Certain, StopTexts};
pub use stream::StreamDecoder;
pub use train::{TokenizerConfig, TokenizerKind};

use encode::Encoder;
use ends::Ends;
use imported::Imported;
pub(crate) use split::Splitter;

/// A byte-level BPE tokenizer (or plain bytes), as `tokenizer.json` of Hugging Face describes it.
///
/// Ids of those that this crate trains, the same for every vocabulary: `0..16` are special tokens ([`Special`]), `16..272` the 256 bytes, then one
/// id per merge in the order learned. Text is cut into pieces by the pattern in `tokenizer/split.rs`, and merges
/// never cross a piece. Every string encodes, and decodes to itself.
///
/// Tokenizers of other models (GPT-2's, SmolLM's, Llama 3's, Qwen2's) have ids of their own and run through
/// `tokenizers`, so that they give the ids of Hugging Face. Qwen2's composes Unicode (NFC) first: what is not composed
/// decodes to what is.
///
/// Cheap to clone: clones share everything.
///
/// ```
/// let tokenizer = data::Tokenizer::bytes();
/// let ids = tokenizer.encode("hé<|endoftext|>");
/// assert_eq!(ids.len(), 16); // h, two bytes of é, and 13 more: special tokens are never read from text
/// assert_eq!(tokenizer.decode(&ids), "hé<|endoftext|>");
/// ```
#[derive(Clone)]
pub struct Tokenizer(Arc<Inner>);

struct Inner {
    /// Bytes per id; the special tokens have their names here.
    tokens: Vec<Vec<u8>>,
    /// Which ids stand for structure, or for nothing.
    is_special: Vec<bool>,
    /// Put before every text.
    bos: Option<u32>,
    ends: Ends,
    /// What a user should know of it.
    remark: Option<String>,
    text: Text,
    fingerprint: String,
}

/// How text becomes ids.
enum Text {
    Native(Box<Encoder>),
    Imported(Box<Imported>),
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer {{ vocab_size: {}, fingerprint: {} }}", self.vocab_size(), self.fingerprint())
    }
}

impl Tokenizer {
    /// Every byte a token, no merges: a vocabulary of 272.
    pub fn bytes() -> Self {
        Self::from_merges(Splitter::default(), &[])
    }

    /// Replays `merges` (pairs of ids) over the bytes. A pair that spells a token again shares its id.
    pub(crate) fn from_merges(splitter: Splitter, merges: &[(u32, u32)]) -> Self {
        let mut tokens: Vec<Vec<u8>> =
            Special::names().map(String::into_bytes).chain((0..=255).map(|byte| vec![byte])).collect();
        let mut ids: rustc_hash::FxHashMap<Vec<u8>, u32> = (Special::COUNT..)
            .zip(&tokens[Special::COUNT as usize..])
            .map(|(id, token)| (token.clone(), id))
            .collect();
        for &(left, right) in merges {
            let token = [&tokens[left as usize][..], &tokens[right as usize][..]].concat();
            ids.entry(token.clone()).or_insert_with(|| {
                tokens.push(token);
                tokens.len() as u32 - 1
            });
        }
        Self::new(Inner {
            is_special: (0..tokens.len() as u32).map(|id| id < Special::COUNT).collect(),
            bos: None,
            ends: Ends {
                stops: vec![Special::EndOfText.id(), Special::ImEnd.id()],
                end_of_turn: Some(Special::ImEnd.id()),
                ..Ends::default()
            },
            remark: None,
            text: Text::Native(Box::new(Encoder::new(splitter, &tokens, merges))),
            fingerprint: fingerprint(splitter, &tokens, merges),
            tokens,
        })
    }

    fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Number of ids: special tokens, bytes and merges.
    pub fn vocab_size(&self) -> usize {
        self.0.tokens.len()
    }

    /// Ends every document: the end that the model's files declare.
    pub fn end_of_text(&self) -> u32 {
        self.0.ends.stops[0]
    }

    /// Stands before a document's first token: what the model's texts begin with, or else the end of the text before.
    pub fn begin_of_text(&self) -> u32 {
        self.bos().unwrap_or(self.end_of_text())
    }

    /// Ends a turn of a chat, where the vocabulary has such a token.
    pub fn end_of_turn(&self) -> Option<u32> {
        self.0.ends.end_of_turn
    }

    /// Begins every text, where the model was trained with that.
    pub fn bos(&self) -> Option<u32> {
        self.0.bos
    }

    /// The token that the model's files declare as the begin of a text, whether or not every text gets it.
    pub fn declared_bos(&self) -> Option<u32> {
        self.0.ends.bos
    }

    /// Each ends an answer; the first ends a text.
    pub fn stops(&self) -> Vec<u32> {
        self.0.ends.stops.clone()
    }

    /// Fills up what is too short, where the model's files declare such a token.
    pub fn pad(&self) -> Option<u32> {
        self.0.ends.pad
    }

    /// What a user should know of a tokenizer of another model.
    pub fn remark(&self) -> Option<&str> {
        self.0.remark.as_deref()
    }

    /// The names of all special tokens, with their ids.
    pub fn special_tokens(&self) -> impl Iterator<Item = (&str, u32)> {
        let special = (0..).zip(&self.0.tokens).zip(&self.0.is_special).filter(|(_, special)| **special);
        let named = special.filter_map(|((id, name), _)| Some((std::str::from_utf8(name).ok()?, id)));
        named.filter(|(name, _)| !name.is_empty())
    }

    /// The id of the special token of this name.
    pub fn special(&self, name: &str) -> Option<u32> {
        let ids = (0..self.vocab_size()).filter(|&id| self.0.is_special[id]);
        ids.into_iter().find(|&id| self.0.tokens[id] == name.as_bytes()).map(|id| id as u32)
    }

    /// Hash over pattern, special tokens, vocabulary and merges, in 32 hex digits: tokenizers that could give
    /// different ids have different fingerprints, whatever their sizes.
    pub fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    /// The ids of a text. Special tokens are never recognised in it: their names encode as ordinary text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        match &self.0.text {
            Text::Native(encoder) => encoder.encode(text),
            Text::Imported(imported) => imported.encode(text),
        }
    }

    /// [`Tokenizer::encode`] for each text, on every core, in order. Long texts are cut where a piece must end, so
    /// one large document keeps all cores busy too.
    pub fn encode_batch<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Vec<Vec<u32>> {
        match &self.0.text {
            Text::Native(encoder) => encoder.encode_batch(texts),
            Text::Imported(imported) => texts.par_iter().map(|text| imported.encode(text.as_ref())).collect(),
        }
    }

    /// The bytes of `ids`; special tokens and ids outside of the vocabulary have none.
    pub fn decode_bytes(&self, ids: &[u32]) -> Vec<u8> {
        ids.iter().flat_map(|&id| self.bytes_of(id)).copied().collect()
    }

    /// The text of `ids`, U+FFFD where the bytes are not UTF-8; special tokens have none.
    pub fn decode(&self, ids: &[u32]) -> String {
        String::from_utf8_lossy(&self.decode_bytes(ids)).into_owned()
    }

    /// How one token looks, special tokens by name: for people, not for decoding.
    pub fn show(&self, id: u32) -> String {
        String::from_utf8_lossy(self.0.tokens.get(id as usize).map_or(&[][..], |token| token)).into_owned()
    }

    /// Bytes per id, 0 for special tokens: bits per byte = nats / (ln 2 · bytes).
    pub fn token_bytes(&self) -> Vec<u32> {
        (0..self.vocab_size() as u32).map(|id| self.bytes_of(id).len() as u32).collect()
    }

    fn bytes_of(&self, id: u32) -> &[u8] {
        match self.0.tokens.get(id as usize) {
            Some(token) if !self.0.is_special[id as usize] => token,
            _ => &[],
        }
    }
}

fn fingerprint(splitter: Splitter, tokens: &[Vec<u8>], merges: &[(u32, u32)]) -> String {
    let mut hash = Xxh3::new();
    hash.update(splitter.pattern().as_bytes());
    for token in tokens {
        hash.update(&(token.len() as u64).to_le_bytes());
        hash.update(token);
    }
    for (left, right) in merges {
        hash.update(&left.to_le_bytes());
        hash.update(&right.to_le_bytes());
    }
    base::hash::hex(hash.digest128())
}
