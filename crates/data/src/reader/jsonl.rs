//! `.jsonl`: a line is one document, an object with a text field. Blank lines are passed over.

use std::{
    io::{self, BufRead},
    path::{Path, PathBuf},
};

use super::{Item, Position, content, decode, read_error, row, sniff};
use crate::{DataError, InvalidUtf8, error::Damage, source::Compression};

/// A longer line is no row: it would fill the memory.
const MAX_LINE_BYTES: usize = 1 << 30;

/// Reads a line at a time.
pub(super) struct JsonlReader {
    /// None after an error that leaves the rest unreadable.
    input: Option<Box<dyn BufRead + Send>>,
    path: PathBuf,
    field: String,
    policy: InvalidUtf8,
    position: Position,
    line: u64,
    offset: u64,
}

/// What a line is read as.
enum Line {
    Row(Vec<u8>),
    TooLong,
    End,
}

impl JsonlReader {
    /// `rows` are the field that holds the text and what becomes of bad bytes in it.
    pub(super) fn open(
        path: &Path,
        compression: Compression,
        rows: (&str, InvalidUtf8),
        position: &Position,
        notes: &mut Vec<String>,
    ) -> Result<Self, DataError> {
        let content = content::open(path, compression, "JSON lines", position)?;
        if let Some(kind) = sniff::other_than_json_lines(&content.head) {
            return Err(DataError::OtherFormat {
                path: path.to_path_buf(),
                expected: "JSON lines",
                found: kind.name.to_owned(),
                hint: kind.hint.to_owned(),
            });
        }
        notes.extend(content.notes);
        let (path, field, position) = (path.to_path_buf(), rows.0.to_owned(), position.clone());
        let (input, offset) = (Some(content.input), content.n_mark);
        Ok(Self { input, path, field, policy: rows.1, position, line: 0, offset })
    }

    pub(super) fn next_item(&mut self) -> Result<Option<Item>, DataError> {
        while let Some(input) = &mut self.input {
            let mut n_bytes = 0;
            let line = match read_line(input, MAX_LINE_BYTES, &mut n_bytes) {
                Ok(line) => line,
                Err(error) => {
                    self.input = None;
                    return Err(read_error(&self.path, &self.position, error));
                }
            };
            self.line += 1;
            let start = self.offset;
            self.offset += n_bytes;
            let bytes = match line {
                Line::End => return Ok(None),
                Line::TooLong => {
                    let message = format!("a line of {n_bytes} bytes; a row may have {MAX_LINE_BYTES}");
                    return Err(self.malformed(String::new(), message, Damage::Memory));
                }
                Line::Row(bytes) => bytes,
            };
            // Files that were joined may each bring their mark.
            let mark: &[u8] = "\u{feff}".as_bytes();
            let row = bytes.strip_prefix(mark).unwrap_or(&bytes);
            if row.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            return self.item(row, start + (bytes.len() - row.len()) as u64).map(Some);
        }
        Ok(None)
    }

    /// The document of one line, which begins at `start` in the file's content. `null` is an empty text.
    fn item(&self, row: &[u8], start: u64) -> Result<Item, DataError> {
        let (path, wanted) = (self.place(), self.field.clone());
        match row::text_of(row, &self.field) {
            Ok(row::Found::Text(text)) => decode(text, self.policy, |_| match std::str::from_utf8(row) {
                Ok(_) => DataError::Surrogate { path },
                Err(error) => DataError::InvalidUtf8 {
                    path: self.path.clone(),
                    offset: start + error.valid_up_to() as u64,
                },
            }),
            Ok(row::Found::Missing(found)) => Err(DataError::Column { path, wanted, found }),
            Ok(row::Found::Repeated) => Err(DataError::Repeated { path, wanted }),
            Err(row::BadRow::OtherType(found)) => {
                Err(DataError::ColumnType { path, wanted, found: found.to_owned() })
            }
            Err(row::BadRow::Syntax { message, column, is_end }) => {
                let is_cut_off = is_end && !row.ends_with(b"\n");
                let damage = if is_cut_off { Damage::CutOff } else { Damage::Row };
                let message = match row.trim_ascii().iter().all(|&byte| byte == 0) {
                    true => "NUL bytes, as a crash of the machine can leave them".to_owned(),
                    false => message,
                };
                Err(self.malformed(format!(", column {column}"), message, damage))
            }
        }
    }

    fn malformed(&self, column: String, message: String, damage: Damage) -> DataError {
        let place = format!("line {}{column}", self.line);
        DataError::Malformed {
            path: self.path.clone(),
            expected: "a JSON object a line",
            place,
            message,
            damage,
        }
    }

    fn place(&self) -> PathBuf {
        let mut place = self.path.clone().into_os_string();
        place.push(format!(":{}", self.line));
        place.into()
    }
}

/// Reads to the next line feed, and counts what it read. Of a longer line than `max_bytes` nothing is kept.
fn read_line(input: &mut impl BufRead, max_bytes: usize, n_bytes: &mut u64) -> io::Result<Line> {
    let mut line = Vec::new();
    let mut is_too_long = false;
    loop {
        let buffer = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            buffer => buffer?,
        };
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let part = &buffer[..end.map_or(buffer.len(), |end| end + 1)];
        is_too_long |= line.len() + part.len() > max_bytes;
        if is_too_long {
            line = Vec::new();
        } else {
            line.try_reserve(part.len()).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
            line.extend_from_slice(part);
        }
        let n_part = part.len();
        *n_bytes += n_part as u64;
        input.consume(n_part);
        if end.is_some() || n_part == 0 {
            return Ok(match (*n_bytes, is_too_long) {
                (0, _) => Line::End,
                (_, true) => Line::TooLong,
                (_, false) => Line::Row(line),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_passed_over_in_bounded_memory() {
        let mut input = io::BufReader::with_capacity(3, &b"ab\n12345678\n\nlast"[..]);
        let mut lines = Vec::new();
        loop {
            let mut n_bytes = 0;
            match read_line(&mut input, 5, &mut n_bytes).unwrap() {
                Line::End => break,
                Line::TooLong => lines.push(format!("{n_bytes} bytes")),
                Line::Row(row) => lines.push(String::from_utf8(row).unwrap()),
            }
        }
        assert_eq!(lines, ["ab\n", "9 bytes", "\n", "last"]);
    }
}
