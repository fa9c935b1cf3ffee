//! `.txt` and `.md`: the file is one document.

use std::{
    io::BufRead,
    path::{Path, PathBuf},
};

use super::{Item, Position, decode, read_error};
use crate::{DataError, InvalidUtf8};

/// Gives the whole file once.
pub(super) struct TextReader {
    input: Option<Box<dyn BufRead + Send>>,
    path: PathBuf,
    policy: InvalidUtf8,
    position: Position,
}

impl TextReader {
    pub(super) fn new(
        input: Box<dyn BufRead + Send>,
        path: &Path,
        policy: InvalidUtf8,
        position: &Position,
    ) -> Self {
        Self { input: Some(input), path: path.to_path_buf(), policy, position: position.clone() }
    }

    pub(super) fn next_item(&mut self) -> Result<Option<Item>, DataError> {
        let Some(mut input) = self.input.take() else { return Ok(None) };
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes).map_err(|error| read_error(&self.path, &self.position, error))?;
        decode(bytes, 0, || self.path.clone(), self.policy).map(Some)
    }
}
