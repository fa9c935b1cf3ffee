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

/// A frame as its blocks say it: its place (left, top, width, height), what becomes of it, and the numbers of its pixels' colours.
struct Blocks {
    place: [u8; 4],
    disposal: u8,
    pixels: &'static [u8],
}

/// A GIF of a screen with these sides. Colours 1 to 9 are the greys 10 to 90, 0 is transparent; every frame is seen for 0.1 s.
fn written([width, height]: [u8; 2], frames: &[Blocks]) -> Vec<u8> {
    let mut bytes = [b"GIF89a", &[width, 0, height, 0, 0b1000_0110, 0, 0][..]].concat();
    bytes.extend((0..128u8).flat_map(|i| [i.saturating_mul(10); 3]));
    for Blocks { place: [left, top, width, height], disposal, pixels } in frames {
        bytes.extend([0x21, 0xf9, 4, disposal << 2 | 1, 10, 0, 0, 0]);
        bytes.extend([0x2c, *left, 0, *top, 0, *width, 0, *height, 0, 0]);
        // So few colours in codes of eight bits are their own numbers, between a beginning and an end.
        bytes.extend([7, pixels.len() as u8 + 2, 0x80]);
        bytes.extend(*pixels);
        bytes.extend([0x81, 0]);
    }
    bytes.push(0x3b);
    bytes
}

/// Greys of the pixels of each frame, in tens; white is 25.
fn seen(bytes: &[u8]) -> Vec<Vec<u8>> {
    let frames = decode_frames(bytes, "a.gif", &ImageLimits::default(), Background::WHITE, 100).unwrap();
    frames.iter().map(|frame| frame.image.pixels().chunks(3).map(|pixel| pixel[0] / 10).collect()).collect()
}

#[test]
fn frames_are_laid_over_what_the_ones_before_leave() {
    let whole = |disposal, pixels| Blocks { place: [0, 0, 3, 1], disposal, pixels };
    let middle = |disposal, pixels| Blocks { place: [1, 0, 1, 1], disposal, pixels };
    for (disposal, after) in [(0, [1, 5, 3]), (1, [1, 5, 3]), (2, [1, 25, 3]), (3, [1, 2, 3]), (4, [1, 2, 3])]
    {
        let gif = written([3, 1], &[whole(1, &[1, 2, 3]), middle(disposal, &[5]), whole(1, &[0, 0, 0])]);
        assert_eq!(seen(&gif), [[1, 2, 3], [1, 5, 3], after], "disposal {disposal}");
    }
    // What a frame leaves out shows what was there.
    assert_eq!(seen(&written([3, 1], &[whole(1, &[1, 2, 3]), whole(1, &[0, 7, 0])])), [[1, 2, 3], [1, 7, 3]]);
    // The first that is taken away leaves nothing.
    let gif = written([3, 1], &[whole(3, &[1, 2, 3]), middle(1, &[5])]);
    assert_eq!(seen(&gif), [[1, 2, 3], [25, 5, 25]]);
}

#[test]
fn what_lies_beside_the_screen_is_not_seen_and_the_first_frame_enlarges_it() {
    let frame = |place, pixels| Blocks { place, disposal: 1, pixels };
    let gif = written([2, 1], &[frame([0, 0, 2, 1], &[1, 2]), frame([1, 0, 3, 1], &[5, 6, 7])]);
    assert_eq!(seen(&gif), [[1, 2], [1, 5]]);
    let small = written([1, 0], &[frame([1, 0, 2, 1], &[1, 2]), frame([0, 0, 1, 1], &[5])]);
    assert_eq!(seen(&small), [[25, 1, 2], [5, 1, 2]]);
    // The first frame alone is the same picture.
    let first = super::super::decode(&small, "a.gif", &ImageLimits::default(), Background::WHITE).unwrap();
    assert_eq!((first.width(), first.height(), first.pixels()[3]), (3, 1, 10));
    let wide = ImageLimits { max_side: 2, ..ImageLimits::default() };
    let refused = decode_frames(&gif, "a.gif", &wide, Background::WHITE, 4).unwrap_err().to_string();
    assert!(refused.contains("`a.gif, frame 2`, found 3"), "{refused}");
}

#[test]
fn errors_name_the_frame() {
    let frame = |pixels| Blocks { place: [0, 0, 3, 1], disposal: 1, pixels };
    let good = written([3, 1], &[frame(&[1, 2, 3]), frame(&[4, 5, 6]), frame(&[7, 8, 9])]);
    let refused = |bytes: &[u8]| read(bytes, 100).unwrap_err().to_string();
    let len = good.len();
    // A frame takes 8 bytes of extension, 10 of its place and 8 of pixels.
    for (cut, says) in [
        (len - 3, "cut off in the pixels of frame 3"),
        (len - 15, "cut off in frame 3"),
        (len - 22, "cut off in an extension in front of frame 3"),
        (len - 30, "cut off in the pixels of frame 2"),
        (20, "cut off in its palette"),
    ] {
        let error = refused(&good[..cut]);
        assert!(error.contains(says) && error.contains("hint: "), "{cut}: {error}");
    }
    // Without the trailer it is whole.
    assert_eq!(seen(&good[..len - 1]).len(), 3);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        refused(&bytes)
    };
    let third = len - 1 - 26;
    for (at, byte, says) in [
        (third, 0x77, "the unknown kind 0x77 where frame 3 may begin"),
        (third + 13, 0, "frame 3 is 0 x 1 pixels"),
        // One pixel more than there are.
        (third + 13, 4, "in frame 3 of 3, "),
        (third + 2, 3, "frame 3"),
        // A code of 20 bits.
        (third + 18, 19, "in frame 3 of 3, "),
    ] {
        let error = with(at, byte);
        assert!(error.contains(says), "{at} {byte}: {error}");
    }
    let empty = written([3, 1], &[]);
    assert!(refused(&empty).contains("no frame"));
}
