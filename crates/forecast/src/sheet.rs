//! Tables as other programs write them: lines of text cells under a header, whatever the encoding and the delimiter.

mod json;
mod text;

use crate::{ForecastError, Warning, WarningKind, column::header::is_known};

/// Text cells under a header, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Sheet {
    header: Vec<String>,
    lines: Vec<Line>,
    delimiter: char,
    warnings: Vec<Warning>,
}

/// One line below the header.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    /// Counted from 1, the header included; of JSON, the number of the object.
    pub(crate) number: u64,
    pub(crate) cells: Vec<String>,
}

/// What may stand between two cells, the most likely first.
const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];

impl Sheet {
    /// Reads delimited text (comma, semicolon, tab, bar or aligned with spaces) in UTF-8, UTF-16 or Latin-1, or JSON: a
    /// list of objects, one object a line, or an object of columns.
    ///
    /// Lines that begin with `#` are comments. What was guessed is a warning.
    ///
    /// # Errors
    /// If the bytes are no text, or text that begins like JSON and is none.
    pub fn read(bytes: &[u8]) -> Result<Self, ForecastError> {
        let (text, note) = text::decode(bytes)?;
        let mut sheet = match text.trim_start().chars().next() {
            Some('[' | '{') => json::read(&text)?,
            _ => Self::delimited(&text)?,
        };
        sheet.warnings.extend(note.map(|note| Warning::new(WarningKind::Encoding, note)));
        Ok(sheet)
    }

    /// The names of the columns.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// What was guessed in reading.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// What stands between two cells; a comma where nothing does.
    pub(crate) fn delimiter(&self) -> char {
        self.delimiter
    }

    /// The cells of one column::header, empty where a line is too short.
    pub(crate) fn column(&self, idx: usize) -> impl Iterator<Item = &str> {
        self.lines.iter().map(move |line| line.cells.get(idx).map_or("", String::as_str))
    }

    fn delimited(text: &str) -> Result<Self, ForecastError> {
        // Spreadsheets write `sep=;` where the delimiter is not that of their language.
        let named = text.lines().next().and_then(|line| line.trim().strip_prefix("sep="));
        let named = named.and_then(|rest| rest.chars().next().filter(|_| rest.chars().count() == 1));
        let first_line = if named.is_some() { 2 } else { 1 };
        let text = if named.is_some() { text.split_once('\n').map_or("", |(_, rest)| rest) } else { text };
        let text = unmarked(text);
        let delimiter = match named {
            Some(delimiter) => delimiter,
            None => best_delimiter(&text),
        };
        let (header, mut lines) = if delimiter == ' ' { aligned(&text) } else { records(&text, delimiter)? };
        lines.iter_mut().for_each(|line| line.number += first_line - 1);
        let mut sheet = Self { header, lines, delimiter, warnings: Vec::new() };
        if delimiter == '|' {
            sheet.strip_markdown();
        }
        if !DELIMITERS[..1].contains(&delimiter) && sheet.header.len() > 1 {
            let what = match delimiter {
                ';' => "semicolons",
                '\t' => "tabs",
                '|' => "bars",
                ' ' => "spaces",
                _ => "the delimiter that its first line names",
            };
            sheet.warn(WarningKind::Delimiter, format!("The columns were read as separated by {what}."));
        }
        match text.lines().filter(|line| line.starts_with('#')).count() {
            0 => {}
            1 => sheet.warn(
                WarningKind::Comment,
                "1 line that begins with `#` was skipped as a comment.".to_owned(),
            ),
            n => sheet.warn(
                WarningKind::Comment,
                format!("{n} lines that begin with `#` were skipped as comments."),
            ),
        }
        Ok(sheet)
    }

    /// Drops the empty cells at both ends of a Markdown table and the line of dashes under its header.
    fn strip_markdown(&mut self) {
        let is_empty = |cell: Option<&String>| cell.is_some_and(String::is_empty);
        if !(is_empty(self.header.first()) && is_empty(self.header.last()) && self.header.len() > 2) {
            return;
        }
        let inner = |cells: &mut Vec<String>| {
            if cells.first().is_some_and(String::is_empty) {
                cells.remove(0);
            }
            if cells.last().is_some_and(String::is_empty) {
                cells.pop();
            }
        };
        inner(&mut self.header);
        self.lines.iter_mut().for_each(|line| inner(&mut line.cells));
        let is_rule = |cell: &String| cell.contains('-') && cell.chars().all(|c| matches!(c, '-' | ':'));
        self.lines.retain(|line| !line.cells.iter().all(is_rule));
    }

    fn warn(&mut self, kind: WarningKind, text: String) {
        self.warnings.push(Warning::new(kind, text));
    }
}

/// `text` with the mark taken off a header that is written as a comment.
fn unmarked(text: &str) -> String {
    let Some(first) = text.lines().find(|line| !line.trim().is_empty()) else {
        return text.to_owned();
    };
    let Some(rest) = first.strip_prefix('#') else { return text.to_owned() };
    let next = text.lines().filter(|line| !line.trim().is_empty()).find(|line| !line.starts_with('#'));
    let score = |line: &str| {
        let cells = |delimiter: char| line.split(delimiter).map(|cell| cell.trim().trim_matches('"'));
        let known = |delimiter| cells(delimiter).filter(|cell| is_known(cell)).count();
        DELIMITERS.into_iter().chain([' ']).map(known).max().unwrap_or(0)
    };
    if score(rest) >= 2 && score(rest) > next.map_or(0, score) {
        text.replacen(first, rest.trim_start(), 1)
    } else {
        text.to_owned()
    }
}

/// The delimiter that makes the most of the header: known names first, then the number of cells.
fn best_delimiter(text: &str) -> char {
    let mut best = (0, 1, ',');
    for delimiter in DELIMITERS {
        let header = records_reader(text, delimiter).headers().cloned().unwrap_or_default();
        let known = header.iter().filter(|cell| is_known(cell)).count();
        if (known, header.len()) > (best.0, best.1) {
            best = (known, header.len(), delimiter);
        }
    }
    if best.1 == 1 {
        let known = aligned(text).0.iter().filter(|cell| is_known(cell)).count();
        if known >= 2 {
            return ' ';
        }
    }
    best.2
}

fn records_reader(text: &str, delimiter: char) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .delimiter(u8::try_from(delimiter).unwrap_or(b','))
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .flexible(true)
        .from_reader(text.as_bytes())
}

fn records(text: &str, delimiter: char) -> Result<(Vec<String>, Vec<Line>), ForecastError> {
    let cells = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect::<Vec<_>>();
    let mut reader = records_reader(text, delimiter);
    let header = cells(reader.headers()?);
    let mut lines = Vec::new();
    for record in reader.records() {
        let record = record?;
        let number = record.position().map_or(0, csv::Position::line);
        // A line of delimiters alone is how spreadsheets write an empty one.
        if record.iter().any(|cell| !cell.is_empty()) {
            lines.push(Line { number, cells: cells(&record) });
        }
    }
    Ok((header, lines))
}

/// Cells between runs of white space.
fn aligned(text: &str) -> (Vec<String>, Vec<Line>) {
    let cells = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut lines = text
        .lines()
        .zip(1..)
        .filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(line, number)| Line { number, cells: cells(line) });
    let header = lines.next().map_or(Vec::new(), |line| line.cells);
    (header, lines.collect())
}
