//! `manifest.jsonl`: what prepared data consists of and where it came from.
//!
//! Paths in it are relative to the folder that it stands in.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{DataError, Dropped, Skipped, Split, file::write_atomically};

/// The lines of a `manifest.jsonl`, written last: data without it is not complete.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// One a source of the mixture, in the order of the recipe.
    pub sources: Vec<SourceEntry>,
    /// What was passed over while the sources were searched.
    pub passed_over: Vec<PassedOver>,
    /// One a file that was read, in the order of reading.
    pub files: Vec<FileEntry>,
    /// One a shard that was written, in the order of writing.
    pub shards: Vec<ShardEntry>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Entry {
    /// A source of the mixture.
    Source(SourceEntry),
    /// Something that was passed over.
    #[serde(rename = "passed_over")]
    PassedOver(PassedOver),
    /// A file that was read.
    File(FileEntry),
    /// A shard that was written.
    Shard(ShardEntry),
}

/// A source of the mixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceEntry {
    /// Name in reports.
    pub name: String,
    /// File, folder or glob, as configured.
    pub path: String,
    /// Share of the training tokens, relative to the other sources.
    pub weight: f64,
    /// Licence, when one is given.
    pub licence: Option<String>,
}

/// Something that was passed over while a source was searched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PassedOver {
    /// Name of the source.
    pub source: String,
    /// What it is, and how many of it.
    pub what: String,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Where it lay, as [`crate::shown`] writes it.
    pub path: String,
    /// Name of its source.
    pub source: String,
    /// The sides of the split that its documents went to.
    pub split: Vec<Split>,
    /// Size on disk.
    pub bytes: u64,
    /// Of the file as it lay on disk, in hex digits; empty where it could not be read.
    pub sha256: String,
    /// Licence of its source.
    pub licence: Option<String>,
    /// Documents that were kept.
    pub documents: u64,
    /// Targets in training.
    pub train_tokens: u64,
    /// Targets in validation.
    pub validation_tokens: u64,
    /// Documents that were not kept, and why.
    pub dropped: Dropped,
    /// Names of special tokens in its texts that were read as plain text.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub special_names: u64,
    /// What could not be read, under `on_error = "skip"`.
    #[serde(default, skip_serializing_if = "Skipped::is_empty")]
    pub skipped: Skipped,
    /// What else is worth knowing about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A shard that was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardEntry {
    /// Name of the file, beside the manifest.
    pub path: String,
    /// Side of the split.
    pub split: Split,
    /// Index of its source: in [`Manifest::sources`] for training, in the validation sources when there are such.
    pub source_idx: usize,
    /// Number of documents.
    pub documents: u64,
    /// Number of targets: a document of n tokens has n + 1.
    pub tokens: u64,
    /// Bytes of text.
    pub text_bytes: u64,
    /// xxh3-128 of the payload, in hex digits.
    pub xxh3: String,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Manifest {
    /// What was dropped in all.
    pub fn dropped(&self) -> Dropped {
        self.files.iter().fold(Dropped::default(), |mut sum, file| {
            sum += file.dropped;
            sum
        })
    }

    /// What could not be read in all.
    pub fn skipped(&self) -> Skipped {
        self.files.iter().fold(Skipped::default(), |mut sum, file| {
            sum += &file.skipped;
            sum
        })
    }

    /// What a person should know about the data, a sentence each: what was passed over or left out, and notes on files.
    pub fn notices(&self) -> Vec<String> {
        let mut notices: Vec<String> =
            self.passed_over.iter().map(|p| format!("passed over in `{}`: {}", p.source, p.what)).collect();
        let mut noted: Vec<(&str, u64, &str)> = Vec::new();
        for (note, path) in
            self.files.iter().flat_map(|f| f.notes.iter().map(|note| (note.as_str(), &f.path)))
        {
            match noted.iter_mut().find(|(known, ..)| *known == note) {
                Some((_, n, _)) => *n += 1,
                None => noted.push((note, 1, path)),
            }
        }
        notices.extend(noted.iter().map(|(note, n, first)| match n {
            1 => format!("`{first}` {note}"),
            n => format!("{n} files, such as `{first}`: each {note}"),
        }));
        let n_documents = self.files.iter().map(|file| file.documents).sum();
        notices.extend(self.skipped().notice(n_documents));
        notices
    }

    /// Shards of one side of the split.
    pub fn shards_of(&self, split: Split) -> impl Iterator<Item = &ShardEntry> {
        self.shards.iter().filter(move |shard| shard.split == split)
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), DataError> {
        let entries = (self.sources.iter().cloned().map(Entry::Source))
            .chain(self.passed_over.iter().cloned().map(Entry::PassedOver))
            .chain(self.files.iter().cloned().map(Entry::File))
            .chain(self.shards.iter().cloned().map(Entry::Shard));
        let mut text = String::new();
        for entry in entries {
            text.push_str(&serde_json::to_string(&entry).expect("an entry is plain data"));
            text.push('\n');
        }
        write_atomically(path, text.as_bytes())
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// If the file is missing or a line is not an entry.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let fail = |expected: &str, found: String| {
            let (path, expected) = (path.to_path_buf(), expected.to_owned());
            DataError::Manifest { path, expected, found }
        };
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(fail("a manifest", "no such file".to_owned()));
            }
            Err(error) => return Err(DataError::io("read", path)(error)),
        };
        let mut manifest = Self::default();
        for (i, line) in text.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
            let entry = serde_json::from_slice(line)
                .map_err(|error| fail("an entry a line", format!("an error at line {}: {error}", i + 1)))?;
            match entry {
                Entry::Source(source) => manifest.sources.push(source),
                Entry::PassedOver(what) => manifest.passed_over.push(what),
                Entry::File(file) => manifest.files.push(file),
                Entry::Shard(shard) => manifest.shards.push(shard),
            }
        }
        Ok(manifest)
    }
}
