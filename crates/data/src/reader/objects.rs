//! Files of JSON objects as they are, for whoever knows their fields: conversations, preferences, problems.

use std::{io::Read as _, path::Path};

use serde_json::{Map, Value};

use super::{Position, content, not_utf8, read_error};
use crate::{Damage, DataError, source::Compression};

/// Largest unpacked file that is read at once.
const MAX_BYTES: u64 = 4 << 30;

/// A row of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonRow {
    /// Its line, or in an array its number, from 1.
    pub number: usize,
    /// Its fields.
    pub fields: Map<String, Value>,
}

/// Reads every object of a file: one a line, or an array of them; `.gz` and `.zst` are unpacked, UTF-16 is decoded. Blank lines
/// are passed over.
///
/// # Errors
/// If the file cannot be read, or a row is not a JSON object; the row is named.
pub fn json_rows(path: &Path) -> Result<Vec<JsonRow>, DataError> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let compression = match ending {
        "gz" => Compression::Gzip,
        "zst" => Compression::Zstd,
        _ => Compression::None,
    };
    let position = Position::default();
    let opened = content::open(path, compression, "JSON objects", &position)?;
    let mut bytes = Vec::new();
    let read = opened.input.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| read_error(path, &position, error))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| not_utf8(path, "JSON objects as UTF-8 text", error.as_bytes(), (0, 0)))?;
    let malformed = |place: String, message: String| DataError::Malformed {
        path: path.to_path_buf(),
        expected: "JSON objects, one a line or in an array",
        place,
        message,
        damage: Damage::Content,
    };
    if text.len() as u64 > MAX_BYTES {
        return Err(malformed("its size".into(), format!("more than {MAX_BYTES} bytes; split the file")));
    }
    let object = |number: usize, value: Value| match value {
        Value::Object(fields) => Ok(JsonRow { number, fields }),
        other => Err(malformed(format!("row {number}"), format!("{} is not an object", shortened(&other)))),
    };
    if text.trim_start().starts_with('[') {
        let error = |error: serde_json::Error| {
            malformed(format!("line {}, column {}", error.line(), error.column()), error.to_string())
        };
        let rows: Vec<Value> = serde_json::from_str(&text).map_err(error)?;
        return rows.into_iter().enumerate().map(|(i, row)| object(i + 1, row)).collect();
    }
    let lines = text.split('\n').enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(i, line)| {
            let line = line.trim_start_matches('\u{feff}');
            let value = serde_json::from_str(line)
                .map_err(|error| malformed(format!("line {}", i + 1), error.to_string()))?;
            object(i + 1, value)
        })
        .collect()
}

fn shortened(value: &Value) -> String {
    let text = value.to_string();
    let short: String = text.chars().take(40).collect();
    if short.len() < text.len() { format!("`{short}…`") } else { format!("`{short}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_arrays_are_the_same_rows() {
        let dir = tempfile::tempdir().unwrap();
        let read = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            json_rows(&path)
        };
        let rows = read("a.jsonl", b"{\"a\":1}\n\n{\"a\":2}").unwrap();
        assert_eq!(rows.iter().map(|row| row.number).collect::<Vec<_>>(), [1, 3]);
        let array = read("a.json", b" [{\"a\":1},\n{\"a\":2}]").unwrap();
        assert_eq!(array.iter().map(|row| &row.fields["a"]).collect::<Vec<_>>(), [1, 2]);
        let marked = read("b.jsonl", "\u{feff}{\"a\":\"é\"}\r\n".as_bytes()).unwrap();
        assert_eq!(marked[0].fields["a"], "é");
        assert!(read("none.jsonl", b"").unwrap().is_empty());
    }

    #[test]
    fn what_is_not_an_object_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for (bytes, expected) in [
            ("{\"a\":1}\n{\"a\":", "line 2"),
            ("{\"a\":1}\n7\n", "row 2"),
            ("[{\"a\":1}, \"b\"]", "row 2"),
            ("[{\"a\":1},\n {\"a\" 2}]", "line 2, column"),
        ] {
            let path = dir.path().join("rows.json");
            std::fs::write(&path, bytes).unwrap();
            let error = json_rows(&path).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("rows.json"), "{bytes}: {error}");
        }
        assert!(json_rows(&dir.path().join("missing.jsonl")).is_err());
    }
}
