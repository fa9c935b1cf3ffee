//! Frames of a moving picture, spread evenly over its time.

use std::{
    cell::Cell,
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
};

use ::image::{AnimationDecoder as _, DynamicImage, codecs::gif::GifDecoder};

use super::{Background, ImageError, ImageLimits, RgbImage, decode::flat, gif_blocks};

/// Browsers show a frame for as long where its file says that it is gone at once.
const SHORTEST_MS: u32 = 20;
const USUAL_MS: u32 = 100;

/// A frame, and when it is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Milliseconds from the first frame on.
    pub time_ms: u32,
    /// Its pixels.
    pub image: RgbImage,
}

/// At most `n` frames of an animated GIF: the first, the last, and those that are seen at even steps of time between them.
///
/// Frames, and the pixels of all of them, are counted in the file's blocks before any is decoded. They look as in a browser: what a
/// frame leaves out shows what was there before, and what lies beside the screen, which the first frame enlarges, is not seen.
///
/// # Errors
/// If the bytes are no GIF, damaged, or beyond `limits`; the frame is named, of which the first is number 1.
///
/// # Panics
/// If no frame is asked for.
pub fn decode_frames(
    bytes: &[u8],
    place: &str,
    limits: &ImageLimits,
    background: Background,
    n: usize,
) -> Result<Vec<Frame>, ImageError> {
    assert!(n > 0, "decode_frames: no frame");
    limits.check_bytes(place, bytes.len())?;
    let damaged = |message: String| ImageError::Damaged { place: place.to_owned(), format: "GIF", message };
    let outline = gif_blocks::outline(bytes).map_err(damaged)?;
    let n_frames = outline.frames.len();
    limits.check_frames(place, outline.width, outline.height, n_frames)?;
    for (i, frame) in outline.frames.iter().enumerate() {
        // What lies beside the screen is not seen, and takes memory.
        limits.check_size(&format!("{place}, frame {}", i + 1), frame.width, frame.height)?;
    }
    let times = times_of(outline.frames.iter().map(|frame| frame.delay_ms));
    let wanted = spread(&times, n);
    let bytes = gif_blocks::as_browsers_read(bytes, &outline);
    // Of the frame that is being decoded.
    let number = Cell::new(1);
    let decoded = || -> Result<Vec<Frame>, ::image::ImageError> {
        let mut found = Vec::with_capacity(wanted.len());
        let frames = GifDecoder::new(Cursor::new(&bytes[..]))?.into_frames();
        for (i, frame) in frames.enumerate().take(wanted.last().map_or(0, |last| last + 1)) {
            let frame = frame?;
            number.set(i + 2);
            if wanted.contains(&i) {
                let image = flat(DynamicImage::ImageRgba8(frame.into_buffer()), background);
                found.push(Frame { time_ms: times[i], image });
            }
        }
        Ok(found)
    };
    let in_frame = |message: String| damaged(format!("in frame {} of {n_frames}, {message}", number.get()));
    let found = catch_unwind(AssertUnwindSafe(decoded))
        .map_err(|_| in_frame("contradictory sizes".to_owned()))?
        .map_err(|error| in_frame(error.to_string()))?;
    match found.len() == wanted.len() {
        true => Ok(found),
        false => Err(in_frame("no pixels".to_owned())),
    }
}

/// Numbers of at most `n` of frames that are seen from these times on, ascending: the first, the last, and what is seen at even
/// steps between them.
///
/// ```
/// use data::image::spread;
///
/// assert_eq!(spread(&[0, 100, 200, 300, 400], 3), [0, 2, 4]);
/// assert_eq!(spread(&[0, 900, 950, 1000], 3), [0, 3]); // in the middle the first is still seen
/// assert_eq!(spread(&[0, 100], 5), [0, 1]);
/// ```
pub fn spread(times_ms: &[u32], n: usize) -> Vec<usize> {
    if times_ms.len() <= n {
        return (0..times_ms.len()).collect();
    }
    let last = u64::from(*times_ms.last().unwrap_or(&0));
    let at = |k: usize| {
        let time = last * k as u64 / (n.max(2) - 1) as u64;
        times_ms.partition_point(|ms| u64::from(*ms) <= time).saturating_sub(1)
    };
    let mut wanted: Vec<usize> = (0..n).map(at).collect();
    wanted.dedup();
    wanted
}

/// When each frame begins.
fn times_of(delays_ms: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut now = 0u32;
    let time = |delay: u32| {
        let begin = now;
        now = now.saturating_add(if delay < SHORTEST_MS { USUAL_MS } else { delay });
        begin
    };
    delays_ms.map(time).collect()
}

#[cfg(test)]
mod tests;
