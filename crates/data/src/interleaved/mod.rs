//! Documents of text and pictures, from files in the forms that other programs write them.
//!
//! A [`RowSource`] gives rows as they lie in one file or folder: JSON lines with references to pictures ([`JsonLines`]),
//! Parquet with their bytes ([`ParquetRows`]), a WebDataset archive ([`TarRows`]), a folder of pictures with captions
//! ([`CaptionFolder`]). [`Documents`] decodes them: a row with a broken picture is counted and left out, and the next one
//! is read.
//!
//! The place of a picture within a text is the word `<image>` or `<|image|>`. A text that has none has its pictures in front. Of a row with
//! a question and an answer ([`Question`]), or with the `name` of what its picture shows, the answer alone is to be learned.

mod folder;
mod jsonl;
mod parquet;
mod place_images;
mod question;
mod tar;
mod tar_file;
#[cfg(test)]
mod tests;

use std::path::Path;

use base::hash::Xxh3;
use serde_json::Value;

use crate::{
    DataError, Skipped,
    image::{Background, ImageError, ImageLimits, RgbImage, decode},
};

pub use self::{
    folder::CaptionFolder,
    jsonl::JsonLines,
    parquet::ParquetRows,
    place_images::{has_place, taken_out},
    question::{Question, WHAT},
    tar::TarRows,
};

/// Longer fields are no names or numbers of something.
const MAX_FIELD_BYTES: usize = 200;

/// What stands in a text where a picture belongs.
pub const PLACEHOLDER: &str = "<image>";

/// All names of it: also that of the token of models that are trained here.
pub const PLACEHOLDERS: [&str; 2] = [PLACEHOLDER, "<|image|>"];

/// A piece of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text, to be learned.
    Text(String),
    /// A question, or a piece of one, to be read.
    Question(String),
    /// A picture, to be looked at: no loss is computed where it stands.
    Image(RgbImage),
}

impl Part {
    /// Whether a model learns to continue with this: text alone.
    pub fn has_loss(&self) -> bool {
        matches!(self, Self::Text(_))
    }
}

/// Text and pictures in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The file and the row that it was read from.
    pub place: String,
    /// At least one; no text among them is empty.
    pub parts: Vec<Part>,
}

/// A row before its pictures are decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The file and the row.
    pub place: String,
    /// Text and pictures in their order.
    pub parts: Vec<RowPart>,
    /// What is asked, where the row is a question.
    pub question: Option<Question>,
    /// Its short fields by name: texts, numbers, yes and no; nothing of a folder.
    pub fields: Vec<(String, String)>,
}

impl Row {
    /// A row of text and pictures alone.
    pub(crate) fn new(place: String, parts: Vec<RowPart>) -> Self {
        Self { place, parts, question: None, fields: Vec::new() }
    }

    /// Adds its texts and pictures to a hash; how many bytes these are.
    pub(crate) fn add_to(&self, hash: &mut Xxh3) -> usize {
        let mut n_bytes = 0;
        for part in &self.parts {
            let (kind, bytes) = match part {
                RowPart::Text(text) => (0u8, text.as_bytes()),
                RowPart::Image(bytes) => (1, &bytes[..]),
                RowPart::Question(text) => (2, text.as_bytes()),
            };
            hash.update(&[kind]);
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
            n_bytes += bytes.len();
        }
        n_bytes
    }

    /// A short field by its name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The same row with those of its fields that are short.
    fn with_fields<'v>(self, fields: impl Iterator<Item = (&'v String, Value)>) -> Self {
        let short = |(name, value): (&String, Value)| {
            let value = match value {
                Value::String(text) => text,
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                _ => return None,
            };
            (value.len() <= MAX_FIELD_BYTES).then(|| (name.clone(), value))
        };
        Self { fields: fields.filter_map(short).collect(), ..self }
    }
}

/// A piece of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowPart {
    /// Text.
    Text(String),
    /// A question, or a piece of one.
    Question(String),
    /// The bytes of a picture's file.
    Image(Vec<u8>),
}

/// Rows of one file or folder, one after another.
pub trait RowSource {
    /// The next row, none at the end. After an error in a row the next call goes on behind it.
    ///
    /// # Errors
    /// If the row, or all that follows, cannot be read; see [`RowSource::is_over`].
    fn next_row(&mut self) -> Result<Option<Row>, DataError>;

    /// Whether nothing can be read any more.
    fn is_over(&self) -> bool;
}

/// Opens `path` by its ending: `.jsonl`, `.jsonl.gz`, `.parquet`, `.tar`, or a folder.
///
/// # Errors
/// If it cannot be read, or is something else.
pub fn open(path: &Path, limits: ImageLimits) -> Result<Box<dyn RowSource>, DataError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("").to_ascii_lowercase();
    let ending = name.strip_suffix(".gz").filter(|name| name.ends_with(".jsonl")).unwrap_or(&name);
    Ok(match ending.rsplit_once('.').map(|(_, ending)| ending) {
        _ if path.is_dir() => Box::new(CaptionFolder::open(path, limits)?),
        Some("jsonl") => Box::new(JsonLines::open(path, limits)?),
        Some("parquet") => Box::new(ParquetRows::open(path)?),
        Some("tar") => Box::new(TarRows::open(path, limits)?),
        _ => {
            return Err(DataError::OtherFormat {
                path: path.to_path_buf(),
                expected: "text with pictures",
                found: "a file with another ending".to_owned(),
                hint:
                    "give a .jsonl, .jsonl.gz, .parquet or .tar file, or a folder of pictures with captions"
                        .to_owned(),
            });
        }
    })
}

/// The documents of a source, with what had to be left out counted.
pub struct Documents {
    source: Box<dyn RowSource>,
    limits: ImageLimits,
    background: Background,
    skipped: Skipped,
}

impl Documents {
    /// Those of `source`, with pictures within `limits` laid over `background`.
    pub fn new(source: Box<dyn RowSource>, limits: ImageLimits, background: Background) -> Self {
        Self { source, limits, background, skipped: Skipped::default() }
    }

    /// What was left out so far, by kind, with the first examples by name.
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    fn decoded(&self, row: Row) -> Result<Document, ImageError> {
        let Row { place, parts, .. } = row;
        let decoded = |part| match part {
            RowPart::Text(text) => Ok(Part::Text(text)),
            RowPart::Question(text) => Ok(Part::Question(text)),
            RowPart::Image(bytes) => decode(&bytes, &place, &self.limits, self.background).map(Part::Image),
        };
        let parts = parts.into_iter().map(decoded).collect::<Result<_, _>>()?;
        Ok(Document { place, parts })
    }
}

impl Iterator for Documents {
    type Item = Document;

    fn next(&mut self) -> Option<Document> {
        loop {
            let error = match self.source.next_row() {
                Ok(None) => return None,
                Ok(Some(row)) if row.parts.is_empty() => continue,
                Ok(Some(row)) => match self.decoded(row) {
                    Ok(document) => return Some(document),
                    Err(error) => error.into(),
                },
                Err(error) => error,
            };
            self.skipped.add(error.kind_of_bad_input().unwrap_or("unreadable"), &error, false);
            if self.source.is_over() {
                return None;
            }
        }
    }
}

/// Whether a name ends like that of a picture.
fn is_image_name(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    matches!(ending.as_deref(), Some("png" | "jpg" | "jpeg" | "webp" | "gif"))
}
