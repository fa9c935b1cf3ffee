//! Documents to shards.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use rayon::prelude::*;

use crate::{
    CorpusFile, DataConfig, DataError, Document, Documents, FileEntry, Manifest, PassedOver, Prepared,
    Progress, ShardEntry, Skipped, SourceConfig, SourceEntry, SpecialNames, SpecialTokens, Split, Tokenizer,
    ValidationConfig,
    corpus::{Origin, origin_of},
    file::sha256,
    place::relative_to,
    shard::ShardWriter,
    shown,
    tasks::TasksConfig,
};

/// Text that is encoded at a time: enough to keep the cores busy, little enough to hold in memory.
const GROUP_BYTES: usize = 1 << 24;
/// Documents that are encoded at a time.
const GROUP_DOCUMENTS: usize = 1 << 14;

/// Encodes the corpus that `config` describes into shards and `manifest.jsonl` in `out_dir`, and opens it.
///
/// The corpus is streamed: what lies in memory is a group of documents of about 16 MiB of text (or one document, when
/// that is longer), their tokens, and 20 bytes for each document seen. Same inputs, same bytes: neither threads nor
/// time have a say. Data that was prepared in `out_dir` before is replaced; until the manifest is written, last of
/// all, [`Prepared::open`] refuses the folder.
///
/// `progress` is called before each document and stops the work by `Break`.
///
/// # Errors
/// Whatever is wrong with the configuration or the files; [`DataError::EmptyCorpus`] and
/// [`DataError::EmptyValidation`] if a side of the split has no documents; [`DataError::Interrupted`].
pub fn prepare(
    config: &DataConfig,
    tokenizer: &Tokenizer,
    out_dir: &Path,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Prepared, DataError> {
    let mut documents = Documents::open(config)?;
    clear(out_dir)?;
    let mut output = Output::new(out_dir, config, tokenizer, documents.files().len());
    let mut group: Vec<Document> = Vec::new();
    let mut group_bytes = 0;
    let mut now = Progress { n_bytes_total: documents.n_bytes_total(), ..Progress::default() };
    while let Some(document) = documents.next_document()? {
        now.n_bytes_read = documents.n_bytes_read();
        if progress(now).is_break() {
            return Err(DataError::Interrupted);
        }
        now.n_documents += 1;
        group_bytes += document.text.len();
        group.push(document);
        if group_bytes >= GROUP_BYTES || group.len() >= GROUP_DOCUMENTS {
            now.n_tokens += output.write(&group, documents.files())?;
            group.clear();
            group_bytes = 0;
        }
    }
    now.n_tokens += output.write(&group, documents.files())?;
    now.n_bytes_read = now.n_bytes_total;
    if progress(now).is_break() {
        return Err(DataError::Interrupted);
    }
    output.finish(documents.files(), documents.passed_over())?.write(&out_dir.join("manifest.jsonl"))?;
    Prepared::open(out_dir, tokenizer)
}

/// Makes `out_dir`, or removes an older manifest (first), shards and what a kill left from it; other files stay.
fn clear(out_dir: &Path) -> Result<(), DataError> {
    base::disk::create_dir_all(out_dir).map_err(DataError::io("create", out_dir))?;
    let manifest = out_dir.join("manifest.jsonl");
    if manifest.exists() {
        base::disk::remove_file(&manifest).map_err(DataError::io("remove", &manifest))?;
    }
    for entry in std::fs::read_dir(out_dir).map_err(DataError::io("read", out_dir))? {
        let path = entry.map_err(DataError::io("read", out_dir))?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(is_shard) {
            base::disk::remove_file(&path).map_err(DataError::io("remove", &path))?;
        }
    }
    Ok(base::temporary::remove_leftovers(out_dir)?)
}

/// Whether [`Side::name`] made this name.
fn is_shard(name: &str) -> bool {
    let number = name.strip_prefix("train-").or(name.strip_prefix("validation-"));
    let number = number.and_then(|rest| rest.strip_suffix(".tokens"));
    number.is_some_and(|number| number.len() >= 5 && number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// The two sides of the split as they are written.
struct Output<'a> {
    config: &'a DataConfig,
    tokenizer: &'a Tokenizer,
    train: Side,
    validation: Side,
    /// Targets by file: training, validation.
    file_tokens: Vec<[u64; 2]>,
    names: SpecialNames,
    /// Names of special tokens that were read as plain text, by file.
    file_names: Vec<u64>,
}

impl<'a> Output<'a> {
    fn new(out_dir: &Path, config: &'a DataConfig, tokenizer: &'a Tokenizer, n_files: usize) -> Self {
        let side = |split| Side { split, out_dir: out_dir.to_path_buf(), writer: None, shards: Vec::new() };
        let (train, validation) = (side(Split::Train), side(Split::Validation));
        Self {
            config,
            tokenizer,
            train,
            validation,
            file_tokens: vec![[0; 2]; n_files],
            names: SpecialNames::of(tokenizer),
            file_names: vec![0; n_files],
        }
    }

    /// Encodes a group on every core and writes it in order; returns its number of targets.
    fn write(&mut self, group: &[Document], files: &[CorpusFile]) -> Result<u64, DataError> {
        // Names of special tokens in each, and their bytes.
        let names: Vec<(u64, usize)> = group
            .par_iter()
            .map(|document| {
                self.names.find(&document.text).fold((0, 0), |(n, bytes), name| (n + 1, bytes + name.len()))
            })
            .collect();
        let is_parsed: Vec<bool> = (group.iter().zip(&names))
            .map(|(document, (n_names, _))| {
                let special = origin_of(self.config, &files[document.file_idx]).special_tokens();
                *n_names > 0 && special == SpecialTokens::Parse
            })
            .collect();
        let texts: Vec<&str> = (group.iter().zip(&is_parsed))
            .map(|(document, parsed)| if *parsed { "" } else { &document.text[..] })
            .collect();
        let mut encoded = self.tokenizer.encode_batch(&texts);
        encoded
            .par_iter_mut()
            .zip(group)
            .zip(&is_parsed)
            .filter(|(_, parsed)| **parsed)
            .for_each(|((ids, document), _)| *ids = self.tokenizer.encode_with_specials(&document.text));
        let mut n_tokens = 0;
        for (((document, ids), (n_names, name_bytes)), is_parsed) in
            group.iter().zip(encoded).zip(names).zip(is_parsed)
        {
            // What became a token is no text any more: bits are counted by the bytes that are left.
            let text_bytes = document.text.len() - if is_parsed { name_bytes } else { 0 };
            self.file_names[document.file_idx] += if is_parsed { 0 } else { n_names };
            let side = match document.split {
                Split::Train => &mut self.train,
                Split::Validation => &mut self.validation,
            };
            let source_idx = files[document.file_idx].source_idx;
            side.push(&ids, text_bytes as u64, source_idx, self.tokenizer, self.config.shard_tokens)?;
            n_tokens += ids.len() as u64 + 1;
            self.file_tokens[document.file_idx][document.split as usize] += ids.len() as u64 + 1;
        }
        Ok(n_tokens)
    }

    fn finish(mut self, files: &[CorpusFile], passed_over: &[PassedOver]) -> Result<Manifest, DataError> {
        self.train.close()?;
        self.validation.close()?;
        let mut dropped = crate::Dropped::default();
        files.iter().for_each(|file| dropped += file.dropped);
        let mut skipped = Skipped::default();
        files.iter().for_each(|file| skipped += &file.skipped);
        let dropped = match skipped.notice(0) {
            None => dropped.to_string(),
            Some(notice) => format!("{dropped}; {notice}"),
        };
        for (i, source) in self.config.sources.iter().enumerate() {
            if self.train.shards.iter().all(|shard| shard.source_idx != i) {
                let what = format!("`{}`", source.label());
                return Err(DataError::EmptyCorpus { what, dropped });
            }
        }
        if self.validation.shards.is_empty() {
            let split = match &self.config.validation {
                ValidationConfig::Auto => {
                    format!("a fraction of {} by hash", ValidationConfig::HASH_FRACTION)
                }
                ValidationConfig::Hash { fraction } => format!("a fraction of {fraction} by hash"),
                ValidationConfig::Tail { fraction } => format!("a fraction of {fraction} by tail"),
                ValidationConfig::Source { .. } => dropped,
            };
            return Err(DataError::EmptyValidation { wanted: 1, found: 0, split });
        }
        let tasks = self.config.tasks.iter().map(|tasks| SourceEntry {
            name: TasksConfig::NAME.to_owned(),
            path: tasks.origin(),
            weight: tasks.weight,
            licence: Some(TasksConfig::LICENCE.to_owned()),
        });
        let sources = (self.config.sources.iter())
            .map(|source| SourceEntry {
                name: self.label(source),
                path: source.path_from(&self.train.out_dir),
                weight: source.weight,
                licence: source.licence.clone(),
            })
            .chain(tasks)
            .collect();
        let files = files
            .par_iter()
            .zip(self.file_tokens.par_iter().zip(&self.file_names))
            .map(|(file, (tokens, names))| self.file_entry(file, *tokens, *names))
            .collect::<Result<_, _>>()?;
        let shards = [self.train.shards, self.validation.shards].concat();
        Ok(Manifest { sources, passed_over: passed_over.to_vec(), files, shards })
    }

    /// How the manifest names a path.
    fn place(&self, path: &Path) -> String {
        shown(&relative_to(path, &self.train.out_dir))
    }

    /// How the manifest names a source.
    fn label(&self, source: &SourceConfig) -> String {
        source.name.clone().unwrap_or_else(|| source.path_from(&self.train.out_dir))
    }

    fn file_entry(
        &self,
        file: &CorpusFile,
        tokens: [u64; 2],
        special_names: u64,
    ) -> Result<FileEntry, DataError> {
        let (source, path, licence, sha256) = match origin_of(self.config, file) {
            Origin::Files(source) => {
                let sum = match sha256(&file.path) {
                    Err(_) if file.skipped.n_files > 0 => String::new(),
                    sum => sum?,
                };
                (self.label(source), self.place(&file.path), source.licence.clone(), sum)
            }
            Origin::Tasks(tasks) => (
                TasksConfig::NAME.to_owned(),
                tasks.origin(),
                Some(TasksConfig::LICENCE.to_owned()),
                tasks.sha256(),
            ),
        };
        let [train_tokens, validation_tokens] = tokens;
        let split = [(Split::Train, train_tokens), (Split::Validation, validation_tokens)];
        let mut notes = file.notes.clone();
        if file.n_with_nul > 0 {
            notes.push("holds NUL characters, which are trained on".to_owned());
        }
        Ok(FileEntry {
            path,
            source,
            split: split.iter().filter(|(_, n)| *n > 0).map(|(split, _)| *split).collect(),
            bytes: file.n_bytes,
            sha256,
            licence,
            documents: file.n_documents,
            train_tokens,
            validation_tokens,
            dropped: file.dropped,
            special_names,
            skipped: file.skipped.clone(),
            notes,
        })
    }
}

/// One side of the split: finished shards and the one being written.
struct Side {
    split: Split,
    out_dir: PathBuf,
    writer: Option<(usize, ShardWriter)>,
    shards: Vec<ShardEntry>,
}

impl Side {
    /// Appends a document; a new source, or too many tokens, begin a new shard.
    fn push(
        &mut self,
        ids: &[u32],
        n_text_bytes: u64,
        source_idx: usize,
        tokenizer: &Tokenizer,
        shard_tokens: u64,
    ) -> Result<(), DataError> {
        let n_stored = ids.len() as u64 + 2;
        let fits = |(source, writer): &(usize, ShardWriter)| {
            *source == source_idx && writer.n_stored() + n_stored <= shard_tokens
        };
        if !self.writer.as_ref().is_some_and(fits) {
            self.close()?;
            let path = self.out_dir.join(self.name());
            let fingerprint = u128::from_str_radix(tokenizer.fingerprint(), 16).expect("32 hex digits");
            let ends = [tokenizer.begin_of_text(), tokenizer.end_of_text()];
            let writer = ShardWriter::create(&path, tokenizer.vocab_size(), ends, fingerprint)?;
            self.writer = Some((source_idx, writer));
        }
        match &mut self.writer {
            Some((_, writer)) => writer.push(ids, n_text_bytes),
            None => Ok(()),
        }
    }

    /// The file name of the shard being written.
    fn name(&self) -> String {
        let split = match self.split {
            Split::Train => "train",
            Split::Validation => "validation",
        };
        format!("{split}-{:05}.tokens", self.shards.len())
    }

    fn close(&mut self) -> Result<(), DataError> {
        let Some((source_idx, writer)) = self.writer.take() else { return Ok(()) };
        let summary = writer.finish()?;
        self.shards.push(ShardEntry {
            path: self.name(),
            split: self.split,
            source_idx,
            documents: summary.n_documents,
            tokens: summary.n_tokens,
            text_bytes: summary.n_text_bytes,
            xxh3: base::hash::hex(summary.checksum),
        });
        Ok(())
    }
}
