//! Reads one file's documents, or the generated ones, one after another.

mod content;
mod encoding;
mod gzip;
mod jsonl;
mod objects;
mod parquet;
mod row;
mod rows;
mod sniff;
mod text;

pub(crate) use encoding::{Encoding, FromUtf16};
pub use objects::{JsonRow, json_rows};
pub use rows::{Row, rows, rows_of_columns};

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    DataError, InvalidUtf8,
    error::Damage,
    source::Format,
    tasks::{TaskDocuments, TasksConfig},
};

/// The documents of one file, read as they are asked for, or generated ones.
pub(crate) struct Reader {
    kind: Kind,
    position: Position,
    notes: Vec<String>,
}

enum Kind {
    Text(text::TextReader),
    Jsonl(jsonl::JsonlReader),
    Parquet(Box<parquet::ParquetReader>),
    Tasks(TaskDocuments),
}

/// One document as it lies in the file.
#[derive(Debug, PartialEq)]
pub(crate) struct Raw {
    pub(crate) text: String,
    /// Bytes that were not UTF-8 were replaced.
    pub(crate) was_replaced: bool,
}

/// What a reader finds: a document, or one that `InvalidUtf8::Skip` passes over.
#[derive(Debug, PartialEq)]
pub(crate) enum Item {
    Document(Raw),
    Skipped,
}

impl Reader {
    /// Opens `path`, whose ending is known; `column` is the text column. After an error in a row the next call of
    /// [`Reader::next_item`] goes on behind it; after an error that leaves the rest unreadable it finds the end.
    pub(crate) fn open(path: &Path, column: &str, policy: InvalidUtf8) -> Result<Self, DataError> {
        let position = Position::default();
        let format = Format::of(path).ok_or_else(|| DataError::NoFiles {
            path: path.display().to_string(),
            found: "a file with another ending".to_owned(),
        })?;
        let mut notes = Vec::new();
        let kind = match format {
            Format::Text(compression) => {
                Kind::Text(text::TextReader::open(path, compression, policy, &position, &mut notes)?)
            }
            Format::Jsonl(compression) => {
                let rows = (column, policy);
                Kind::Jsonl(jsonl::JsonlReader::open(path, compression, rows, &position, &mut notes)?)
            }
            Format::Parquet => {
                let reader = parquet::ParquetReader::open(path, column, policy, &position)?;
                Kind::Parquet(Box::new(reader))
            }
        };
        Ok(Self { kind, position, notes })
    }

    /// Generated documents; their bytes count as read.
    pub(crate) fn of_tasks(config: &TasksConfig) -> Self {
        Self {
            kind: Kind::Tasks(TaskDocuments::new(config)),
            position: Position::default(),
            notes: Vec::new(),
        }
    }

    /// The next document, or none at the end of the file.
    pub(crate) fn next_item(&mut self) -> Result<Option<Item>, DataError> {
        match &mut self.kind {
            Kind::Text(reader) => reader.next_item(),
            Kind::Jsonl(reader) => reader.next_item(),
            Kind::Parquet(reader) => reader.next_item(),
            Kind::Tasks(documents) => Ok(documents.next().map(|text| {
                self.position.add(text.len() as u64);
                Item::Document(Raw { text, was_replaced: false })
            })),
        }
    }

    /// Bytes of the file read so far, as they lie on disk.
    pub(crate) fn position(&self) -> u64 {
        self.position.0.n_bytes.load(Ordering::Relaxed)
    }

    /// What is worth knowing about the file; complete at its end.
    pub(crate) fn into_notes(self) -> Vec<String> {
        let mut notes = self.notes;
        let n_ignored = self.position.0.n_ignored.load(Ordering::Relaxed);
        if n_ignored > 0 {
            notes.push("bytes after the compressed content were ignored".to_owned());
        }
        notes
    }
}

/// How far a file was read, shared between a reader and whoever reports progress.
#[derive(Clone, Debug, Default)]
pub(crate) struct Position(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    n_bytes: AtomicU64,
    /// After compressed content.
    n_ignored: AtomicU64,
}

impl Position {
    fn add(&self, n_bytes: u64) {
        self.0.n_bytes.fetch_add(n_bytes, Ordering::Relaxed);
    }

    fn add_ignored(&self, n_bytes: u64) {
        self.0.n_ignored.fetch_add(n_bytes, Ordering::Relaxed);
    }
}

/// What failed while reading content: the disk, or what was to be unpacked.
fn read_error(path: &Path, position: &Position, source: io::Error) -> DataError {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, OutOfMemory, UnexpectedEof};
    let path = path.to_path_buf();
    // zstd gives its reasons as text alone.
    let text = source.to_string();
    let (damage, message) = match source.kind() {
        UnexpectedEof => (Damage::CutOff, "it ends too early".to_owned()),
        OutOfMemory => (Damage::Memory, "more memory is needed than there is".to_owned()),
        Other if text.contains("Dictionary mismatch") => {
            (Damage::Dictionary, "it was made with a dictionary".to_owned())
        }
        Other if text.contains("requires too much memory") => {
            (Damage::Memory, "its window is larger than the 2 GiB of the format".to_owned())
        }
        Other if text.contains("Allocation error") => {
            (Damage::Memory, "its window needs more memory than there is, up to 2 GiB".to_owned())
        }
        Other if text.contains("Unknown frame descriptor") => {
            (Damage::Content, "bytes after the last frame that are not a frame".to_owned())
        }
        InvalidData | InvalidInput | Other => (Damage::Content, text),
        _ => return DataError::Io { action: "read", path, source },
    };
    let place = format!("about byte {}", position.0.n_bytes.load(Ordering::Relaxed));
    DataError::Malformed { path, expected: "whole compressed content", place, message, damage }
}

/// Bytes that are no text, by the first that is none; `before` says how many lines and bytes stand before them in the file.
fn not_utf8(path: &Path, expected: &'static str, bytes: &[u8], before: (usize, u64)) -> DataError {
    let at = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    let line = before.0 + 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
    let (byte, offset) = (bytes.get(at).copied().unwrap_or_default(), before.1 + at as u64);
    DataError::OtherFormat {
        path: path.to_path_buf(),
        expected,
        found: format!("the byte 0x{byte:02x} in line {line} (offset {offset}), which is not UTF-8"),
        hint: "save the file as UTF-8; one that is packed ends with .gz or .zst".to_owned(),
    }
}

/// Makes text of bytes; `refusal` makes the error of what is no UTF-8 from its offset.
fn decode(
    bytes: Vec<u8>,
    policy: InvalidUtf8,
    refusal: impl FnOnce(usize) -> DataError,
) -> Result<Item, DataError> {
    let error = match String::from_utf8(bytes) {
        Ok(text) => return Ok(Item::Document(Raw { text, was_replaced: false })),
        Err(error) => error,
    };
    match policy {
        InvalidUtf8::Refuse => Err(refusal(error.utf8_error().valid_up_to())),
        InvalidUtf8::Replace => {
            Ok(Item::Document(Raw { text: with_replacements(error.as_bytes()), was_replaced: true }))
        }
        InvalidUtf8::Skip => Ok(Item::Skipped),
    }
}

/// As [`String::from_utf8_lossy`], but half a surrogate pair, three bytes where it was escaped in JSON, is replaced by
/// one U+FFFD, as Python does.
fn with_replacements(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Err(error) = std::str::from_utf8(rest) {
        let (valid, bad) = rest.split_at(error.valid_up_to());
        text.push_str(std::str::from_utf8(valid).unwrap_or_default());
        text.push(char::REPLACEMENT_CHARACTER);
        let n_bad = match bad {
            [0xed, 0xa0..=0xbf, 0x80..=0xbf, ..] => 3,
            _ => error.error_len().unwrap_or(bad.len()),
        };
        rest = &bad[n_bad..];
    }
    text.push_str(std::str::from_utf8(rest).unwrap_or_default());
    text
}
