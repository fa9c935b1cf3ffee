//! `.jsonl`: a line is one document, an object with a text field. Blank lines are passed over.

use std::{
    fmt,
    io::BufRead,
    path::{Path, PathBuf},
};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{Item, Position, Raw, decode, read_error};
use crate::{DataError, InvalidUtf8};

/// Reads a line at a time.
pub(super) struct JsonlReader {
    input: Box<dyn BufRead + Send>,
    path: PathBuf,
    field: String,
    policy: InvalidUtf8,
    position: Position,
    line: u64,
    offset: u64,
}

impl JsonlReader {
    pub(super) fn new(
        input: Box<dyn BufRead + Send>,
        path: &Path,
        field: &str,
        policy: InvalidUtf8,
        position: &Position,
    ) -> Self {
        let (path, field, position) = (path.to_path_buf(), field.to_owned(), position.clone());
        Self { input, path, field, policy, position, line: 0, offset: 0 }
    }

    pub(super) fn next_item(&mut self) -> Result<Option<Item>, DataError> {
        loop {
            let mut bytes = Vec::new();
            self.input
                .read_until(b'\n', &mut bytes)
                .map_err(|error| read_error(&self.path, &self.position, error))?;
            if bytes.is_empty() {
                return Ok(None);
            }
            self.line += 1;
            let start = self.offset;
            self.offset += bytes.len() as u64;
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let raw = match decode(bytes, start, || self.path.clone(), self.policy)? {
                Item::Skipped => return Ok(Some(Item::Skipped)),
                Item::Document(raw) => raw,
            };
            let text = self.parse(&raw.text)?;
            return Ok(Some(Item::Document(Raw { text, was_replaced: raw.was_replaced })));
        }
    }

    /// The text field of one line. `null` is an empty text.
    fn parse(&self, line: &str) -> Result<String, DataError> {
        let mut deserializer = serde_json::Deserializer::from_str(line);
        let found = Field(&self.field)
            .deserialize(&mut deserializer)
            .and_then(|found| deserializer.end().map(|()| found))
            .map_err(|error| DataError::Malformed {
                path: self.path.clone(),
                expected: "a JSON object a line",
                place: format!("line {}, column {}", self.line, error.column()),
                message: without_place(&error),
            })?;
        match found {
            Found::Text(text) => Ok(text),
            Found::Other(found) => Err(DataError::ColumnType {
                path: self.place(),
                wanted: self.field.clone(),
                found: found.to_owned(),
            }),
            Found::Missing(found) => {
                Err(DataError::Column { path: self.place(), wanted: self.field.clone(), found })
            }
        }
    }

    fn place(&self) -> PathBuf {
        PathBuf::from(format!("{}:{}", self.path.display(), self.line))
    }
}

/// The parser's message without its own line number, which counts within our line.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

enum Found {
    Text(String),
    Other(&'static str),
    Missing(Vec<String>),
}

/// Takes one field of an object and passes over the others without building them.
struct Field<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with a field `{}`", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut found = None;
        let mut names = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == self.0 {
                found = Some(match map.next_value::<serde_json::Value>()? {
                    serde_json::Value::String(text) => Found::Text(text),
                    serde_json::Value::Null => Found::Text(String::new()),
                    serde_json::Value::Bool(_) => Found::Other("true or false"),
                    serde_json::Value::Number(_) => Found::Other("a number"),
                    serde_json::Value::Array(_) => Found::Other("a list"),
                    serde_json::Value::Object(_) => Found::Other("an object"),
                });
            } else {
                map.next_value::<IgnoredAny>()?;
                names.push(name);
            }
        }
        Ok(found.unwrap_or(Found::Missing(names)))
    }
}
