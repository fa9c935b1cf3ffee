//! Prepared data, opened.

use std::path::{Component, Path};

use base::hash::Xxh3;
use rayon::prelude::*;

use crate::{DataError, Manifest, ShardEntry, Split, TokenShard, Tokenizer, shard::ShardSet};

/// The folder that [`crate::prepare`] wrote, checked and mapped into memory; share it between streams by `Arc`.
#[derive(Debug)]
pub struct Prepared {
    manifest: Manifest,
    fingerprint: String,
    train: Vec<TrainSource>,
    validation: ShardSet,
}

/// The shards of one source of the mixture.
#[derive(Debug)]
pub(crate) struct TrainSource {
    pub(crate) weight: f64,
    pub(crate) shards: ShardSet,
}

impl Prepared {
    /// Opens `folder` and checks every shard (see [`TokenShard::open`]), on every core.
    ///
    /// # Errors
    /// If the data is not complete, is damaged, or was made by another tokenizer.
    pub fn open(folder: &Path, tokenizer: &Tokenizer) -> Result<Self, DataError> {
        let path = folder.join("manifest.jsonl");
        let manifest = Manifest::read(&path)?;
        let fail = |expected: &str, found: String| {
            let (path, expected) = (path.clone(), expected.to_owned());
            DataError::Manifest { path, expected, found }
        };
        let open = |entry: &ShardEntry| {
            let is_name =
                Path::new(&entry.path).components().all(|part| matches!(part, Component::Normal(_)));
            if !is_name {
                return Err(fail("shards beside the manifest", format!("`{}`", entry.path)));
            }
            let shard = TokenShard::open(&folder.join(&entry.path), tokenizer)?;
            let say = |documents, tokens, xxh3: &str| {
                format!("{documents} documents of {tokens} tokens with xxh3 {xxh3} in `{}`", entry.path)
            };
            let expected = say(entry.documents, entry.tokens, &entry.xxh3);
            let found = say(shard.n_documents(), shard.n_tokens(), &format!("{:032x}", shard.checksum()));
            if found != expected {
                return Err(fail(&expected, found));
            }
            Ok(shard)
        };
        let mut train: Vec<Vec<TokenShard>> = manifest.sources.iter().map(|_| Vec::new()).collect();
        let mut validation = Vec::new();
        let shards: Vec<TokenShard> = manifest.shards.par_iter().map(open).collect::<Result<_, _>>()?;
        for (entry, shard) in manifest.shards.iter().zip(shards) {
            match entry.split {
                Split::Validation => validation.push(shard),
                Split::Train => match train.get_mut(entry.source_idx) {
                    Some(source) => source.push(shard),
                    None => {
                        return Err(fail("the source of every shard", format!("none for `{}`", entry.path)));
                    }
                },
            }
        }
        let mut sources = Vec::with_capacity(train.len());
        for (entry, shards) in manifest.sources.iter().zip(train) {
            let shards = ShardSet::new(shards);
            let is_weight = entry.weight.is_finite() && entry.weight > 0.0;
            if shards.n_documents() == 0 || !is_weight {
                let found =
                    format!("{} of weight {} in `{}`", shards.n_documents(), entry.weight, entry.name);
                return Err(fail("training documents", found));
            }
            sources.push(TrainSource { weight: entry.weight, shards });
        }
        if sources.is_empty() {
            return Err(fail("a source or more", "none".to_owned()));
        }
        let validation = ShardSet::new(validation);
        let fingerprint = fingerprint(tokenizer, &sources, &validation);
        Ok(Self { manifest, fingerprint, train: sources, validation })
    }

    /// What the data consists of and where it came from.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Hash over tokenizer, weights and every shard, in 32 hex digits; where the files lie is not in it.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Training tokens (targets) in one epoch of every source.
    pub fn n_train_tokens(&self) -> u64 {
        self.train.iter().map(|source| source.shards.n_tokens()).sum()
    }

    /// Bytes of text in one epoch of every source.
    pub fn n_train_bytes(&self) -> u64 {
        self.train.iter().map(|source| source.shards.n_text_bytes()).sum()
    }

    /// Held-out tokens (targets).
    pub fn n_validation_tokens(&self) -> u64 {
        self.validation.n_tokens()
    }

    /// Bytes of held-out text.
    pub fn n_validation_bytes(&self) -> u64 {
        self.validation.n_text_bytes()
    }

    pub(crate) fn train(&self) -> &[TrainSource] {
        &self.train
    }

    pub(crate) fn validation(&self) -> &ShardSet {
        &self.validation
    }
}

fn fingerprint(tokenizer: &Tokenizer, sources: &[TrainSource], validation: &ShardSet) -> String {
    let mut hash = Xxh3::new();
    hash.update(tokenizer.fingerprint().as_bytes());
    for source in sources {
        hash.update(&source.weight.to_bits().to_le_bytes());
        hash.update(&(source.shards.shards().len() as u64).to_le_bytes());
        for shard in source.shards.shards() {
            hash.update(&shard.checksum().to_le_bytes());
        }
    }
    for shard in validation.shards() {
        hash.update(&shard.checksum().to_le_bytes());
    }
    base::hash::hex(hash.digest128())
}
