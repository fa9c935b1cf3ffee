//! A file's content as a stream, decompressed on the way.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use super::Position;
use crate::{DataError, source::Compression};

const BUFFER_BYTES: usize = 1 << 17;

/// Opens `path` and undoes its compression; `.gz` files may have several members, `.zst` files several frames.
pub(super) fn open(
    path: &Path,
    compression: Compression,
    position: &Position,
) -> Result<Box<dyn BufRead + Send>, DataError> {
    let file = File::open(path).map_err(DataError::io("read", path))?;
    let raw = BufReader::with_capacity(BUFFER_BYTES, Counted { file, position: position.clone() });
    Ok(match compression {
        Compression::None => Box::new(raw),
        Compression::Gzip => {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, flate2::bufread::MultiGzDecoder::new(raw)))
        }
        Compression::Zstd => {
            let decoder = zstd::Decoder::with_buffer(raw).map_err(DataError::io("read", path))?;
            Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
        }
    })
}

/// Counts the bytes that pass.
struct Counted {
    file: File,
    position: Position,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_bytes = self.file.read(buffer)?;
        self.position.add(n_bytes as u64);
        Ok(n_bytes)
    }
}
