//! JSON lines with references to pictures beside them.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;
use serde_json::Value;

use super::{Question, Row, RowPart, RowSource, place_images::placed};
use crate::{
    DataError,
    error::Damage,
    image::{ImageError, ImageLimits, read_image},
};

/// Rows `{"text": "… <image> …", "images": ["a.png", …]}`, or with one `image`, or in the way of OBELICS with lists `texts`
/// and `images` of the same length, of which at each place one is null. An image is a name, or an object with a `path`. Rows
/// with a `question` and an `answer` or `answers` are questions, whatever their `text`; rows with a `name` and without a text
/// ask what the picture shows.
pub struct JsonLines {
    file: Box<dyn BufRead>,
    path: PathBuf,
    limits: ImageLimits,
    n_lines: u64,
    is_over: bool,
}

impl JsonLines {
    /// Opens a file; pictures are looked for from its folder on.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(path: &Path, limits: ImageLimits) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io("read", path))?;
        let file = BufReader::new(file);
        let is_packed = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
        let file: Box<dyn BufRead> = match is_packed {
            true => Box::new(BufReader::new(MultiGzDecoder::new(file))),
            false => Box::new(file),
        };
        Ok(Self { file, path: path.to_path_buf(), limits, n_lines: 0, is_over: false })
    }

    fn row(&self, line: &[u8]) -> Result<Row, DataError> {
        let value: Value = serde_json::from_slice(line).map_err(|error| self.malformed(error.to_string()))?;
        let row = self.content(&value)?;
        let fields = value.as_object().into_iter().flatten();
        Ok(row.with_fields(fields.map(|(name, value)| (name, short(value)))))
    }

    fn malformed(&self, message: String) -> DataError {
        DataError::Malformed {
            path: self.path.clone(),
            expected: "text with pictures, such as {\"text\": \"<image> A boat.\", \"images\": [\"boat.png\"]}",
            place: format!("line {}", self.n_lines),
            message,
            damage: Damage::Row,
        }
    }

    fn content(&self, row: &Value) -> Result<Row, DataError> {
        let place = format!("{}:line {}", self.path.display(), self.n_lines);
        let list = |name: &str| row.get(name).and_then(Value::as_array).map(Vec::as_slice);
        if let (Some(texts), Some(images)) = (list("texts"), list("images")) {
            if texts.len() != images.len() {
                let message = format!("{} `texts` and {} `images`", texts.len(), images.len());
                return Err(self.malformed(message));
            }
            let mut parts = Vec::new();
            for (text, image) in texts.iter().zip(images) {
                if !image.is_null() {
                    parts.push(RowPart::Image(self.image(image, &place)?));
                }
                if let Some(text) = text.as_str().filter(|text| !text.is_empty()) {
                    parts.push(RowPart::Text(text.to_owned()));
                }
            }
            return Ok(Row::new(place, parts));
        }
        let single = row.get("image").filter(|image| !image.is_null());
        let names = list("images").unwrap_or_else(|| single.map_or(&[][..], std::slice::from_ref));
        let images = || names.iter().map(|name| self.image(name, &place)).collect::<Result<Vec<_>, _>>();
        if let Some(question) = Question::of(|name| row.get(name).cloned()) {
            return Ok(question.into_row(images()?, place)?);
        }
        let Some(text) = row.get("text").or_else(|| row.get("caption")).and_then(Value::as_str) else {
            return Err(
                self.malformed("no string `text` or `name`, and no `question` with an `answer`".to_owned())
            );
        };
        let parts = placed(text, images()?, &place)?;
        Ok(Row::new(place, parts))
    }

    fn image(&self, value: &Value, place: &str) -> Result<Vec<u8>, ImageError> {
        let Some(name) = value.as_str().or_else(|| value.get("path").and_then(Value::as_str)) else {
            return Err(ImageError::Missing {
                place: place.to_owned(),
                name: "image".to_owned(),
                found: value.to_string().chars().take(60).collect(),
                hint: "give the name of a file, or an object with a `path`",
            });
        };
        let folder = self.path.parent().unwrap_or(Path::new(""));
        read_image(&folder.join(name), name, place, &self.limits)
    }
}

/// The value unless it is one of those that no row is told apart by.
fn short(value: &Value) -> Value {
    if value.is_array() || value.is_object() { Value::Null } else { value.clone() }
}

impl RowSource for JsonLines {
    fn next_row(&mut self) -> Result<Option<Row>, DataError> {
        loop {
            let mut line = Vec::new();
            let read = self.file.read_until(b'\n', &mut line);
            if !matches!(read, Ok(1..)) {
                self.is_over = true;
            }
            if read.map_err(DataError::io("read", &self.path))? == 0 {
                return Ok(None);
            }
            self.n_lines += 1;
            let line = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| self.n_lines == 1).unwrap_or(&line);
            if !line.trim_ascii().is_empty() {
                return self.row(line).map(Some);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.is_over
    }
}
