//! Opens one shard.

use std::path::{Path, PathBuf};

use base::MappedFile;
use base::hash::xxh3_128;

use super::{HEADER_BYTES, Header};
use crate::{DataError, Tokenizer};

/// A shard mapped into memory, checked through and through: reading it cannot fail.
#[derive(Debug)]
pub struct TokenShard {
    path: PathBuf,
    file: MappedFile,
    header: Header,
    offsets_at: usize,
}

impl TokenShard {
    /// Maps `path` and checks all of it: header, size, tokenizer, checksum, document offsets and ids. Reads the
    /// whole file once, at the speed of the disk or, when it is in memory already, several gigabytes a second.
    ///
    /// # Errors
    /// If the file cannot be read, is no whole shard of this version, or was made by another tokenizer.
    pub fn open(path: &Path, tokenizer: &Tokenizer) -> Result<Self, DataError> {
        let shard = |(expected, found)| DataError::Shard { path: path.to_path_buf(), expected, found };
        let file = MappedFile::open(path).map_err(DataError::io("read", path))?;
        let header = Header::parse(&file).map_err(shard)?;
        let found = format!("{:032x}", header.tokenizer);
        if found != tokenizer.fingerprint() {
            let expected = tokenizer.fingerprint().to_owned();
            return Err(DataError::TokenizerMismatch { path: path.to_path_buf(), expected, found });
        }
        let (offsets_at, size) = header.layout().unwrap_or((u64::MAX, u64::MAX));
        if size != file.len() as u64 {
            return Err(shard((format!("{size} bytes"), format!("{} bytes", file.len()))));
        }
        let opened = Self { path: path.to_path_buf(), file, header, offsets_at: offsets_at as usize };
        opened.verify(tokenizer.vocab_size())?;
        Ok(opened)
    }

    /// Checks checksum, document offsets and that every id is below `vocab_size`.
    fn verify(&self, vocab_size: usize) -> Result<(), DataError> {
        let fail =
            |expected: String, found: String| DataError::Shard { path: self.path.clone(), expected, found };
        let found = xxh3_128(&self.file[HEADER_BYTES..]);
        if found != self.header.checksum {
            return Err(fail(format!("checksum {:032x}", self.header.checksum), format!("{found:032x}")));
        }
        // A document has at least its two ends.
        let offsets = || (0..=self.header.n_documents).map(|i| self.offset(i));
        let is_ascending =
            offsets().zip(offsets().skip(1)).all(|(a, b)| a.checked_add(2).is_some_and(|a| a <= b));
        if self.offset(0) != 0
            || self.offset(self.header.n_documents) != self.header.n_tokens
            || !is_ascending
        {
            return Err(fail("ascending document offsets".to_owned(), "others".to_owned()));
        }
        let tokens =
            &self.file[HEADER_BYTES..][..self.header.n_tokens as usize * self.header.token_bytes as usize];
        let largest = if self.header.token_bytes == 2 {
            tokens.as_chunks().0.iter().map(|&bytes| u32::from(u16::from_le_bytes(bytes))).max()
        } else {
            tokens.as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).max()
        };
        match largest {
            Some(id) if id as usize >= vocab_size => {
                Err(fail(format!("ids below {vocab_size}"), format!("id {id}")))
            }
            _ => Ok(()),
        }
    }

    /// Number of documents.
    pub fn n_documents(&self) -> u64 {
        self.header.n_documents
    }

    /// Number of targets: a document of n tokens has n + 1, its end being one.
    pub fn n_tokens(&self) -> u64 {
        self.header.n_tokens - self.header.n_documents
    }

    /// Bytes of the documents' texts.
    pub fn n_text_bytes(&self) -> u64 {
        self.header.n_text_bytes
    }

    /// Hash of the content, as the header has it.
    pub fn checksum(&self) -> u128 {
        self.header.checksum
    }

    /// Number of inputs, which is the number of targets, of one document.
    ///
    /// # Panics
    /// If there is no such document.
    pub fn n_inputs(&self, document: u64) -> u64 {
        self.offset(document + 1) - self.offset(document) - 1
    }

    /// Appends `n` ids of a document to `ids`, from its `start`-th on; 0 is what stands before its first token.
    ///
    /// # Panics
    /// If the shard has fewer tokens behind.
    pub fn read(&self, document: u64, start: u64, n: usize, ids: &mut Vec<u32>) {
        let token_bytes = self.header.token_bytes as usize;
        let at = HEADER_BYTES + (self.offset(document) + start) as usize * token_bytes;
        let tokens = &self.file[at..at + n * token_bytes];
        if token_bytes == 2 {
            ids.extend(tokens.as_chunks().0.iter().map(|&bytes| u32::from(u16::from_le_bytes(bytes))));
        } else {
            ids.extend(tokens.as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes)));
        }
    }

    fn offset(&self, document: u64) -> u64 {
        let at = self.offsets_at + document as usize * 8;
        u64::from_le_bytes(std::array::from_fn(|i| self.file[at + i]))
    }
}
