//! A file's content as a stream of UTF-8, unpacked and decoded on the way.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read},
    path::Path,
};

use super::{
    Position,
    encoding::{Encoding, FromUtf16},
    gzip::Members,
    read_error, sniff,
};
use crate::{DataError, source::Compression};

const BUFFER_BYTES: usize = 1 << 17;
/// The largest window that the format of zstd has: frames of `zstd --long=31` are read like any other.
const WINDOW_LOG_MAX: u32 = if usize::BITS >= 64 { 31 } else { 30 };

/// What is read from one file.
pub(super) struct Content {
    pub(super) input: Box<dyn BufRead + Send>,
    /// Bytes of the byte-order mark, which are not in `input`.
    pub(super) n_mark: u64,
    /// The first bytes of `input`.
    pub(super) head: Vec<u8>,
    /// What is worth knowing about the file.
    pub(super) notes: Vec<String>,
}

/// Opens `path`, undoes its compression and makes UTF-8 of UTF-16; `.gz` files may have several members, `.zst` files
/// several frames. `expected` names what the file should hold.
pub(super) fn open(
    path: &Path,
    compression: Compression,
    expected: &'static str,
    position: &Position,
) -> Result<Content, DataError> {
    let fail = |error| read_error(path, position, error);
    let other = |found: String, hint: &str| DataError::OtherFormat {
        path: path.to_path_buf(),
        expected,
        found,
        hint: hint.to_owned(),
    };
    let (head, packed) = begin(unpack(path, compression, position)?).map_err(fail)?;
    if let Some(kind) = sniff::other_than_text(&head) {
        return Err(match compression {
            Compression::None => other(kind.name.to_owned(), kind.hint),
            _ => other(format!("{} within the compressed content", kind.name), "unpack it first"),
        });
    }
    let (encoding, n_mark) = Encoding::of(&head);
    let mut notes = Vec::new();
    let whole = Cursor::new(head[n_mark.min(head.len())..].to_vec()).chain(packed);
    let input: Box<dyn BufRead + Send> = match encoding {
        Encoding::Utf8 => Box::new(whole),
        Encoding::Utf32 => return Err(other(sniff::UTF32.name.to_owned(), sniff::UTF32.hint)),
        Encoding::Utf16Le | Encoding::Utf16Be => {
            notes.push(format!("decoded from {}", encoding.name()));
            let decoder = FromUtf16::new(whole, encoding == Encoding::Utf16Be);
            Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
        }
    };
    let (head, input) = begin(input).map_err(fail)?;
    let input = Box::new(Cursor::new(head.clone()).chain(input));
    let n_mark = if encoding == Encoding::Utf8 { n_mark as u64 } else { 0 };
    Ok(Content { input, n_mark, head, notes })
}

fn unpack(
    path: &Path,
    compression: Compression,
    position: &Position,
) -> Result<Box<dyn BufRead + Send>, DataError> {
    let file = File::open(path).map_err(DataError::io("read", path))?;
    let raw = BufReader::with_capacity(BUFFER_BYTES, Counted { file, position: position.clone() });
    let (head, raw) = begin(Box::new(raw)).map_err(DataError::io("read", path))?;
    let found = sniff::any(&head);
    let other = |expected| {
        let hint = "give it the ending of what it holds".to_owned();
        Err(DataError::OtherFormat { path: path.to_path_buf(), expected, found: found.name.to_owned(), hint })
    };
    let is_empty = head.is_empty();
    let raw = Cursor::new(head).chain(raw);
    Ok(match compression {
        Compression::None => Box::new(raw),
        _ if is_empty => Box::new(raw),
        Compression::Gzip if found != sniff::GZIP => return other("gzip data"),
        Compression::Gzip => Box::new(BufReader::with_capacity(BUFFER_BYTES, Members::new(raw, position))),
        Compression::Zstd if found != sniff::ZSTD => return other("zstd data"),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(raw).map_err(DataError::io("read", path))?;
            decoder.window_log_max(WINDOW_LOG_MAX).map_err(DataError::io("read", path))?;
            Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
        }
    })
}

/// The first bytes, fewer than usual only where the input ends before, and the rest. An error after the first bytes
/// waits until these were read: rows before it are sound.
fn begin(mut input: Box<dyn BufRead + Send>) -> io::Result<(Vec<u8>, Box<dyn BufRead + Send>)> {
    let mut head = Vec::new();
    match input.by_ref().take(sniff::HEAD_BYTES as u64).read_to_end(&mut head) {
        Err(error) if head.is_empty() => Err(error),
        Err(error) => Ok((head, Box::new(BufReader::with_capacity(1, Broken(Some(error)))))),
        Ok(_) => Ok((head, input)),
    }
}

/// Fails, once.
struct Broken(Option<io::Error>);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
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
