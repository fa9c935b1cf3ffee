//! Learns the merges of a byte-level BPE from a corpus.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, hash_map::Entry},
    ops::ControlFlow,
};

use base::hash::xxh3_64;
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{
    Special, SpecialNames, SpecialTokens, Tokenizer,
    split::{self, Splitter},
};
use crate::{DataConfig, DataError, Documents, Progress, Split, corpus::origin_of};

/// What kind of tokenizer to make; the `[tokenizer]` table of a recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerConfig {
    /// Merged bytes, or bytes alone.
    #[serde(default)]
    pub kind: TokenizerKind,
    /// All ids together: 16 special tokens, 256 bytes and the merges. For `bytes` it must be 272 or absent; for `bpe`
    /// absent leaves the size to the budget and to [`Tokenizer::train_open`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocab_size: Option<usize>,
    /// Digits that a token holds at most: 1 as in Qwen, 2, or 3 as in GPT-4 and Llama 3. llama.cpp knows patterns for 1
    /// and 3 alone.
    #[serde(default = "default_digits", skip_serializing_if = "is_default_digits")]
    pub digits: u8,
    /// At most this much text is learned from, spread evenly over the corpus; at most 1 TiB.
    #[serde(default = "default_sample_bytes")]
    pub sample_bytes: u64,
}

fn default_sample_bytes() -> u64 {
    100_000_000
}

fn default_digits() -> u8 {
    Splitter::DEFAULT_DIGITS
}

/// Recipes that do not speak of digits stay as they were written.
#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_default_digits(digits: &u8) -> bool {
    *digits == default_digits()
}

/// Merged bytes, or bytes alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenizerKind {
    /// Byte pairs merged by frequency. Paper: Sennrich et al. 2016, <https://arxiv.org/abs/1508.07909>.
    #[default]
    Bpe,
    /// 256 bytes, no merges.
    Bytes,
}

/// Every vocabulary has these: special tokens and bytes.
const N_BASE: usize = Special::COUNT as usize + 256;
/// Pairs that occur once are no use.
const MIN_COUNT: u64 = 2;
/// Sampling unit: small against the corpus, large against the words that its ends may cut.
const SAMPLE_CHUNK_BYTES: usize = 1 << 14;
/// A longer piece is no word: it is learned from in parts, since each merge walks over whole words.
const MAX_WORD_BYTES: usize = 128;

impl TokenizerConfig {
    /// A BPE of `vocab_size` ids.
    pub fn bpe(vocab_size: usize) -> Self {
        let (kind, vocab_size) = (TokenizerKind::Bpe, Some(vocab_size));
        Self { kind, vocab_size, digits: default_digits(), sample_bytes: default_sample_bytes() }
    }

    /// A BPE whose size is left open.
    pub fn open() -> Self {
        Self { vocab_size: None, ..Self::bpe(0) }
    }

    /// Whether budget and text decide the size.
    pub fn is_open(&self) -> bool {
        self.kind == TokenizerKind::Bpe && self.vocab_size.is_none()
    }

    /// Bytes alone.
    pub fn bytes() -> Self {
        Self { kind: TokenizerKind::Bytes, vocab_size: None, ..Self::bpe(0) }
    }
}

impl Tokenizer {
    /// Makes the tokenizer that `config` describes, learned from the training documents of `data`: held-out text is
    /// not looked at. The corpus is read once, and `sample_bytes` of it are kept in memory. Depends on the texts and
    /// the two configurations alone, not on the number of threads or the order of files.
    ///
    /// `progress` is called before each document and stops the work by `Break`.
    ///
    /// # Errors
    /// If the corpus cannot be read, or supports fewer merges than asked for.
    pub fn train(
        config: &TokenizerConfig,
        data: &DataConfig,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Self, DataError> {
        let vocab_size = config.vocab_size.unwrap_or(N_BASE);
        let setting = |expected, hint| DataError::Setting {
            name: "vocab_size",
            expected,
            found: config.vocab_size.map_or("nothing".to_owned(), |size| size.to_string()),
            hint,
        };
        match config.kind {
            TokenizerKind::Bytes if vocab_size == N_BASE => return Ok(Self::bytes()),
            TokenizerKind::Bytes => {
                return Err(setting("272 for the kind `bytes`", "leave `vocab_size` out, or set kind `bpe`"));
            }
            TokenizerKind::Bpe
                if config.vocab_size.is_none() || !(N_BASE..=1 << 24).contains(&vocab_size) =>
            {
                return Err(setting(
                    "between 272 (16 special tokens, 256 bytes) and 16777216",
                    "leave it out: budget and text decide then",
                ));
            }
            TokenizerKind::Bpe => {}
        }
        let text = CountedText::read(config, data, progress)?;
        let tokenizer = Self::from_merges(text.splitter, &Merger::new(text.words).learn(vocab_size));
        match tokenizer.vocab_size() {
            found if found < vocab_size => Err(DataError::VocabTooLarge { wanted: vocab_size, found }),
            _ => Ok(tokenizer),
        }
    }

    /// As [`Tokenizer::train`], for a configuration that leaves the size of its BPE open: `size_for` the bytes of the
    /// training text, or fewer ids where no further pair occurs twice.
    ///
    /// # Errors
    /// If the corpus cannot be read.
    pub fn train_open(
        config: &TokenizerConfig,
        size_for: impl FnOnce(u64) -> usize,
        data: &DataConfig,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Self, DataError> {
        let text = CountedText::read(config, data, progress)?;
        let vocab_size = size_for(text.n_bytes);
        Ok(Self::from_merges(text.splitter, &Merger::new(text.words).learn(vocab_size)))
    }

    /// Learns from texts that are in memory already.
    ///
    /// ```
    /// let tokenizer = data::Tokenizer::train_on(&["low lower lowest"], 274).unwrap();
    /// assert_eq!(tokenizer.encode("low").len(), 1);
    /// ```
    ///
    /// # Errors
    /// [`DataError::VocabTooLarge`] if no pair is left to merge before `vocab_size` is reached.
    pub fn train_on<S: AsRef<str>>(texts: &[S], vocab_size: usize) -> Result<Self, DataError> {
        let chunks: Vec<&str> =
            texts.iter().flat_map(|text| split::chunks(text.as_ref(), SAMPLE_CHUNK_BYTES)).collect();
        let splitter = Splitter::default();
        Self::from_word_counts(splitter, count_words(splitter, &chunks), vocab_size)
    }

    fn from_word_counts(
        splitter: Splitter,
        counts: FxHashMap<Box<[u8]>, u64>,
        vocab_size: usize,
    ) -> Result<Self, DataError> {
        let tokenizer = Self::from_merges(splitter, &Merger::new(counts).learn(vocab_size));
        match tokenizer.vocab_size() {
            found if found < vocab_size => Err(DataError::VocabTooLarge { wanted: vocab_size, found }),
            _ => Ok(tokenizer),
        }
    }
}

/// The training documents as a vocabulary is learned from them.
struct CountedText {
    splitter: Splitter,
    /// How often each word occurs in the sample.
    words: FxHashMap<Box<[u8]>, u64>,
    /// Of all training documents, sampled or not.
    n_bytes: u64,
}

impl CountedText {
    fn read(
        config: &TokenizerConfig,
        data: &DataConfig,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Self, DataError> {
        if !(1..=1 << 40).contains(&config.sample_bytes) {
            return Err(DataError::Setting {
                name: "sample_bytes",
                expected: "between 1 and 2^40",
                found: config.sample_bytes.to_string(),
                hint: "leave it out for 100 MB",
            });
        }
        let Some(splitter) = Splitter::new(config.digits) else {
            return Err(DataError::Setting {
                name: "digits",
                expected: "1, 2 or 3",
                found: config.digits.to_string(),
                hint: "leave it out for 2, or set 3 for models to run in llama.cpp",
            });
        };
        let mut n_bytes = 0;
        let mut sample = Sample::new(config.sample_bytes);
        let names = SpecialNames::of(&Tokenizer::bytes());
        let mut documents = Documents::open(data)?;
        let mut now = Progress { n_bytes_total: documents.n_bytes_total(), ..Progress::default() };
        while let Some(document) = documents.next_document()? {
            now.n_bytes_read = documents.n_bytes_read();
            if progress(now).is_break() {
                return Err(DataError::Interrupted);
            }
            now.n_documents += 1;
            if document.split != Split::Train {
                continue;
            }
            n_bytes += document.text.len() as u64;
            // Where names become tokens, no merge is spent on their letters.
            let mut start = 0;
            let file = &documents.files()[document.file_idx];
            if origin_of(data, file).special_tokens() == SpecialTokens::Parse {
                for name in names.find(&document.text) {
                    sample.add(&document.text[start..name.start]);
                    start = name.end;
                }
            }
            sample.add(&document.text[start..]);
        }
        let words = count_words(splitter, &sample.into_chunks());
        Ok(Self { splitter, words, n_bytes })
    }
}

/// The chunks of a corpus with the smallest hashes, as many as fit: an even sample in one pass, in whatever order
/// they come.
struct Sample {
    max_bytes: u64,
    n_bytes: u64,
    /// Largest hash on top.
    chunks: BinaryHeap<(u64, Box<str>)>,
}

impl Sample {
    fn new(max_bytes: u64) -> Self {
        Self { max_bytes, n_bytes: 0, chunks: BinaryHeap::new() }
    }

    fn add(&mut self, text: &str) {
        for chunk in split::chunks(text, SAMPLE_CHUNK_BYTES) {
            // Text without line ends: cut between characters, at the price of a cut word.
            let mut rest = chunk;
            while !rest.is_empty() {
                let is_long = rest.len() > 4 * SAMPLE_CHUNK_BYTES;
                let cut = if is_long { rest.ceil_char_boundary(SAMPLE_CHUNK_BYTES) } else { rest.len() };
                let (chunk, after) = rest.split_at(cut);
                rest = after;
                self.add_chunk(chunk);
            }
        }
    }

    /// Keeps the chunks of smallest hash that together just reach the limit: which these are does not depend on the
    /// order of arrival.
    fn add_chunk(&mut self, chunk: &str) {
        let hash = xxh3_64(chunk.as_bytes());
        if self.n_bytes >= self.max_bytes && self.chunks.peek().is_some_and(|(largest, _)| hash > *largest) {
            return;
        }
        self.n_bytes += chunk.len() as u64;
        self.chunks.push((hash, chunk.into()));
        while let Some((_, largest)) = self.chunks.peek()
            && self.n_bytes - largest.len() as u64 >= self.max_bytes
        {
            self.n_bytes -= largest.len() as u64;
            self.chunks.pop();
        }
    }

    /// The chunks without the last one, if that goes beyond the limit; one is kept in any case.
    fn into_chunks(mut self) -> Vec<Box<str>> {
        if self.n_bytes > self.max_bytes && self.chunks.len() > 1 {
            self.chunks.pop();
        }
        self.chunks.into_iter().map(|(_, chunk)| chunk).collect()
    }
}

/// How often each piece occurs; sums do not depend on the order in which threads add.
fn count_words<S: AsRef<str> + Sync>(splitter: Splitter, texts: &[S]) -> FxHashMap<Box<[u8]>, u64> {
    let count = |mut counts: FxHashMap<Box<[u8]>, u64>, text: &S| {
        for piece in splitter.pieces(text.as_ref()) {
            for word in piece.as_bytes().chunks(MAX_WORD_BYTES) {
                match counts.get_mut(word) {
                    Some(count) => *count += 1,
                    None => drop(counts.insert(word.into(), 1)),
                }
            }
        }
        counts
    };
    texts.par_iter().fold(FxHashMap::default, count).reduce(FxHashMap::default, |mut all, counts| {
        for (word, count) in counts {
            *all.entry(word).or_default() += count;
        }
        all
    })
}

type Pair = (u32, u32);

/// The words as they are merged, and where each pair stands.
///
/// Own code, not `tokenizers`' trainer: that one counts in `i32`, which a large sample overflows, and once two merges
/// spell the same token its order of equal entries hangs on hash maps with random keys (`do_train` of 0.23.2).
struct Merger {
    words: Vec<Vec<u32>>,
    counts: Vec<u64>,
    pair_counts: FxHashMap<Pair, u64>,
    /// Words that hold or held a pair.
    places: FxHashMap<Pair, Vec<u32>>,
    /// Most frequent pair on top, the lower ids first among equals; counts may be out of date and are checked.
    queue: BinaryHeap<(u64, Reverse<Pair>)>,
}

impl Merger {
    fn new(counts: FxHashMap<Box<[u8]>, u64>) -> Self {
        let mut words: Vec<(Box<[u8]>, u64)> =
            counts.into_iter().filter(|(word, _)| word.len() > 1).collect();
        words.sort_unstable();
        let mut pair_counts = FxHashMap::<Pair, u64>::default();
        let mut places = FxHashMap::<Pair, Vec<u32>>::default();
        let (words, counts): (Vec<Vec<u32>>, Vec<u64>) = words
            .into_iter()
            .map(|(word, count)| (word.iter().map(|&byte| Special::COUNT + u32::from(byte)).collect(), count))
            .unzip();
        for (i, word) in (0u32..).zip(&words) {
            for pair in word.windows(2) {
                let pair = (pair[0], pair[1]);
                *pair_counts.entry(pair).or_default() += counts[i as usize];
                let places = places.entry(pair).or_default();
                if places.last() != Some(&i) {
                    places.push(i);
                }
            }
        }
        let queue = pair_counts.iter().map(|(&pair, &count)| (count, Reverse(pair))).collect();
        Self { words, counts, pair_counts, places, queue }
    }

    /// The most frequent pair, with its count.
    fn pop(&mut self) -> Option<(Pair, u64)> {
        while let Some((count, Reverse(pair))) = self.queue.pop() {
            match self.pair_counts.get(&pair).copied().unwrap_or(0) {
                0 => {}
                now if now == count => return Some((pair, count)),
                now => self.queue.push((now, Reverse(pair))),
            }
        }
        None
    }

    /// Merges until there are `vocab_size` ids or no pair occurs twice.
    fn learn(mut self, vocab_size: usize) -> Vec<Pair> {
        let mut tokens: Vec<Vec<u8>> =
            Special::names().map(String::into_bytes).chain((0..=255).map(|byte| vec![byte])).collect();
        let mut ids: FxHashMap<Vec<u8>, u32> =
            (0u32..).zip(&tokens).skip(Special::COUNT as usize).map(|(id, t)| (t.clone(), id)).collect();
        let mut merges = Vec::new();
        let mut known = FxHashMap::<Pair, u32>::default();
        while tokens.len() < vocab_size {
            let Some((pair, count)) = self.pop() else { break };
            if count < MIN_COUNT {
                break;
            }
            // A pair comes again when a later merge spells one of its halves again.
            let id = *known.entry(pair).or_insert_with(|| {
                merges.push(pair);
                let token = [&tokens[pair.0 as usize][..], &tokens[pair.1 as usize][..]].concat();
                match ids.entry(token) {
                    Entry::Occupied(entry) => *entry.get(),
                    Entry::Vacant(entry) => {
                        tokens.push(entry.key().clone());
                        *entry.insert(tokens.len() as u32 - 1)
                    }
                }
            });
            self.merge(pair, id);
        }
        merges
    }

    /// Replaces `pair` by `id` in every word.
    fn merge(&mut self, pair: Pair, id: u32) {
        let mut grown: Vec<Pair> = Vec::new();
        for i in self.places.remove(&pair).unwrap_or_default() {
            let word = &mut self.words[i as usize];
            if !word.windows(2).any(|p| (p[0], p[1]) == pair) {
                continue; // merged away since
            }
            let count = self.counts[i as usize];
            for p in word.windows(2) {
                *self.pair_counts.entry((p[0], p[1])).or_default() -= count;
            }
            let mut merged = Vec::with_capacity(word.len());
            let mut at = 0;
            while at < word.len() {
                let is_pair = at + 1 < word.len() && (word[at], word[at + 1]) == pair;
                merged.push(if is_pair { id } else { word[at] });
                at += if is_pair { 2 } else { 1 };
            }
            *word = merged;
            for p in word.windows(2) {
                let p = (p[0], p[1]);
                *self.pair_counts.entry(p).or_default() += count;
                if p.0 == id || p.1 == id {
                    let places = self.places.entry(p).or_default();
                    if places.last() != Some(&i) {
                        places.push(i);
                    }
                    grown.push(p);
                }
            }
        }
        self.pair_counts.remove(&pair);
        grown.sort_unstable();
        grown.dedup();
        for p in grown {
            if let Some(&count) = self.pair_counts.get(&p) {
                self.queue.push((count, Reverse(p)));
            }
        }
    }
}
