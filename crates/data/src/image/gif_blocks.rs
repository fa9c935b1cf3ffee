//! The blocks of a GIF, read without decoding a pixel.

use std::{borrow::Cow, ops::Range};

/// How large a GIF is and where its frames lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outline {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) frames: Vec<FrameBlock>,
    /// Bytes that say with the number 4 what a viewer does after a frame.
    old_disposals: Vec<usize>,
}

/// What the blocks of a frame say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameBlock {
    /// How long it is seen, in milliseconds.
    pub(super) delay_ms: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Where width and height of the screen stand.
const SCREEN: Range<usize> = 6..10;
const HEADER: usize = 13;

/// Reads the blocks from the first to the trailer, or to the end of a file without one. Errors name the frame, of which the first
/// is number 1.
pub(super) fn outline(bytes: &[u8]) -> Result<Outline, String> {
    let mut blocks = Blocks { bytes, at: 0 };
    let header = blocks.take(HEADER).ok_or("cut off in its header")?;
    if !header.starts_with(b"GIF8") {
        return Err("it does not begin like a GIF".to_owned());
    }
    let [width, height] = [number(header, 6), number(header, 8)];
    blocks.palette(header[10]).ok_or("cut off in its palette")?;
    let mut found = Outline { width, height, frames: Vec::new(), old_disposals: Vec::new() };
    let mut delay_ms = 0;
    loop {
        let frame = found.frames.len() + 1;
        let cut = |part: &str| format!("cut off in {part} {frame}");
        match blocks.take(1) {
            // Many files lack the trailer.
            None if frame > 1 => break,
            None => return Err(cut("front of frame")),
            Some(b"\x3b") => break,
            Some(b"\x21") => {
                let in_extension = || cut("an extension in front of frame");
                let label = blocks.take(1).ok_or_else(in_extension)?[0];
                let first = blocks.sub_block().ok_or_else(in_extension)?;
                if label == 0xf9 && first.len() >= 3 {
                    delay_ms = 10 * number(first, 1);
                    if disposal(first[0]) == OLD_PREVIOUS {
                        found.old_disposals.push(blocks.at - first.len());
                    }
                }
                if !first.is_empty() {
                    blocks.rest().ok_or_else(in_extension)?;
                }
            }
            Some(b"\x2c") => {
                let place = blocks.take(9).ok_or_else(|| cut("frame"))?;
                blocks.palette(place[8]).ok_or_else(|| cut("the palette of frame"))?;
                blocks.take(1).ok_or_else(|| cut("frame"))?;
                blocks.rest().ok_or_else(|| cut("the pixels of frame"))?;
                let [width, height] = [number(place, 4), number(place, 6)];
                if width == 0 || height == 0 {
                    return Err(format!("frame {frame} is {width} x {height} pixels"));
                }
                if found.frames.is_empty() {
                    let [right, bottom] = ends(place);
                    (found.width, found.height) = (found.width.max(right), found.height.max(bottom));
                }
                found.frames.push(FrameBlock { delay_ms: std::mem::take(&mut delay_ms), width, height });
            }
            Some(other) => {
                let other = other[0];
                return Err(format!(
                    "a block of the unknown kind {other:#04x} where frame {frame} may begin"
                ));
            }
        }
    }
    match found.frames.is_empty() {
        true => Err("no frame".to_owned()),
        false => Ok(found),
    }
}

/// "As before the frame", as some programs wrote it before the standard said 3; browsers read both.
const OLD_PREVIOUS: u8 = 4;
const PREVIOUS: u8 = 3;

fn disposal(flags: u8) -> u8 {
    (flags >> 2) & 7
}

/// The GIF with a screen that holds its first frame, as browsers and Pillow enlarge one that does not; what is broken stays.
pub(super) fn with_room(bytes: &[u8]) -> Cow<'_, [u8]> {
    let Some([right, bottom]) = first_ends(bytes) else { return Cow::Borrowed(bytes) };
    let (width, height) = (number(bytes, 6), number(bytes, 8));
    let sides = [width.max(right), height.max(bottom)].map(u16::try_from);
    let [Ok(wide), Ok(high)] = sides else { return Cow::Borrowed(bytes) };
    if (u32::from(wide), u32::from(high)) == (width, height) {
        return Cow::Borrowed(bytes);
    }
    let mut enlarged = bytes.to_vec();
    enlarged[SCREEN].copy_from_slice(&[wide.to_le_bytes(), high.to_le_bytes()].concat());
    Cow::Owned(enlarged)
}

/// The GIF as its decoder is to read it: with room for its first frame, and with today's numbers.
pub(super) fn as_browsers_read<'a>(bytes: &'a [u8], outline: &Outline) -> Cow<'a, [u8]> {
    let mut bytes = with_room(bytes);
    for &at in &outline.old_disposals {
        let flags = &mut bytes.to_mut()[at];
        *flags = (*flags & !(7 << 2)) | (PREVIOUS << 2);
    }
    bytes
}

/// Where the first frame ends to the right and below.
fn first_ends(bytes: &[u8]) -> Option<[u32; 2]> {
    let mut blocks = Blocks { bytes, at: 0 };
    let header = blocks.take(HEADER)?;
    blocks.palette(header[10])?;
    loop {
        match blocks.take(1)? {
            b"\x21" => {
                blocks.take(1)?;
                blocks.rest()?;
            }
            b"\x2c" => return Some(ends(blocks.take(9)?)),
            _ => return None,
        }
    }
}

/// Right and lower end of the rectangle with which a frame begins.
fn ends(place: &[u8]) -> [u32; 2] {
    [number(place, 0) + number(place, 4), number(place, 2) + number(place, 6)]
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

/// What is left to read.
struct Blocks<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Blocks<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..)?.get(..n)?;
        self.at += n;
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
