//! The blocks of a GIF, read without decoding a pixel.

/// How large a GIF is and how long each of its frames is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outline {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Of each frame, in milliseconds.
    pub(super) delays_ms: Vec<u32>,
}

/// Reads the blocks from the first to the trailer, or to the end of a file without one.
pub(super) fn outline(bytes: &[u8]) -> Result<Outline, &'static str> {
    let mut blocks = Blocks(bytes);
    let header = blocks.take(13).ok_or("cut off in its header")?;
    if !header.starts_with(b"GIF8") {
        return Err("it does not begin like a GIF");
    }
    let number = |i: usize| u32::from(u16::from_le_bytes([header[i], header[i + 1]]));
    let (width, height) = (number(6), number(8));
    blocks.palette(header[10]).ok_or("cut off in its palette")?;
    let (mut delays_ms, mut delay) = (Vec::new(), 0);
    loop {
        match blocks.take(1) {
            // Many files lack the trailer.
            None if !delays_ms.is_empty() => break,
            None => return Err("cut off before its first frame"),
            Some(b"\x3b") => break,
            Some(b"\x21") => {
                let label = blocks.take(1).ok_or("cut off in an extension")?[0];
                let first = blocks.sub_block().ok_or("cut off in an extension")?;
                if label == 0xf9 && first.len() >= 3 {
                    delay = 10 * u32::from(u16::from_le_bytes([first[1], first[2]]));
                }
                if !first.is_empty() {
                    blocks.rest().ok_or("cut off in an extension")?;
                }
            }
            Some(b"\x2c") => {
                let place = blocks.take(9).ok_or("cut off in a frame")?;
                blocks.palette(place[8]).ok_or("cut off in a frame")?;
                blocks.take(1).ok_or("cut off in a frame")?;
                blocks.rest().ok_or("cut off in a frame")?;
                delays_ms.push(std::mem::take(&mut delay));
            }
            Some(_) => return Err("a block of no known kind"),
        }
    }
    match delays_ms.is_empty() {
        true => Err("no frame"),
        false => Ok(Outline { width, height, delays_ms }),
    }
}

/// What is left to read.
struct Blocks<'a>(&'a [u8]);

impl<'a> Blocks<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    /// Passes over the palette that these flags announce.
    fn palette(&mut self, flags: u8) -> Option<()> {
        let n_bytes = if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
        self.take(n_bytes).map(|_| ())
    }

    /// The next of the pieces that a block's content is cut into; empty at its end.
    fn sub_block(&mut self) -> Option<&'a [u8]> {
        let len = self.take(1)?[0];
        self.take(usize::from(len))
    }

    /// Passes over all pieces up to the end of the content.
    fn rest(&mut self) -> Option<()> {
        while !self.sub_block()?.is_empty() {}
        Some(())
    }
}
