//! Prepared data made of chosen ids, for unit tests.

use std::{
    path::Path,
    sync::{Arc, LazyLock},
};

use crate::{Manifest, Prepared, ShardEntry, SourceEntry, Special, Split, Tokenizer, shard::ShardWriter};

/// Ids from here on are free for tests.
pub(crate) const FIRST_ID: u32 = 272;
/// How many ids there are from [`FIRST_ID`] on.
pub(crate) const N_IDS: u32 = 4096;

/// A tokenizer with many ids: pairs of bytes.
pub(crate) fn tokenizer() -> Tokenizer {
    static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
        let byte = |i: u32| Special::COUNT + i;
        let merges: Vec<_> = (0..N_IDS).map(|i| (byte(i / 256), byte(i % 256))).collect();
        Tokenizer::from_merges(crate::tokenizer::Splitter::default(), &merges)
    });
    TOKENIZER.clone()
}

/// Documents of these lengths in which no id comes twice.
pub(crate) fn numbered(lengths: &[usize]) -> Vec<Vec<u32>> {
    let mut ids = FIRST_ID..FIRST_ID + N_IDS;
    lengths.iter().map(|&n| ids.by_ref().take(n).collect()).collect()
}

/// Writes `documents` as one shard and describes it.
pub(crate) fn write_shard(
    path: &Path,
    documents: &[Vec<u32>],
    split: Split,
    source_idx: usize,
) -> ShardEntry {
    let fingerprint = u128::from_str_radix(tokenizer().fingerprint(), 16).unwrap();
    let mut writer = ShardWriter::create(path, tokenizer().vocab_size(), [0, 0], fingerprint).unwrap();
    for document in documents {
        writer.push(document, 2 * document.len() as u64).unwrap();
    }
    let summary = writer.finish().unwrap();
    ShardEntry {
        path: path.file_name().unwrap().to_str().unwrap().to_owned(),
        split,
        source_idx,
        documents: summary.n_documents,
        tokens: summary.n_tokens,
        text_bytes: summary.n_text_bytes,
        xxh3: base::hash::hex(summary.checksum),
    }
}

/// Sources (weight, documents), each in two shards, and held-out documents.
pub(crate) fn prepared(sources: &[(f64, Vec<Vec<u32>>)], validation: &[Vec<u32>]) -> Arc<Prepared> {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = Manifest::default();
    for (i, (weight, documents)) in sources.iter().enumerate() {
        let (name, path) = (format!("source {i}"), String::new());
        manifest.sources.push(SourceEntry { name, path, weight: *weight, licence: None });
        let halves = documents.split_at(documents.len() / 2);
        for (half, documents) in [("a", halves.0), ("b", halves.1)] {
            let path = dir.path().join(format!("train-{i}{half}.tokens"));
            manifest.shards.push(write_shard(&path, documents, Split::Train, i));
        }
    }
    let path = dir.path().join("validation.tokens");
    manifest.shards.push(write_shard(&path, validation, Split::Validation, 0));
    manifest.write(&dir.path().join("manifest.jsonl")).unwrap();
    Arc::new(Prepared::open(dir.path(), &tokenizer()).unwrap())
}
