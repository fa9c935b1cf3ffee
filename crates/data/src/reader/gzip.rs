//! gzip with several members, as `cat a.gz b.gz` makes it, and with what follows them.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

use super::Position;

/// Unpacks one member after another. As with `gzip -d`, zeros after a member are padding and other bytes are ignored;
/// these are counted.
pub(super) struct Members<R> {
    member: Option<GzDecoder<R>>,
    position: Position,
}

impl<R: BufRead> Members<R> {
    pub(super) fn new(input: R, position: &Position) -> Self {
        Self { member: Some(GzDecoder::new(input)), position: position.clone() }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let n_bytes = member.read(buffer)?;
            if n_bytes > 0 || buffer.is_empty() {
                return Ok(n_bytes);
            }
            let Some(mut input) = self.member.take().map(GzDecoder::into_inner) else { break };
            match skip_zeros(&mut input)? {
                None => break,
                // One byte may be all that is buffered: it decides then.
                Some(0x1f) if input.fill_buf()?.get(1).is_none_or(|second| *second == 0x8b) => {
                    self.member = Some(GzDecoder::new(input))
                }
                Some(_) => self.position.add_ignored(io::copy(&mut input, &mut io::sink())?),
            }
        }
        Ok(0)
    }
}

/// The first byte that is not 0, left in place.
fn skip_zeros(input: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        let buffer = input.fill_buf()?;
        let n_bytes = buffer.len();
        if n_bytes == 0 {
            return Ok(None);
        }
        let found = buffer.iter().position(|&byte| byte != 0).map(|at| (at, buffer[at]));
        input.consume(found.map_or(n_bytes, |(at, _)| at));
        if let Some((_, byte)) = found {
            return Ok(Some(byte));
        }
    }
}
