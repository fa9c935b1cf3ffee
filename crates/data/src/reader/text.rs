//! `.txt` and `.md`: the file is one document.

use std::{
    io::{BufRead, Read as _},
    path::{Path, PathBuf},
};

use super::{Item, Position, content, decode, read_error, sniff};
use crate::{Damage, DataError, InvalidUtf8, source::Compression};

/// A text in which more bytes than one in this many are NUL is binary data, or was damaged.
const BYTES_PER_NUL: usize = 100;

/// Longest document, unpacked: a few times as much memory is needed while it is encoded.
const MAX_BYTES: u64 = 2 << 30;

/// Gives the whole file once.
pub(super) struct TextReader {
    input: Option<Box<dyn BufRead + Send>>,
    n_mark: u64,
    path: PathBuf,
    policy: InvalidUtf8,
    position: Position,
}

impl TextReader {
    pub(super) fn open(
        path: &Path,
        compression: Compression,
        policy: InvalidUtf8,
        position: &Position,
        notes: &mut Vec<String>,
    ) -> Result<Self, DataError> {
        let content = content::open(path, compression, "plain text", position)?;
        notes.extend(content.notes);
        if sniff::is_html(&content.head) {
            notes.push("looks like a web page (HTML); its tags are part of the text".to_owned());
        }
        let (path, position) = (path.to_path_buf(), position.clone());
        Ok(Self { input: Some(content.input), n_mark: content.n_mark, path, policy, position })
    }

    pub(super) fn next_item(&mut self) -> Result<Option<Item>, DataError> {
        let Some(mut input) = self.input.take() else { return Ok(None) };
        let mut bytes = Vec::new();
        let read = input.by_ref().take(MAX_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|error| read_error(&self.path, &self.position, error))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(DataError::Malformed {
                path: self.path.clone(),
                expected: "a document of at most 2 GiB: a text file is one document",
                place: format!("byte {MAX_BYTES}"),
                message: "it goes on; split it, or make a .jsonl of its parts".to_owned(),
                damage: Damage::Memory,
            });
        }
        let n_nul = bytes.iter().filter(|&&byte| byte == 0).count();
        if n_nul * BYTES_PER_NUL > bytes.len() {
            return Err(DataError::OtherFormat {
                path: self.path.clone(),
                expected: "plain text",
                found: sniff::ZEROS.name.to_owned(),
                hint: sniff::ZEROS.hint.to_owned(),
            });
        }
        decode(bytes, self.policy, |at| DataError::InvalidUtf8 {
            path: self.path.clone(),
            offset: self.n_mark + at as u64,
        })
        .map(Some)
    }
}
