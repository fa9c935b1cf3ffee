//! Writes one shard as a stream.

use std::{
    io::{BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use base::AtomicFile;
use base::hash::Xxh3;

use super::{HEADER_BYTES, Header};
use crate::DataError;

/// A shard that appears at [`ShardWriter::finish`]. Keeps 8 bytes a document in memory.
pub(crate) struct ShardWriter {
    path: PathBuf,
    file: BufWriter<AtomicFile>,
    hash: Xxh3,
    header: Header,
    begin_of_text: u32,
    end_of_text: u32,
    offsets: Vec<u64>,
    buffer: Vec<u8>,
}

/// What was written.
pub(crate) struct ShardSummary {
    pub(crate) n_documents: u64,
    /// Targets: a document of n tokens has n + 1, its end being one.
    pub(crate) n_tokens: u64,
    pub(crate) n_text_bytes: u64,
    pub(crate) checksum: u128,
}

impl ShardWriter {
    /// Begins the shard `path` for ids below `vocab_size`, each document between the two tokens; `tokenizer` is the
    /// fingerprint.
    pub(crate) fn create(
        path: &Path,
        vocab_size: usize,
        [begin_of_text, end_of_text]: [u32; 2],
        tokenizer: u128,
    ) -> Result<Self, DataError> {
        let mut file = BufWriter::with_capacity(1 << 20, AtomicFile::create(path)?);
        file.write_all(&[0; HEADER_BYTES]).map_err(DataError::io("write", path))?;
        let token_bytes = if vocab_size <= 1 << 16 { 2 } else { 4 };
        let header = Header {
            token_bytes,
            n_tokens: 0,
            n_documents: 0,
            n_images: 0,
            n_text_bytes: 0,
            tokenizer,
            checksum: 0,
        };
        let (path, hash) = (path.to_path_buf(), Xxh3::new());
        let (offsets, buffer) = (vec![0], Vec::new());
        Ok(Self { path, file, hash, header, begin_of_text, end_of_text, offsets, buffer })
    }

    /// Tokens so far, with both ends of every document.
    pub(crate) fn n_stored(&self) -> u64 {
        self.header.n_tokens
    }

    /// Appends a document of ids below the vocabulary size.
    pub(crate) fn push(&mut self, ids: &[u32], n_text_bytes: u64) -> Result<(), DataError> {
        let ids = std::iter::once(&self.begin_of_text).chain(ids).chain(std::iter::once(&self.end_of_text));
        self.buffer.clear();
        if self.header.token_bytes == 2 {
            self.buffer.extend(ids.flat_map(|&id| (id as u16).to_le_bytes()));
        } else {
            self.buffer.extend(ids.flat_map(|&id| id.to_le_bytes()));
        }
        self.header.n_tokens += (self.buffer.len() / self.header.token_bytes as usize) as u64;
        self.header.n_documents += 1;
        self.header.n_text_bytes += n_text_bytes;
        self.offsets.push(self.header.n_tokens);
        self.write_buffer()
    }

    fn write_buffer(&mut self) -> Result<(), DataError> {
        self.hash.update(&self.buffer);
        self.file.write_all(&self.buffer).map_err(DataError::io("write", &self.path))
    }

    /// Writes what is only known now and renames.
    pub(crate) fn finish(mut self) -> Result<ShardSummary, DataError> {
        let (offsets_at, _) = self.header.layout().expect("a file that was written has a size");
        let token_bytes = self.header.n_tokens * u64::from(self.header.token_bytes);
        self.buffer.clear();
        self.buffer.resize((offsets_at - HEADER_BYTES as u64 - token_bytes) as usize, 0);
        self.buffer.extend(self.offsets.iter().flat_map(|offset| offset.to_le_bytes()));
        self.write_buffer()?;
        self.header.checksum = self.hash.digest128();
        let Self { path, mut file, header, .. } = self;
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(&header.to_bytes()))
            .map_err(DataError::io("write", &path))?;
        let file = file.into_inner().map_err(|error| DataError::io("write", &path)(error.into_error()))?;
        file.finish()?;
        Ok(ShardSummary {
            n_documents: header.n_documents,
            n_tokens: header.n_tokens - header.n_documents,
            n_text_bytes: header.n_text_bytes,
            checksum: header.checksum,
        })
    }
}
