//! The documents of a corpus: read, filtered, de-duplicated and split, one at a time.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    ops::AddAssign,
    path::PathBuf,
};

use base::hash::xxh3_128;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use crate::{
    DataConfig, DataError, OnError, PassedOver, Skipped, SourceConfig, SpecialTokens, ValidationConfig,
    reader::{Item, Reader},
    tasks::TasksConfig,
};

/// Which side of the validation split a text is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Learned from.
    Train,
    /// Held out.
    Validation,
}

/// A text that passed the filters.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The text, line endings as they are in the file.
    pub text: String,
    /// Its side of the split.
    pub split: Split,
    /// Index of its file in [`Documents::files`].
    pub file_idx: usize,
}

/// Documents that were not kept, and why; and those that were mended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Empty, or shorter than `min_chars`.
    pub too_short: u64,
    /// Equal to an earlier document, or to one held out.
    pub duplicate: u64,
    /// Not UTF-8, under `invalid_utf8 = "skip"`.
    pub invalid_utf8: u64,
    /// Kept with U+FFFD in place of bad bytes, under `invalid_utf8 = "replace"`.
    pub replaced_utf8: u64,
}

impl AddAssign for Dropped {
    fn add_assign(&mut self, other: Self) {
        self.too_short += other.too_short;
        self.duplicate += other.duplicate;
        self.invalid_utf8 += other.invalid_utf8;
        self.replaced_utf8 += other.replaced_utf8;
    }
}

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { too_short, duplicate, invalid_utf8, .. } = self;
        write!(f, "{too_short} as too short, {duplicate} as duplicates, {invalid_utf8} as not UTF-8")
    }
}

/// A file of the corpus, or the generated tasks in the place of one, and what was found in it so far.
#[derive(Clone, Debug, PartialEq)]
pub struct CorpusFile {
    /// Where it lies; of the tasks, how they are made.
    pub path: PathBuf,
    /// Size on disk; of the tasks, the most that may be generated, and at the end what was.
    pub n_bytes: u64,
    /// Index in the configured sources, behind which the tasks come; in the validation sources when `is_held_out`.
    pub source_idx: usize,
    /// Belongs to a validation source.
    pub is_held_out: bool,
    /// Documents that were kept.
    pub n_documents: u64,
    /// Documents that were not.
    pub dropped: Dropped,
    /// What could not be read, under `on_error = "skip"`.
    pub skipped: Skipped,
    /// Documents that hold NUL characters.
    pub n_with_nul: u64,
    /// What else is worth knowing about it.
    pub notes: Vec<String>,
}

impl CorpusFile {
    fn new(path: PathBuf, n_bytes: u64, source_idx: usize, is_held_out: bool) -> Self {
        let (dropped, skipped) = (Dropped::default(), Skipped::default());
        let (n_documents, n_with_nul, notes) = (0, 0, Vec::new());
        Self { path, n_bytes, source_idx, is_held_out, n_documents, dropped, skipped, n_with_nul, notes }
    }
}

/// Streams the documents of a corpus: files in order, held-out sources first, generated tasks last, never more than
/// one document in memory. The same text is never on both sides of the split; tasks are on one alone.
pub struct Documents<'a> {
    config: &'a DataConfig,
    files: Vec<CorpusFile>,
    passed_over: Vec<PassedOver>,
    next_file: usize,
    reader: Option<Reader>,
    seen: HashSet<u128, FxBuildHasher>,
    /// The tail of the document just given, when the split is by tail.
    pending: Option<Document>,
}

impl<'a> Documents<'a> {
    /// Finds the files; reads none yet.
    ///
    /// # Errors
    /// If a setting is out of range or a source has no files.
    pub fn open(config: &'a DataConfig) -> Result<Self, DataError> {
        config.validate()?;
        let (mut files, mut passed_over) = (Vec::new(), Vec::new());
        if let ValidationConfig::Source { sources } = &config.validation {
            list_files(config, sources, true, &mut files, &mut passed_over)?;
        }
        list_files(config, &config.sources, false, &mut files, &mut passed_over)?;
        note_repeated_files(&mut files);
        if let Some(tasks) = &config.tasks {
            files.push(CorpusFile::new(tasks.origin().into(), tasks.bytes, config.sources.len(), false));
        }
        let seen = HashSet::default();
        Ok(Self { config, files, passed_over, next_file: 0, reader: None, seen, pending: None })
    }

    /// Every file, with counts up to the document given last.
    pub fn files(&self) -> &[CorpusFile] {
        &self.files
    }

    /// What was passed over while the sources were searched.
    pub fn passed_over(&self) -> &[PassedOver] {
        &self.passed_over
    }

    /// Bytes on disk of all files, and those to generate.
    pub fn n_bytes_total(&self) -> u64 {
        self.files.iter().map(|file| file.n_bytes).sum()
    }

    /// Bytes on disk that were read so far, and those generated.
    pub fn n_bytes_read(&self) -> u64 {
        let opened = self.next_file - usize::from(self.reader.is_some());
        let finished: u64 = self.files[..opened].iter().map(|file| file.n_bytes).sum();
        let current = self.reader.as_ref().map_or(0, |r| r.position().min(self.files[opened].n_bytes));
        finished + current
    }

    /// The next document, or none at the end.
    ///
    /// # Errors
    /// If a file cannot be read or holds something else than its ending and the configuration say, unless the
    /// configuration skips such rows and files.
    pub fn next_document(&mut self) -> Result<Option<Document>, DataError> {
        if let Some(document) = self.pending.take() {
            return Ok(Some(document));
        }
        loop {
            let Some(reader) = &mut self.reader else {
                let Some(file) = self.files.get(self.next_file) else { return Ok(None) };
                self.next_file += 1;
                let opened = match origin_of(self.config, file) {
                    Origin::Files(source) => Reader::open(&file.path, &source.text, self.config.invalid_utf8),
                    Origin::Tasks(tasks) => Ok(Reader::of_tasks(tasks)),
                };
                match opened {
                    Ok(reader) => self.reader = Some(reader),
                    Err(error) => self.skip(error, true)?,
                }
                continue;
            };
            let file_idx = self.next_file - 1;
            let item = match reader.next_item() {
                Ok(item) => item,
                Err(error) => {
                    self.skip(error, false)?;
                    continue;
                }
            };
            match item {
                None => {
                    let file = &mut self.files[file_idx];
                    if is_generated(self.config, file) {
                        file.n_bytes = reader.position();
                    }
                    if let Some(reader) = self.reader.take() {
                        file.notes.extend(reader.into_notes());
                    }
                }
                Some(Item::Skipped) => self.files[file_idx].dropped.invalid_utf8 += 1,
                Some(Item::Document(raw)) if is_generated(self.config, &self.files[file_idx]) => {
                    self.files[file_idx].n_documents += 1;
                    return Ok(Some(Document { text: raw.text, split: Split::Train, file_idx }));
                }
                Some(Item::Document(raw)) => {
                    self.files[file_idx].dropped.replaced_utf8 += u64::from(raw.was_replaced);
                    if let Some(document) = self.admit(raw.text, file_idx) {
                        return Ok(Some(document));
                    }
                }
            }
        }
    }

    /// Counts what could not be read, or gives the error back where errors stop the work.
    fn skip(&mut self, error: DataError, is_file: bool) -> Result<(), DataError> {
        match (self.config.on_error, error.kind_of_bad_input()) {
            (OnError::Skip, Some(kind)) => {
                self.files[self.next_file - 1].skipped.add(kind, &error, is_file);
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Filters and splits one text.
    fn admit(&mut self, mut text: String, file_idx: usize) -> Option<Document> {
        let file = &mut self.files[file_idx];
        if self.config.filter.unix_newlines && text.contains('\r') {
            text = text.replace("\r\n", "\n");
        }
        let min_chars = self.config.filter.min_chars.max(1);
        // Characters are counted only when the bytes leave it open.
        if text.len() < min_chars || (text.len() < 4 * min_chars && text.chars().count() < min_chars) {
            file.dropped.too_short += 1;
            return None;
        }
        let hash = xxh3_128(text.as_bytes());
        // Without de-duplication the held-out hashes alone are kept: they must not come back in training.
        let is_new = match (self.config.filter.dedup, file.is_held_out) {
            (true, _) => self.seen.insert(hash),
            (false, true) => {
                self.seen.insert(hash);
                true
            }
            (false, false) => !self.seen.contains(&hash),
        };
        if !is_new {
            file.dropped.duplicate += 1;
            return None;
        }
        file.n_documents += 1;
        file.n_with_nul += u64::from(text.as_bytes().contains(&0));
        let is_held_out = file.is_held_out;
        let document = |text, split| Document { text, split, file_idx };
        Some(match self.config.validation {
            ValidationConfig::Source { .. } if is_held_out => document(text, Split::Validation),
            ValidationConfig::Source { .. } => document(text, Split::Train),
            // The upper half of the hash is uniform over 64 bits; f64 keeps 53 of them.
            ValidationConfig::Auto | ValidationConfig::Hash { .. } => {
                let fraction = self.config.validation.hash_fraction().unwrap_or(0.0);
                let is_held_out = ((hash >> 64) as f64) < fraction * 2f64.powi(64);
                document(text, if is_held_out { Split::Validation } else { Split::Train })
            }
            ValidationConfig::Tail { fraction } => {
                let mut text = text;
                let cut = text.floor_char_boundary((text.len() as f64 * (1.0 - fraction)) as usize);
                let tail = text.split_off(cut);
                let tail = (!tail.is_empty()).then(|| document(tail, Split::Validation));
                if text.is_empty() {
                    return tail;
                }
                self.pending = tail;
                document(text, Split::Train)
            }
        })
    }
}

/// What a file of the corpus belongs to.
pub(crate) enum Origin<'a> {
    Files(&'a SourceConfig),
    Tasks(&'a TasksConfig),
}

impl Origin<'_> {
    /// What the names of special tokens in its texts are taken for.
    pub(crate) fn special_tokens(&self) -> SpecialTokens {
        match self {
            Self::Files(source) => source.special_tokens,
            Self::Tasks(_) => SpecialTokens::Text,
        }
    }
}

/// What the file belongs to: a source, a validation source, or the tasks.
pub(crate) fn origin_of<'a>(config: &'a DataConfig, file: &CorpusFile) -> Origin<'a> {
    match (&config.validation, &config.tasks) {
        (ValidationConfig::Source { sources }, _) if file.is_held_out => {
            Origin::Files(&sources[file.source_idx])
        }
        (_, Some(tasks)) if file.source_idx == config.sources.len() => Origin::Tasks(tasks),
        _ => Origin::Files(&config.sources[file.source_idx]),
    }
}

fn is_generated(config: &DataConfig, file: &CorpusFile) -> bool {
    matches!(origin_of(config, file), Origin::Tasks(_))
}

fn list_files(
    config: &DataConfig,
    sources: &[SourceConfig],
    is_held_out: bool,
    files: &mut Vec<CorpusFile>,
    passed_over: &mut Vec<PassedOver>,
) -> Result<(), DataError> {
    for (source_idx, source) in sources.iter().enumerate() {
        let listing = config.list(source)?;
        for what in listing.passed_over() {
            passed_over.push(PassedOver { source: source.label().to_owned(), what });
        }
        for path in listing.files {
            let n_bytes = std::fs::metadata(&path).map_err(DataError::io("read", &path))?.len();
            let mut file = CorpusFile::new(path, n_bytes, source_idx, is_held_out);
            if n_bytes == 0 {
                file.notes.push("is empty (0 bytes)".to_owned());
            }
            files.push(file);
        }
    }
    Ok(())
}

/// Notes files that are reached more than once, by two sources or by a link.
fn note_repeated_files(files: &mut [CorpusFile]) {
    let mut first_of = HashMap::new();
    for (i, file) in files.iter_mut().enumerate() {
        let Ok(real) = file.path.canonicalize() else { continue };
        match first_of.entry(real) {
            Entry::Vacant(free) => drop(free.insert(i)),
            Entry::Occupied(_) => {
                file.notes.push("is read a second time: a source before reaches it too".to_owned())
            }
        }
    }
}
