//! Members of a tar archive, one after another.

use std::io::{self, Read};

const BLOCK: usize = 512;
/// Longest name that an extension record may give.
const MAX_NAME_BYTES: u64 = 1 << 16;

/// A file of an archive: where its content begins is where the reader stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) n_bytes: u64,
}

/// Reads an archive once, from its beginning. The `tar` crate's iterator borrows its archive, so that no source can hold both.
pub(super) struct TarFile<R> {
    file: R,
    /// Content and padding of the member before that were not read.
    n_left: u64,
}

impl<R: Read> TarFile<R> {
    pub(super) fn new(file: R) -> Self {
        Self { file, n_left: 0 }
    }

    /// The next regular file, none at the end of the archive.
    pub(super) fn next_member(&mut self) -> io::Result<Option<Member>> {
        let mut long_name = None;
        loop {
            self.skip_rest()?;
            let mut header = [0; BLOCK];
            match self.file.read_exact(&mut header) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                other => other?,
            }
            if header.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            check_sum(&header)?;
            let n_bytes = number(&header[124..136])?;
            self.n_left = n_bytes.checked_next_multiple_of(BLOCK as u64).ok_or_else(|| bad("a size"))?;
            match header[156] {
                b'L' => long_name = Some(name_of(&self.content(n_bytes, MAX_NAME_BYTES)?)),
                b'x' => long_name = path_of(&self.content(n_bytes, MAX_NAME_BYTES)?).or(long_name),
                b'0' | 0 | b'7' => {
                    let name = long_name.take().unwrap_or_else(|| {
                        let prefix =
                            if header[257..].starts_with(b"ustar\0") { &header[345..500] } else { &[][..] };
                        let (prefix, name) = (name_of(prefix), name_of(&header[..100]));
                        if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
                    });
                    return Ok(Some(Member { name, n_bytes }));
                }
                _ => long_name = None, // folders, links, global records
            }
        }
    }

    /// The content of the member that the reader stands at, if it has at most `max_bytes`.
    pub(super) fn content(&mut self, n_bytes: u64, max_bytes: u64) -> io::Result<Vec<u8>> {
        if n_bytes > max_bytes {
            return Err(bad("a member that is too large"));
        }
        let mut content = Vec::new();
        let n_read = self.file.by_ref().take(n_bytes).read_to_end(&mut content)? as u64;
        self.n_left -= n_read;
        if n_read < n_bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(content)
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        let n_left = std::mem::take(&mut self.n_left);
        let n_skipped = io::copy(&mut self.file.by_ref().take(n_left), &mut io::sink())?;
        // The padding behind the last member may be missing.
        if n_left - n_skipped >= BLOCK as u64 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} that no tar archive has"))
}

fn check_sum(header: &[u8; BLOCK]) -> io::Result<()> {
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = header[148..156].iter().map(|byte| u64::from(*byte)).sum();
    let right = sum - own + 8 * u64::from(b' ');
    if number(&header[148..156])? == right { Ok(()) } else { Err(bad("a header with a checksum")) }
}

/// Octal digits, or with the first bit set the rest as a binary number.
fn number(field: &[u8]) -> io::Result<u64> {
    if field[0] & 0x80 != 0 {
        let digits = field.iter().enumerate().map(|(i, byte)| if i == 0 { byte & 0x7f } else { *byte });
        return digits.into_iter().try_fold(0u64, |number, byte| {
            number.checked_mul(256).map(|number| number + u64::from(byte)).ok_or_else(|| bad("a number"))
        });
    }
    let text = String::from_utf8_lossy(field);
    let digits = text.trim_matches(['\0', ' ']);
    if digits.is_empty() { Ok(0) } else { u64::from_str_radix(digits, 8).map_err(|_| bad("a number")) }
}

fn name_of(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

/// The `path` of a pax record: lines `LENGTH key=value`.
fn path_of(records: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(records).into_owned();
    text.lines().find_map(|line| line.split_once(' ')?.1.strip_prefix("path=").map(str::to_owned))
}
