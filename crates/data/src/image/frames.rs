//! Frames of a moving picture, spread evenly over its time.

use std::{
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
/// Frames, and the pixels of all of them, are counted in the file's blocks before any is decoded.
///
/// # Errors
/// If the bytes are no GIF, damaged, or beyond `limits`.
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
    let outline = gif_blocks::outline(bytes).map_err(|message| damaged(message.to_owned()))?;
    limits.check_frames(place, outline.width, outline.height, outline.delays_ms.len())?;
    if outline.width == 0 || outline.height == 0 {
        return Err(damaged(format!("{} x {} pixels", outline.width, outline.height)));
    }
    let times = times_of(&outline.delays_ms);
    let wanted = spread(&times, n);
    let decoded = || -> Result<Vec<Frame>, ::image::ImageError> {
        let mut found = Vec::with_capacity(wanted.len());
        let frames = GifDecoder::new(Cursor::new(bytes))?.into_frames();
        for (i, frame) in frames.enumerate().take(wanted.last().map_or(0, |last| last + 1)) {
            let frame = frame?;
            if wanted.contains(&i) {
                let image = flat(DynamicImage::ImageRgba8(frame.into_buffer()), background);
                found.push(Frame { time_ms: times[i], image });
            }
        }
        Ok(found)
    };
    let found = catch_unwind(AssertUnwindSafe(decoded))
        .map_err(|_| damaged("contradictory sizes".to_owned()))?
        .map_err(|error| damaged(error.to_string()))?;
    match found.len() == wanted.len() {
        true => Ok(found),
        false => Err(damaged(format!("{} frames of {}", found.len(), times.len()))),
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
fn times_of(delays_ms: &[u32]) -> Vec<u32> {
    let mut now = 0u32;
    let time = |delay: &u32| {
        let begin = now;
        now = now.saturating_add(if *delay < SHORTEST_MS { USUAL_MS } else { *delay });
        begin
    };
    delays_ms.iter().map(time).collect()
}

#[cfg(test)]
mod tests {
    use ::image::{Delay, RgbaImage, codecs::gif::GifEncoder};

    use super::*;

    /// Frames of one colour each, seen for so long.
    fn gif(frames: &[(u8, u32)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = GifEncoder::new(&mut bytes);
        for (grey, ms) in frames {
            let image = RgbaImage::from_pixel(6, 4, ::image::Rgba([*grey, *grey, *grey, 255]));
            let delay = Delay::from_numer_denom_ms(*ms, 1);
            encoder.encode_frame(::image::Frame::from_parts(image, 0, 0, delay)).unwrap();
        }
        drop(encoder);
        bytes
    }

    fn read(bytes: &[u8], n: usize) -> Result<Vec<(u32, u8)>, ImageError> {
        let frames = decode_frames(bytes, "a.gif", &ImageLimits::default(), Background::WHITE, n)?;
        Ok(frames.into_iter().map(|frame| (frame.time_ms, frame.image.pixels()[0])).collect())
    }

    #[test]
    fn frames_are_spread_over_the_time_and_keep_their_own() {
        let frames: Vec<(u8, u32)> = (0..9).map(|i| (20 * i, 500)).collect();
        let bytes = gif(&frames);
        assert_eq!(read(&bytes, 3).unwrap(), [(0, 0), (2000, 80), (4000, 160)]);
        assert_eq!(read(&bytes, 100).unwrap().len(), 9);
        assert_eq!(read(&bytes, 1).unwrap(), [(0, 0)]);
        // The first stays for two seconds: it is what is seen in the middle.
        let slow = gif(&[(10, 2000), (20, 500), (30, 500), (40, 0)]);
        assert_eq!(read(&slow, 3).unwrap(), [(0, 10), (3000, 40)]);
        // What is gone at once is shown for a tenth of a second.
        assert_eq!(read(&gif(&[(10, 0), (20, 0)]), 4).unwrap(), [(0, 10), (100, 20)]);
        assert_eq!(read(&gif(&[(10, 70)]), 4).unwrap(), [(0, 10)]);
    }

    #[test]
    fn counts_are_checked_before_pixels_and_damage_is_named() {
        let frames: Vec<(u8, u32)> = (0..30).map(|i| (i, 100)).collect();
        let bytes = gif(&frames);
        let refused = |limits: ImageLimits| {
            decode_frames(&bytes, "a.gif", &limits, Background::WHITE, 4).unwrap_err().to_string()
        };
        let error = refused(ImageLimits { max_frames: 29, ..ImageLimits::default() });
        assert!(error.contains("at most 29 frames") && error.contains("found 30"), "{error}");
        let error = refused(ImageLimits { max_pixels: 24 * 30 / 4 - 1, ..ImageLimits::default() });
        assert!(error.contains("pixels of all frames"), "{error}");
        for len in [0, 5, 12, 13, 20, bytes.len() / 2] {
            let error = read(&bytes[..len], 4).unwrap_err().to_string();
            assert!(error.contains("whole GIF"), "{len}: {error}");
        }
        let png = RgbImage::filled(2, 2, [1, 2, 3]).to_png();
        assert!(read(&png, 4).unwrap_err().to_string().contains("GIF"));
    }

    /// A claim of many large frames costs no more time than reading its blocks.
    #[test]
    fn bombs_are_refused_at_once() {
        let mut bomb = b"GIF89a\xff\x7f\xff\x7f\x80\x00\x00\0\0\0\xff\xff\xff".to_vec();
        for _ in 0..5000 {
            bomb.extend(b"\x2c\0\0\0\0\xff\x7f\xff\x7f\0\x02\x01\x44\0");
        }
        bomb.push(0x3b);
        let begun = std::time::Instant::now();
        assert!(read(&bomb, 4).is_err());
        assert!(begun.elapsed().as_millis() < 50, "{:?}", begun.elapsed());
    }

    #[test]
    fn mutated_files_never_panic() {
        let bytes = gif(&[(10, 100), (20, 100), (30, 100)]);
        let mut rng = base::Rng::new(5, 0);
        for _ in 0..500 {
            let mut bytes = bytes.clone();
            for _ in 0..1 + rng.below(6) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.below(256) as u8;
            }
            let limits = ImageLimits { max_pixels: 100_000, ..ImageLimits::default() };
            let _ = decode_frames(&bytes, "a.gif", &limits, Background::WHITE, 3);
        }
    }
}
