//! Conversations, in the forms in which they are published.

mod forms;
mod messages;
mod pictures;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use data::{JsonRow, Message, image::ImageSource, json_rows};

use crate::{AlignError, environment::Prompt};
use pictures::Pictures;

pub(crate) use forms::conversation;
pub(crate) use messages::{ROLES, messages, text};

/// A conversation and where it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// In order.
    pub messages: Vec<Message>,
    /// Its pictures in the order of their places in the messages, not read yet.
    pub images: Vec<ImageSource>,
    /// Its file.
    pub path: PathBuf,
    /// Its line, or its number in an array, from 1.
    pub row: usize,
}

/// What becomes of a row that is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRow {
    /// It stops the program.
    Refuse,
    /// It is left out and counted.
    Skip,
}

/// Rows that were left out, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped(pub BTreeMap<String, usize>);

impl Dropped {
    /// Counts one more.
    pub fn add(&mut self, reason: impl Into<String>) {
        *self.0.entry(reason.into()).or_default() += 1;
    }

    /// Those of another step beside these.
    pub fn join(&mut self, other: Self) {
        for (reason, n) in other.0 {
            *self.0.entry(reason).or_default() += n;
        }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
        f.write_str(&all.join(", "))
    }
}

/// What was read from files.
#[derive(Clone, Debug)]
pub struct Read<T> {
    /// In the order of the files and their rows.
    pub rows: Vec<T>,
    /// Rows that were left out.
    pub dropped: Dropped,
}

/// Reads the conversations of JSON files, one object a line or in an array.
///
/// Each row is read by the fields that it has: OpenAI's `messages` (contents that are null or in parts, tool calls), ShareGPT's
/// `conversations`, Alpaca's `instruction` with `input` and `output` or `response`, and `prompt` with `completion`. Pictures are
/// parts of a content, or LLaVA's `<image>` for those in the row's `image` or `images`.
///
/// # Errors
/// If a file cannot be read; with [`OnRow::Refuse`] at the first row that is in none of these forms.
pub fn read_conversations(paths: &[PathBuf], on_row: OnRow) -> Result<Read<Conversation>, AlignError> {
    read(paths, on_row, |path, row| {
        let mut fields = row.fields.clone();
        let pictures = Pictures::take(&mut fields, path.parent().unwrap_or(Path::new("")))?;
        let mut messages = conversation(&fields)?;
        pictures.put(&mut messages);
        Ok(Conversation { messages, images: pictures.sources, path: path.to_path_buf(), row: row.number })
    })
}

/// Reads prompts: `prompt` as a text or a list of messages, or `messages` up to the last answer.
///
/// # Errors
/// As [`read_conversations`].
pub fn read_prompts(paths: &[PathBuf], on_row: OnRow) -> Result<Read<Prompt>, AlignError> {
    read(paths, on_row, |path, row| {
        let messages = forms::prompt(&row.fields)?;
        Ok(Prompt { messages, fields: row.fields.clone(), path: path.to_path_buf(), row: row.number })
    })
}

/// Why a row is not what it should be.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl Problem {
    pub(crate) fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into() }
    }
}

/// Reads rows of files with `parse`.
pub(crate) fn read<T>(
    paths: &[PathBuf],
    on_row: OnRow,
    parse: impl Fn(&Path, &JsonRow) -> Result<T, Problem>,
) -> Result<Read<T>, AlignError> {
    let (mut rows, mut dropped) = (Vec::new(), Dropped::default());
    for path in paths {
        for row in json_rows(path)? {
            match (parse(path, &row), on_row) {
                (Ok(parsed), _) => rows.push(parsed),
                (Err(problem), OnRow::Skip) => dropped.add(format!("without {}", problem.expected)),
                (Err(Problem { expected, found }), OnRow::Refuse) => {
                    return Err(AlignError::Row { path: path.clone(), row: row.number, expected, found });
                }
            }
        }
    }
    Ok(Read { rows, dropped })
}
