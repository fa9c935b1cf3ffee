//! Reads one file's documents, or the generated ones, one after another.

mod inflate;
mod jsonl;
mod parquet;
mod text;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    DataError, InvalidUtf8,
    source::Format,
    tasks::{TaskDocuments, TasksConfig},
};

/// The documents of one file, read as they are asked for, or generated ones.
pub(crate) struct Reader {
    kind: Kind,
    position: Position,
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
    /// Opens `path`, whose ending is known; `column` is the text column.
    pub(crate) fn open(path: &Path, column: &str, policy: InvalidUtf8) -> Result<Self, DataError> {
        let position = Position::default();
        let format = Format::of(path).ok_or_else(|| DataError::NoFiles {
            path: path.display().to_string(),
            found: "a file with another ending".to_owned(),
        })?;
        let kind = match format {
            Format::Text(compression) => Kind::Text(text::TextReader::new(
                inflate::open(path, compression, &position)?,
                path,
                policy,
                &position,
            )),
            Format::Jsonl(compression) => {
                let input = inflate::open(path, compression, &position)?;
                Kind::Jsonl(jsonl::JsonlReader::new(input, path, column, policy, &position))
            }
            Format::Parquet => {
                let reader = parquet::ParquetReader::open(path, column, policy, &position)?;
                Kind::Parquet(Box::new(reader))
            }
        };
        Ok(Self { kind, position })
    }

    /// Generated documents; their bytes count as read.
    pub(crate) fn of_tasks(config: &TasksConfig) -> Self {
        Self { kind: Kind::Tasks(TaskDocuments::new(config)), position: Position::default() }
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
        self.position.get()
    }
}

/// How far a file was read, shared between a reader and whoever reports progress.
#[derive(Clone, Debug, Default)]
pub(crate) struct Position(Arc<AtomicU64>);

impl Position {
    fn add(&self, n_bytes: u64) {
        self.0.fetch_add(n_bytes, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What failed while reading content: the disk, or what was to be decompressed.
fn read_error(path: &Path, position: &Position, source: io::Error) -> DataError {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    let path = path.to_path_buf();
    match source.kind() {
        InvalidData | InvalidInput | Other | UnexpectedEof => DataError::Malformed {
            path,
            expected: "whole compressed content",
            place: format!("about byte {}", position.get()),
            message: source.to_string(),
        },
        _ => DataError::Io { action: "read", path, source },
    }
}

/// Makes text of bytes; `offset` is where they begin in the file's content.
fn decode(
    bytes: Vec<u8>,
    offset: u64,
    place: impl FnOnce() -> PathBuf,
    policy: InvalidUtf8,
) -> Result<Item, DataError> {
    let error = match String::from_utf8(bytes) {
        Ok(text) => return Ok(Item::Document(Raw { text, was_replaced: false })),
        Err(error) => error,
    };
    match policy {
        InvalidUtf8::Refuse => {
            let offset = offset + error.utf8_error().valid_up_to() as u64;
            Err(DataError::InvalidUtf8 { path: place(), offset })
        }
        InvalidUtf8::Replace => {
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            Ok(Item::Document(Raw { text, was_replaced: true }))
        }
        InvalidUtf8::Skip => Ok(Item::Skipped),
    }
}
