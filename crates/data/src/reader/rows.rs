//! Whole rows of a table, for data that are small enough to be held: questions, answers, labels.

use std::{
    fs::File,
    io::{BufRead as _, Read as _},
    panic::AssertUnwindSafe,
    path::Path,
};

use parquet::{
    errors::ParquetError,
    file::reader::{FileReader as _, SerializedFileReader},
    record::{Field, Row as ParquetRow},
};
use serde_json::{Map, Value};

use super::{Position, content, not_utf8, parquet as columns, read_error};
use crate::{DataError, source::Compression};

/// Most bytes of unpacked content that are held.
const MAX_BYTES: u64 = 1 << 31;

/// One row of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The line, or in parquet files the row, counted from 1.
    pub line: usize,
    /// Its fields.
    pub fields: Map<String, Value>,
}

/// The rows of a `.jsonl`, `.csv` or `.tsv` file (each also as `.gz` or `.zst`), or of a `.parquet` file. The first
/// line of a `.csv` or `.tsv` file names the columns, whose values are texts.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("quiz.jsonl");
/// std::fs::write(&path, "{\"question\": \"2 + 2?\", \"answer\": 4}\n").unwrap();
/// let rows = data::rows(&path)?;
/// assert_eq!((rows[0].line, rows[0].fields["answer"].as_u64()), (1, Some(4)));
/// # Ok::<(), data::DataError>(())
/// ```
///
/// # Errors
/// If the file cannot be read, or a row is not what the ending promises.
pub fn rows(path: &Path) -> Result<Vec<Row>, DataError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let (stem, compression) = match name.rsplit_once('.') {
        Some((stem, "gz")) => (stem, Compression::Gzip),
        Some((stem, "zst")) => (stem, Compression::Zstd),
        _ => (&*name, Compression::None),
    };
    match (stem.rsplit_once('.').map(|(_, ending)| ending), compression) {
        (Some("jsonl"), _) => json_lines(path, compression),
        (Some("csv"), _) => table(path, compression, b','),
        (Some("tsv"), _) => table(path, compression, b'\t'),
        (Some("parquet"), Compression::None) => parquet_rows(path),
        _ => Err(DataError::OtherFormat {
            path: path.to_path_buf(),
            expected: "a table",
            found: "a file with another ending".to_owned(),
            hint: "give a .jsonl, .csv or .tsv file (also as .gz or .zst), or a .parquet file".to_owned(),
        }),
    }
}

/// The lines of a `.tsv` file that names no columns, cut at tabs: quotes have no meaning. `columns` are their names.
///
/// # Errors
/// If the file cannot be read, or a line has another number of columns.
pub fn rows_of_columns(path: &Path, columns: &[String]) -> Result<Vec<Row>, DataError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let compression = match name.rsplit_once('.') {
        Some((_, "gz")) => Compression::Gzip,
        Some((_, "zst")) => Compression::Zstd,
        _ => Compression::None,
    };
    let position = Position::default();
    let content = content::open(path, compression, "a table", &position)?;
    let (mut rows, mut n_bytes) = (Vec::new(), 0);
    for (i, line) in content.input.split(b'\n').enumerate() {
        let line = line.map_err(|error| read_error(path, &position, error))?;
        let text = text(path, "a table as UTF-8 text", line, (i, n_bytes))?;
        n_bytes += text.len() as u64 + 1;
        check_size(path, n_bytes)?;
        let text = text.strip_prefix('\u{feff}').filter(|_| i == 0).unwrap_or(&text);
        let values: Vec<&str> = text.strip_suffix('\r').unwrap_or(text).split('\t').collect();
        if values.len() != columns.len() {
            let expected = format!("{} columns, found {}", columns.len(), values.len());
            return Err(malformed(path, "lines of the same columns", i + 1, &expected));
        }
        let fields = columns.iter().zip(values).map(|(name, value)| (name.clone(), value.into()));
        rows.push(Row { line: i + 1, fields: fields.collect() });
    }
    Ok(rows)
}

fn json_lines(path: &Path, compression: Compression) -> Result<Vec<Row>, DataError> {
    let position = Position::default();
    let content = content::open(path, compression, "JSON lines", &position)?;
    let mut rows = Vec::new();
    let mut n_bytes = 0;
    for (i, line) in content.input.split(b'\n').enumerate() {
        let line = line.map_err(|error| read_error(path, &position, error))?;
        let text = text(path, "JSON lines as UTF-8 text", line, (i, n_bytes))?;
        n_bytes += text.len() as u64 + 1;
        check_size(path, n_bytes)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        if text.trim().is_empty() {
            continue;
        }
        let fields = serde_json::from_str(text)
            .map_err(|error| malformed(path, "a JSON object a line", i + 1, &error))?;
        rows.push(Row { line: i + 1, fields });
    }
    Ok(rows)
}

fn table(path: &Path, compression: Compression, delimiter: u8) -> Result<Vec<Row>, DataError> {
    let position = Position::default();
    let mut text = Vec::new();
    let content = content::open(path, compression, "a table", &position)?;
    content
        .input
        .take(MAX_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(|error| read_error(path, &position, error))?;
    check_size(path, text.len() as u64)?;
    if std::str::from_utf8(&text).is_err() {
        return Err(not_utf8(path, "a table as UTF-8 text", &text, (0, 0)));
    }
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(&text[..]);
    let at = |error: &csv::Error| error.position().map_or(1, |position| position.line() as usize);
    let refuse = |error: csv::Error| malformed(path, "rows as long as the first", at(&error), &error);
    let names = reader.headers().map_err(refuse)?.clone();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(refuse)?;
        let fields = names.iter().zip(&record).map(|(name, value)| (name.to_owned(), value.into()));
        let line = record.position().map_or(0, |position| position.line() as usize);
        rows.push(Row { line, fields: fields.collect() });
    }
    Ok(rows)
}

fn parquet_rows(path: &Path) -> Result<Vec<Row>, DataError> {
    let mut file = File::open(path).map_err(DataError::io("read", path))?;
    let n_bytes = file.metadata().map_err(DataError::io("read", path))?.len();
    columns::check_magic(&mut file, path, n_bytes)?;
    let fail = |place: &str| {
        let place = place.to_owned();
        move |error: ParquetError| columns::malformed(path, &place, &error)
    };
    let file = columns::guarded(|| SerializedFileReader::new(file)).map_err(fail("the footer"))?;
    let groups = file.metadata().row_groups();
    let is_whole = |group: &parquet::file::metadata::RowGroupMetaData| {
        group.columns().iter().all(|column| columns::is_inside(column, n_bytes))
    };
    if !groups.iter().all(is_whole) {
        return Err(fail("the footer")(ParquetError::General("a column outside of the file".to_owned())));
    }
    let mut found = columns::guarded(|| file.get_row_iter(None)).map_err(fail("the footer"))?;
    let mut rows = Vec::new();
    loop {
        let line = rows.len() + 1;
        let next = columns::guarded(AssertUnwindSafe(|| found.next().transpose()));
        let Some(row) = next.map_err(fail(&format!("row {line}")))? else { return Ok(rows) };
        rows.push(Row { line, fields: object(&row) });
    }
}

fn object(row: &ParquetRow) -> Map<String, Value> {
    row.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect()
}

fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(x) => (*x).into(),
        Field::Byte(x) => (*x).into(),
        Field::Short(x) => (*x).into(),
        Field::Int(x) => (*x).into(),
        Field::Long(x) => (*x).into(),
        Field::UByte(x) => (*x).into(),
        Field::UShort(x) => (*x).into(),
        Field::UInt(x) => (*x).into(),
        Field::ULong(x) => (*x).into(),
        Field::Float(x) => (*x).into(),
        Field::Double(x) => (*x).into(),
        Field::Str(x) => x.as_str().into(),
        Field::Bytes(x) => String::from_utf8_lossy(x.data()).into(),
        Field::Group(row) => Value::Object(object(row)),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        other => other.to_string().into(),
    }
}

/// The text of a line; `before` are the lines and the bytes before it.
fn text(
    path: &Path,
    expected: &'static str,
    line: Vec<u8>,
    before: (usize, u64),
) -> Result<String, DataError> {
    String::from_utf8(line).map_err(|error| not_utf8(path, expected, error.as_bytes(), before))
}

fn check_size(path: &Path, n_bytes: u64) -> Result<(), DataError> {
    if n_bytes <= MAX_BYTES {
        return Ok(());
    }
    Err(DataError::OtherFormat {
        path: path.to_path_buf(),
        expected: "a table of at most 2 GiB",
        found: "a longer one".to_owned(),
        hint: "give the table of the questions alone".to_owned(),
    })
}

fn malformed(path: &Path, expected: &'static str, line: usize, error: &dyn std::fmt::Display) -> DataError {
    let mut place = path.as_os_str().to_owned();
    place.push(format!(":{line}"));
    let (found, hint) = (error.to_string(), "correct the row, or download the file again".to_owned());
    DataError::OtherFormat { path: place.into(), expected, found, hint }
}

#[cfg(test)]
mod tests;
