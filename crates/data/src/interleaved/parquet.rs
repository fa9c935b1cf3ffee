//! Parquet files that hold the bytes of pictures.

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use parquet::{
    errors::ParquetError,
    file::{reader::FileReader as _, serialized_reader::SerializedFileReader},
    record::{Field, Row as Record, reader::RowIter},
};
use serde_json::Value;

use super::{Question, Row, RowPart, RowSource, place_images::placed};
use crate::{DataError, error::Damage, image::ImageError};

/// Rows with a text in `text` or `caption` and pictures in `image` or `images`: bytes, structures with `bytes` as `datasets`
/// of Hugging Face writes them, or lists of either; or with lists `texts` and `images` of the same length; or with a
/// `question` (`query`) and an `answer` (`answers`, `label`).
pub struct ParquetRows {
    rows: RowIter<'static>,
    path: PathBuf,
    n_rows: u64,
    is_over: bool,
}

impl ParquetRows {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be read, is no Parquet, or has no such columns.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io("read", path))?;
        let damaged = |error| malformed(path, "the footer".to_owned(), &error);
        let reader = guarded(|| SerializedFileReader::new(file)).map_err(damaged)?;
        let schema = reader.metadata().file_metadata().schema();
        let found: Vec<String> = schema.get_fields().iter().map(|field| field.name().to_owned()).collect();
        let has = |names: &[&str]| names.iter().any(|name| found.iter().any(|found| found == name));
        if !has(&["image", "images"]) {
            return Err(DataError::Column { path: path.to_path_buf(), wanted: "image".to_owned(), found });
        }
        let rows = RowIter::from_file_into(Box::new(reader));
        Ok(Self { rows, path: path.to_path_buf(), n_rows: 0, is_over: false })
    }

    fn row(&self, record: &Record) -> Result<Row, DataError> {
        let place = format!("{}:row {}", self.path.display(), self.n_rows);
        let column =
            |name: &str| record.get_column_iter().find(|(found, _)| *found == name).map(|(_, field)| field);
        let images: Vec<&Field> = match column("images").or_else(|| column("image")) {
            Some(Field::ListInternal(list)) => list.elements().iter().collect(),
            None | Some(Field::Null) => Vec::new(),
            Some(one) => vec![one],
        };
        if let Some(Field::ListInternal(texts)) = column("texts").or_else(|| column("text")) {
            let mut parts = Vec::new();
            if texts.elements().len() != images.len() {
                let found = format!("{} texts and {} pictures", texts.elements().len(), images.len());
                return Err(missing(&place, found).into());
            }
            for (text, image) in texts.elements().iter().zip(images) {
                if !matches!(image, Field::Null) {
                    parts.push(RowPart::Image(bytes(image, &place)?));
                }
                if let Field::Str(text) = text
                    && !text.is_empty()
                {
                    parts.push(RowPart::Text(text.clone()));
                }
            }
            return Ok(Row::new(place, parts));
        }
        if let Some(question) = Question::of(|name| column(name).map(value)) {
            let images = images.into_iter().map(|image| bytes(image, &place)).collect::<Result<_, _>>()?;
            return Ok(question.into_row(images, place)?);
        }
        let text = match column("text").or_else(|| column("caption")) {
            Some(Field::Str(text)) => text.clone(),
            Some(Field::Bytes(text)) => String::from_utf8(text.data().to_vec()).map_err(|error| {
                let offset = error.utf8_error().valid_up_to() as u64;
                DataError::InvalidUtf8 { path: place.clone().into(), offset }
            })?,
            None | Some(Field::Null) => String::new(),
            Some(other) => {
                return Err(DataError::ColumnType {
                    path: place.into(),
                    wanted: "text".to_owned(),
                    found: other.to_string().chars().take(40).collect(),
                });
            }
        };
        let images = images.into_iter().map(|image| bytes(image, &place)).collect::<Result<_, _>>()?;
        let parts = placed(&text, images, &place)?;
        Ok(Row::new(place, parts))
    }
}

impl RowSource for ParquetRows {
    fn next_row(&mut self) -> Result<Option<Row>, DataError> {
        if self.is_over {
            return Ok(None);
        }
        self.n_rows += 1;
        match guarded(|| self.rows.next().transpose()) {
            Ok(Some(record)) => {
                let is_short = |field: &Field| {
                    !matches!(field, Field::Bytes(_) | Field::Group(_) | Field::ListInternal(_))
                };
                let fields = record.get_column_iter().filter(|(_, field)| is_short(field));
                let fields = fields.map(|(name, field)| (name, value(field)));
                self.row(&record).map(|row| Some(row.with_fields(fields)))
            }
            Ok(None) => {
                self.is_over = true;
                Ok(None)
            }
            Err(error) => {
                self.is_over = true; // the rest of a page that is broken cannot be found
                Err(malformed(&self.path, format!("row {}", self.n_rows), &error))
            }
        }
    }

    fn is_over(&self) -> bool {
        self.is_over
    }
}

/// A text, a number, or lists and structures of them; null for what a question does not have.
fn value(field: &Field) -> Value {
    match field {
        Field::Str(text) => text.as_str().into(),
        Field::Bytes(text) => String::from_utf8_lossy(text.data()).into(),
        Field::Int(number) => (*number).into(),
        Field::Long(number) => (*number).into(),
        Field::Double(number) => (*number).into(),
        Field::Float(number) => f64::from(*number).into(),
        Field::Bool(is_so) => (*is_so).into(),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        Field::Group(group) => {
            group.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect()
        }
        _ => Value::Null,
    }
}

/// The bytes of a picture: themselves, or in a structure.
fn bytes(field: &Field, place: &str) -> Result<Vec<u8>, ImageError> {
    match field {
        Field::Bytes(bytes) => Ok(bytes.data().to_vec()),
        Field::Group(group) => {
            let mut fields = group.get_column_iter();
            match fields.find(|(name, _)| *name == "bytes") {
                Some((_, Field::Bytes(bytes))) => Ok(bytes.data().to_vec()),
                _ => Err(missing(place, "a structure without `bytes`".to_owned())),
            }
        }
        other => Err(missing(place, other.to_string().chars().take(40).collect())),
    }
}

fn missing(place: &str, found: String) -> ImageError {
    ImageError::Missing {
        place: place.to_owned(),
        name: "image".to_owned(),
        found,
        hint: "store the bytes of the pictures in the file, as `datasets` does with embed_external_files",
    }
}

/// The library has assertions that a damaged file can reach.
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(ParquetError::General("contradictory sizes".to_owned())))
}

fn malformed(path: &Path, place: String, error: &ParquetError) -> DataError {
    let damage = if matches!(error, ParquetError::EOF(_)) { Damage::CutOff } else { Damage::Content };
    DataError::Malformed {
        path: path.to_path_buf(),
        expected: "a parquet file",
        place,
        message: error.to_string(),
        damage,
    }
}
