//! Files that the user names for output, and what may be replaced there: what this program wrote.

use std::{
    fs,
    io::{ErrorKind, Read as _},
    path::{Path, PathBuf},
};

use align::rbrm::RbrmFile;
use anyhow::Context as _;
use base::{AtomicFile, FileError};
use eval::{
    Score, TaskSummary,
    picture_likelihood::{PageLoss, Pick},
    pictures::PictureAnswer,
};
use forecast::Verdict;
use model::{checkpoint, gguf};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    commands::explain::Numbers,
    output,
    report::{PAGE_WRITER, WRITER},
    safety::SafetyTable,
};

/// A file to write, and the option that named it.
#[derive(Clone, Copy)]
pub(crate) struct OutputFile<'a> {
    pub(crate) path: &'a Path,
    pub(crate) option: &'static str,
    pub(crate) kind: Kind,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plot,
    Seal,
    Verdict,
    /// Of points. Another program's look the same.
    Table,
    Gguf,
    Logits,
    Conversation,
    Scores,
    /// Of benchmarks.
    Summary,
    /// About pictures.
    Answers,
    /// Names picked for pictures.
    Picks,
    /// Losses of pages of picture books.
    Pages,
    /// Of an evaluation, as HTML.
    Page,
    /// Of rule-based rewards.
    Grader,
    /// What alignment did.
    Safety,
    /// Answers for a person to grade.
    Sheet,
    /// Of what an answer depends on, as a PNG.
    Map,
    /// The same in numbers.
    Numbers,
}

/// No file of ours that is read whole to be known is longer.
const MAX_BYTES: u64 = 1 << 26;

impl OutputFile<'_> {
    /// Refuses what must not be replaced and what cannot be written, before anything is computed.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.check_existing()?;
        // Made and removed again.
        AtomicFile::create(self.path).map(drop).map_err(|error| self.failed(error))
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> anyhow::Result<()> {
        self.check_existing()?;
        let write = if self.kind.is_kept() { base::write_new } else { base::write };
        write(self.path, bytes).map_err(|error| self.failed(error))
    }

    /// Writes over what the caller knows to be its own.
    pub(crate) fn replace(&self, bytes: &[u8]) -> anyhow::Result<()> {
        base::write(self.path, bytes).map_err(|error| self.failed(error))
    }

    fn check_existing(&self) -> anyhow::Result<()> {
        let Self { path, option, kind } = self;
        let Ok(meta) = fs::metadata(path) else { return Ok(()) };
        let shown = path.display();
        if base::is_stream(path) {
            return Ok(());
        }
        anyhow::ensure!(
            !meta.is_dir(),
            "expected a file as {option}, `{shown}` is a folder\nhint: add a name, such as {}",
            path.join(kind.example()).display()
        );
        if !meta.is_file() {
            return Ok(());
        }
        anyhow::ensure!(
            !kind.is_kept(),
            "expected no file at `{shown}`, found one: {} is not replaced\n\
             hint: choose another {option}, or move `{shown}` away",
            kind.noun()
        );
        let is_ours = meta.len() == 0
            || kind.wrote(path, meta.len()).with_context(|| {
                format!("cannot look into `{shown}`\nhint: choose another file with {option}")
            })?;
        anyhow::ensure!(
            is_ours,
            "expected nothing, or {} that maquette wrote, at `{shown}`, found another file\n\
             hint: choose another file with {option}, or delete this one",
            kind.noun()
        );
        anyhow::ensure!(
            !meta.permissions().readonly(),
            "cannot write `{shown}`: it is read-only\nhint: choose another file with {option}"
        );
        Ok(())
    }

    fn failed(&self, FileError { action, path, source }: FileError) -> anyhow::Error {
        let option = self.option;
        let hint = match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                format!("free some space, or choose another file with {option}")
            }
            ErrorKind::AlreadyExists => format!("it came while this was computed; choose another {option}"),
            _ => format!("choose a file in a folder that you may write to, with {option}"),
        };
        anyhow::anyhow!("cannot {action} `{}`: {source}\nhint: {hint}", path.display())
    }
}

/// Refuses two outputs in one file.
pub(crate) fn check_distinct(files: &[OutputFile]) -> anyhow::Result<()> {
    for (i, one) in files.iter().enumerate() {
        for other in &files[..i] {
            let is_file =
                !base::is_stream(one.path) && fs::metadata(one.path).map_or(true, |meta| meta.is_file());
            anyhow::ensure!(
                !is_file || place(one.path) != place(other.path),
                "expected two files, found `{}` as {} and as {}\nhint: give each a name of its own",
                one.path.display(),
                other.option,
                one.option
            );
        }
    }
    Ok(())
}

/// Without links and dots, as far as the path exists.
fn place(path: &Path) -> PathBuf {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if let Ok(real) = fs::canonicalize(&full) {
        return real;
    }
    match (full.parent(), full.file_name()) {
        (Some(parent), Some(name)) => place(parent).join(name),
        _ => full,
    }
}

impl Kind {
    /// Whether not even one that this program wrote is replaced: a seal is a promise, a table may have been typed, and
    /// conversations of other programs look like ours.
    fn is_kept(self) -> bool {
        matches!(self, Self::Seal | Self::Table | Self::Conversation | Self::Sheet)
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Plot => "a plot",
            Self::Seal => "a sealed forecast",
            Self::Verdict => "a verdict",
            Self::Table => "a table of runs",
            Self::Gguf => "a GGUF file",
            Self::Logits => "a file of logits",
            Self::Conversation => "a conversation",
            Self::Scores => "a list of scores",
            Self::Summary => "a summary of benchmarks",
            Self::Answers => "a list of answers about pictures",
            Self::Picks => "a list of names picked for pictures",
            Self::Pages => "a list of losses of pages",
            Self::Page => "a report",
            Self::Grader => "a grader",
            Self::Safety => "a table of what alignment did",
            Self::Sheet => "a sheet for a grader",
            Self::Map => "a map of what an answer depends on",
            Self::Numbers => "an explanation of an answer",
        }
    }

    fn example(self) -> &'static str {
        match self {
            Self::Plot => "plot.svg",
            Self::Seal => "forecast.json",
            Self::Verdict => "verdict.json",
            Self::Table => "points.csv",
            Self::Gguf => "model.gguf",
            Self::Logits => "logits.safetensors",
            Self::Conversation => "talk.jsonl",
            Self::Scores => "scores.jsonl",
            Self::Summary => "summary.json",
            Self::Answers => "pictures.jsonl",
            Self::Picks => "picks.jsonl",
            Self::Pages => "pages.jsonl",
            Self::Page => "report.html",
            Self::Grader => "rbrm.json",
            Self::Safety => "safety.json",
            Self::Sheet => "sheet.csv",
            Self::Map => "map.png",
            Self::Numbers => "explanation.json",
        }
    }

    /// Whether this program wrote the file: plots, GGUF files and logits say so in their first bytes; of the others not a
    /// byte is other than it would write it.
    fn wrote(self, path: &Path, len: u64) -> std::io::Result<bool> {
        let start = |n: u64| {
            let mut bytes = Vec::new();
            fs::File::open(path)?.take(n).read_to_end(&mut bytes)?;
            std::io::Result::Ok(bytes)
        };
        if matches!(self, Self::Plot | Self::Gguf | Self::Logits | Self::Page | Self::Map) {
            let bytes = start(1 << 12)?;
            return Ok(match self {
                Self::Plot => bytes.starts_with(b"<svg ") && has(&bytes, WRITER),
                Self::Page => bytes.starts_with(b"<!DOCTYPE html>") && has(&bytes, PAGE_WRITER),
                Self::Map => {
                    let (keyword, name) = output::WRITER;
                    bytes.starts_with(b"\x89PNG") && has(&bytes, &format!("{keyword}\0{name}"))
                }
                Self::Gguf => bytes.starts_with(b"GGUF") && bytes.get(24..).is_some_and(is_writer_key),
                _ => logits_header(&bytes).is_some_and(|header| {
                    header["__metadata__"][checkpoint::LOGITS.0] == checkpoint::LOGITS.1
                }),
            });
        }
        if len > MAX_BYTES {
            return Ok(false);
        }
        let bytes = start(MAX_BYTES)?;
        Ok(match self {
            Self::Verdict => is_written::<Verdict>(&bytes),
            Self::Scores => is_lines_of::<Score>(&bytes),
            Self::Answers => is_lines_of::<PictureAnswer>(&bytes),
            Self::Picks => is_lines_of::<Pick>(&bytes),
            Self::Pages => is_lines_of::<PageLoss>(&bytes),
            Self::Summary => is_written::<Vec<TaskSummary>>(&bytes),
            Self::Grader => is_written::<RbrmFile>(&bytes),
            Self::Safety => is_written::<SafetyTable>(&bytes),
            Self::Numbers => is_written::<Numbers>(&bytes),
            _ => false,
        })
    }
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

/// Whether the key of this program stands there with its length before it.
fn is_writer_key(bytes: &[u8]) -> bool {
    let key = gguf::WRITER_KEY.as_bytes();
    bytes.strip_prefix(&(key.len() as u64).to_le_bytes()).is_some_and(|rest| rest.starts_with(key))
}

/// The header of a safetensors file, if it is as short as that of one tensor.
fn logits_header(bytes: &[u8]) -> Option<serde_json::Value> {
    let (len, rest) = bytes.split_first_chunk::<8>()?;
    serde_json::from_slice(rest.get(..usize::try_from(u64::from_le_bytes(*len)).ok()?)?).ok()
}

/// Whether the bytes are one `T`, as it would be written here.
fn is_written<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> bool {
    let value: Option<T> = serde_json::from_slice(bytes).ok();
    let json = value.and_then(|value| serde_json::to_string_pretty(&value).ok());
    json.is_some_and(|json| bytes == format!("{json}\n").as_bytes())
}

/// Whether the bytes are JSON lines of `T`, each written as it would be here.
fn is_lines_of<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> bool {
    let is_one = |line: &[u8]| {
        let value: Option<T> = serde_json::from_slice(line).ok();
        value.and_then(|value| serde_json::to_vec(&value).ok()).is_some_and(|again| again == line)
    };
    bytes.strip_suffix(b"\n").is_some_and(|lines| lines.split(|byte| *byte == b'\n').all(is_one))
}
