//! How text is encoded, by its first bytes, and UTF-16 made UTF-8 on the way.

use std::io::{self, BufRead, Read};

/// An encoding of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
    Utf32,
}

impl Encoding {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
            Self::Utf32 => "UTF-32",
        }
    }

    /// The encoding of a text that begins with `head`, and how many bytes of it are its byte-order mark.
    ///
    /// Without a mark, UTF-16 and UTF-32 are known by their zeros: in a text that is for the most part ASCII, every
    /// second byte is 0, or three of four.
    pub(crate) fn of(head: &[u8]) -> (Self, usize) {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        match head {
            [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return (Self::Utf32, 4),
            [0xff, 0xfe, ..] => return (Self::Utf16Le, 2),
            [0xfe, 0xff, ..] => return (Self::Utf16Be, 2),
            _ => {}
        }
        // Some programs put a mark before one that is there already.
        let n_marks = head.chunks_exact(MARK.len()).take_while(|chunk| *chunk == MARK).count();
        if n_marks > 0 {
            return (Self::Utf8, n_marks * MARK.len());
        }
        let n_quads = head.len() / 4;
        let zeros = |i: usize| head.chunks_exact(4).filter(|quad| quad[i] == 0).count();
        let zeros = [zeros(0), zeros(1), zeros(2), zeros(3)];
        let (is_most, is_few) = (|n: usize| 10 * n > 7 * n_quads, |n: usize| 10 * n < n_quads);
        if n_quads < 2 {
            return (Self::Utf8, 0);
        }
        match zeros {
            [a, b, c, d] if is_few(a) && is_most(b) && is_most(c) && is_most(d) => (Self::Utf32, 0),
            [a, b, c, d] if is_most(a) && is_most(b) && is_most(c) && is_few(d) => (Self::Utf32, 0),
            [a, b, c, d] if is_few(a) && is_most(b) && is_few(c) && is_most(d) => (Self::Utf16Le, 0),
            [a, b, c, d] if is_most(a) && is_few(b) && is_most(c) && is_few(d) => (Self::Utf16Be, 0),
            _ => (Self::Utf8, 0),
        }
    }
}

/// Makes UTF-8 of UTF-16. Half a surrogate pair, or half a unit at the end, becomes the byte 0xff, which is never
/// UTF-8: it then meets the same fate as any bad byte.
pub(crate) struct FromUtf16<R> {
    input: R,
    is_big_endian: bool,
    /// The first byte of a unit whose second was not read yet.
    half: Option<u8>,
    /// The first half of a surrogate pair.
    high: Option<u16>,
    ready: Vec<u8>,
    n_given: usize,
}

impl<R: BufRead> FromUtf16<R> {
    pub(crate) fn new(input: R, is_big_endian: bool) -> Self {
        Self { input, is_big_endian, half: None, high: None, ready: Vec::new(), n_given: 0 }
    }

    fn push(&mut self, unit: u16) {
        let high = self.high.take();
        match (high, unit) {
            (Some(high), 0xdc00..=0xdfff) => {
                let code = 0x1_0000 + ((u32::from(high) - 0xd800) << 10) + (u32::from(unit) - 0xdc00);
                self.push_char(code);
            }
            (_, unit) => {
                if high.is_some() {
                    self.ready.push(0xff);
                }
                match unit {
                    0xd800..=0xdbff => self.high = Some(unit),
                    unit => self.push_char(unit.into()),
                }
            }
        }
    }

    fn push_char(&mut self, code: u32) {
        match char::from_u32(code) {
            Some(c) => self.ready.extend(c.encode_utf8(&mut [0; 4]).bytes()),
            None => self.ready.push(0xff),
        }
    }

    /// Decodes what lies in the input's buffer; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        self.ready.clear();
        self.n_given = 0;
        let bytes = self.input.fill_buf()?.to_vec();
        if bytes.is_empty() {
            let n_bad = usize::from(self.half.take().is_some()) + usize::from(self.high.take().is_some());
            self.ready.resize(n_bad, 0xff);
            return Ok(n_bad > 0);
        }
        for &byte in &bytes {
            match self.half.take() {
                None => self.half = Some(byte),
                Some(first) if self.is_big_endian => self.push(u16::from_be_bytes([first, byte])),
                Some(first) => self.push(u16::from_le_bytes([first, byte])),
            }
        }
        self.input.consume(bytes.len());
        Ok(true)
    }
}

impl<R: BufRead> Read for FromUtf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.n_given == self.ready.len() {
            if !self.fill()? {
                return Ok(0);
            }
        }
        let n_bytes = buffer.len().min(self.ready.len() - self.n_given);
        buffer[..n_bytes].copy_from_slice(&self.ready[self.n_given..self.n_given + n_bytes]);
        self.n_given += n_bytes;
        Ok(n_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn encode(text: &str, is_big_endian: bool) -> Vec<u8> {
        text.encode_utf16()
            .flat_map(|unit| if is_big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect()
    }

    #[test]
    fn encodings_are_known_by_their_first_bytes() {
        for text in ["\u{feff}größe", "plain text", "0123456789 größer"] {
            let n_mark = 2 * usize::from(text.starts_with('\u{feff}'));
            assert_eq!(Encoding::of(&encode(text, false)), (Encoding::Utf16Le, n_mark));
            assert_eq!(Encoding::of(&encode(text, true)), (Encoding::Utf16Be, n_mark));
            let wide: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
            assert_eq!(Encoding::of(&wide), (Encoding::Utf32, 2 * n_mark));
            let wide: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
            assert_eq!(Encoding::of(&wide), (Encoding::Utf32, 2 * n_mark));
        }
        assert_eq!(Encoding::of("\u{feff}größe".as_bytes()), (Encoding::Utf8, 3));
        assert_eq!(Encoding::of("\u{feff}\u{feff}a".as_bytes()), (Encoding::Utf8, 6));
        for bytes in [&b""[..], b"a", b"plain text", b"a\0b\0c and no zeros after it", b"\0\0\0\0\0\0\0\0"] {
            assert_eq!(Encoding::of(bytes), (Encoding::Utf8, 0), "{bytes:?}");
        }
    }

    #[test]
    fn utf16_is_decoded_across_every_boundary() {
        let text = "größe 東京 \u{1f600} end";
        for is_big_endian in [false, true] {
            for n_buffer in 1..9 {
                let bytes = encode(text, is_big_endian);
                let input = BufReader::with_capacity(n_buffer, &bytes[..]);
                let mut decoded = String::new();
                FromUtf16::new(input, is_big_endian).read_to_string(&mut decoded).unwrap();
                assert_eq!(decoded, text);
            }
        }
    }

    #[test]
    fn half_characters_become_bad_bytes() {
        let read = |bytes: &[u8]| {
            let mut decoded = Vec::new();
            FromUtf16::new(bytes, false).read_to_end(&mut decoded).unwrap();
            decoded
        };
        assert_eq!(read(b"a\0\x3d\xd8b\0"), b"a\xffb");
        assert_eq!(read(b"a\0\x00\xdcb\0"), b"a\xffb");
        assert_eq!(read(b"\x3d\xd8\x3d\xd8\x00\xde"), b"\xff\xf0\x9f\x98\x80");
        assert_eq!(read(b"a\0b"), b"a\xff");
        assert_eq!(read(b"a\0\x3d\xd8"), b"a\xff");
    }
}
