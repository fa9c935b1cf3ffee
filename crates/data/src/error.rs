//! The crate's one error type.

use std::path::{Path, PathBuf};

use crate::source::shown;

/// Why data was refused: what was expected, what was found, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused to read or write.
    #[error("cannot {action} `{}`: {source}\nhint: {}", shown(path), io_hint(source))]
    Io {
        /// What was tried: `read`, `write`, `rename` …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A setting is outside of its range.
    #[error("`{name}` must be {expected}, found {found}\nhint: {hint}")]
    Setting {
        /// The setting as the recipe spells it.
        name: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: String,
        /// What to do.
        hint: &'static str,
    },
    /// A source names no file at all.
    #[error(
        "expected documents at `{path}`, found {found}\nhint: give a file, a folder or a glob with .txt, .md, .jsonl or .parquet files (the first three also as .gz or .zst)"
    )]
    NoFiles {
        /// The path, folder or glob as configured.
        path: String,
        /// What lies there.
        found: String,
    },
    /// Bytes that are not UTF-8.
    #[error(
        "expected UTF-8 in `{}`, found an invalid byte at offset {offset}\nhint: re-encode the file as UTF-8, or set `invalid_utf8` to \"replace\" or \"skip\"",
        shown(path)
    )]
    InvalidUtf8 {
        /// The file.
        path: PathBuf,
        /// Offset of the first bad byte in the (decompressed) content.
        offset: u64,
    },
    /// The text column or field is not there.
    #[error("expected a column `{wanted}` in `{}`, found {}\nhint: name the column that holds the text, as in `text = \"{}\"`", shown(path), list(found), found.first().map_or("text", |name| name))]
    Column {
        /// The file, and the line for JSON lines.
        path: PathBuf,
        /// The column that the source names.
        wanted: String,
        /// The columns that are there.
        found: Vec<String>,
    },
    /// The text column holds something else than text.
    #[error(
        "expected text in column `{wanted}` of `{}`, found {found}\nhint: name a column of plain strings; `on_error = \"skip\"` in [data] leaves out rows that have none",
        shown(path)
    )]
    ColumnType {
        /// The file.
        path: PathBuf,
        /// The column that the source names.
        wanted: String,
        /// The type that it has.
        found: String,
    },
    /// The text field stands in a row more than once.
    #[error(
        "expected one field `{wanted}` in `{}`, found it more than once\nhint: correct the row; `on_error = \"skip\"` in [data] leaves such rows out",
        shown(path)
    )]
    Repeated {
        /// The file and the line.
        path: PathBuf,
        /// The field that the source names.
        wanted: String,
    },
    /// An escaped half of a surrogate pair, which is no character.
    #[error(
        "expected Unicode text in `{}`, found half of a surrogate pair (`\\ud800` to `\\udfff`)\nhint: the text was cut within a character; set `invalid_utf8` to \"replace\" or \"skip\"",
        shown(path)
    )]
    Surrogate {
        /// The file and the line.
        path: PathBuf,
    },
    /// A part of a file is not as it should be.
    #[error("expected {expected} in `{}`, found an error at {place}: {message}\nhint: {}", shown(path), damage.hint())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: &'static str,
        /// Where: `line 7`, `row group 2` …
        place: String,
        /// What the parser said.
        message: String,
        /// Of which kind the error is.
        damage: Damage,
    },
    /// A file holds something else than its ending says.
    #[error("expected {expected} in `{}`, found {found}\nhint: {hint}", shown(path))]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// What the ending promises.
        expected: &'static str,
        /// What is there.
        found: String,
        /// What to do.
        hint: String,
    },
    /// A recipe's folder that no recipe could spell.
    #[error(
        "expected a folder with a name in UTF-8, found `{}`\nhint: rename the folder, or name the data by absolute paths",
        shown(path)
    )]
    FolderName {
        /// The folder.
        path: PathBuf,
    },
    /// Nothing was left to train on.
    #[error(
        "expected at least one training document in {what}, found none ({dropped})\nhint: check the paths and the filters"
    )]
    EmptyCorpus {
        /// The corpus or one of its sources.
        what: String,
        /// How many were dropped, and why.
        dropped: String,
    },
    /// Nothing, or too little, was left to validate on.
    #[error(
        "expected at least {wanted} validation tokens, found {found} ({split})\nhint: add text, hold out more of it (data.validation), or set a smaller train.seq_len"
    )]
    EmptyValidation {
        /// Tokens that are needed.
        wanted: u64,
        /// Tokens that are there.
        found: u64,
        /// How the split was made.
        split: String,
    },
    /// The vocabulary is larger than the text supports.
    #[error(
        "expected {wanted} tokens in the vocabulary, found that the text supports only {found}\nhint: set `vocab_size` to {found} or less, or train the tokenizer on more text"
    )]
    VocabTooLarge {
        /// The size asked for.
        wanted: usize,
        /// The size at which no pair of tokens occurs twice.
        found: usize,
    },
    /// A tokenizer file that this crate did not write, or that was damaged.
    #[error(
        "expected {expected} in `{}`, found {found}\nhint: use the `tokenizer.json` that was written next to the data or the checkpoint",
        shown(path)
    )]
    TokenizerFile {
        /// The file.
        path: PathBuf,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A chat template that is missing, is no Jinja, or refuses a conversation.
    #[error(
        "expected {expected}, found {found}\nhint: chat_template.jinja lies beside the model's weights; it decides which roles may follow which"
    )]
    ChatTemplate {
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A template that is no Jinja, or refuses a row.
    #[error(
        "expected a template that renders, found {found}\nhint: correct the template, or the row that it is given"
    )]
    Template {
        /// What was found.
        found: String,
    },
    /// Tokens that were made by another tokenizer.
    #[error(
        "expected data made by tokenizer {expected}, found {found} in `{}`\nhint: prepare the data again with this tokenizer",
        shown(path)
    )]
    TokenizerMismatch {
        /// The file.
        path: PathBuf,
        /// Fingerprint of the tokenizer in use.
        expected: String,
        /// Fingerprint in the file.
        found: String,
    },
    /// A token shard that cannot be read.
    #[error(
        "expected {expected} in `{}`, found {found}\nhint: the file is damaged or not from this version; prepare the data again",
        shown(path)
    )]
    Shard {
        /// The file.
        path: PathBuf,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A manifest that is missing, incomplete or disagrees with the shards.
    #[error(
        "expected {expected} in `{}`, found {found}\nhint: the data was not prepared to its end; prepare it again",
        shown(path)
    )]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A cursor of other data, another seed or another sequence length.
    #[error(
        "expected a cursor of {expected}, found {found}\nhint: resume with the data, weights, seed and sequence length that the run began with"
    )]
    Cursor {
        /// What the stream is, or what the cursor must satisfy.
        expected: String,
        /// What the cursor says.
        found: String,
    },
    /// A picture that is refused.
    #[error(transparent)]
    Image(#[from] crate::image::ImageError),
    /// The caller asked to stop.
    #[error("stopped before the end, nothing is ready to use\nhint: run the same command again")]
    Interrupted,
}

/// What is wrong with a part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// A row that is not what it should be.
    Row,
    /// The file ends too early.
    CutOff,
    /// Compressed or encoded content that contradicts itself.
    Content,
    /// More memory is needed than there is, or than is given for one row.
    Memory,
    /// A dictionary is needed that the file does not hold.
    Dictionary,
}

impl Damage {
    fn hint(self) -> &'static str {
        match self {
            Self::Row => "correct the row; `on_error = \"skip\"` in [data] leaves bad rows out",
            Self::CutOff => "the file is cut off: copy or download it again",
            Self::Content => "the file is damaged: copy or download it again",
            Self::Memory => "write it again in smaller rows, or with a smaller window",
            Self::Dictionary => "unpack it first, with `zstd -d -D` and the dictionary that it was made with",
        }
    }
}

impl DataError {
    /// What is wrong with a row or a file, in a few words; none where the error is about something else.
    pub(crate) fn kind_of_bad_input(&self) -> Option<&'static str> {
        Some(match self {
            Self::Io { .. } => "unreadable",
            Self::InvalidUtf8 { .. } => "not UTF-8",
            Self::Surrogate { .. } => "half of a surrogate pair",
            Self::Column { .. } => "no text field",
            Self::ColumnType { .. } => "not a text",
            Self::Repeated { .. } => "field repeated",
            Self::OtherFormat { .. } => "another format",
            Self::Image(error) => error.kind(),
            Self::Malformed { damage, .. } => match damage {
                Damage::Row => "malformed",
                Damage::CutOff => "cut off",
                Damage::Content => "damaged",
                Damage::Memory => "too large",
                Damage::Dictionary => "dictionary missing",
            },
            _ => return None,
        })
    }

    /// An [`DataError::Io`] for `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}

fn io_hint(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "free some space, then give the same command again"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "choose a file or folder that you may use; --out names that of the run"
        }
        _ => "check that the path exists and that you may use it",
    }
}

/// Names in backticks, separated by commas.
fn list(names: &[String]) -> String {
    match names {
        [] => "no columns".to_owned(),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    }
}
