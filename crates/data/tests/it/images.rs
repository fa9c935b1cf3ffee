//! Pictures against Pillow, against limits, and against damage.

use std::{
    collections::BTreeMap,
    io::Read as _,
    time::{Duration, Instant},
};

use base::{Rng, hash::sha256};
use data::image::{Background, Filter, Fit, ImageError, ImageLimits, Preprocessing, RgbImage, decode};
use serde::Deserialize;

/// Worst difference of a level seen against Pillow's libjpeg-turbo, 4: other roundings of the inverse transform and of
/// YCbCr. With fancy upsampling left out, or Cb and Cr exchanged, it would be above 30.
const JPEG_LEVELS: u8 = 6;

#[derive(Deserialize)]
struct Fixture {
    about: About,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct About {
    mean: [f32; 3],
}

#[derive(Debug, Deserialize)]
struct Case {
    file: String,
    background: Option<[u8; 3]>,
    width: usize,
    height: usize,
    fit: Option<Fit>,
    filter: Option<Filter>,
    sha256: String,
}

fn files() -> BTreeMap<String, Vec<u8>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/pillow_images.tar");
    let mut tar = tar::Archive::new(std::fs::File::open(path).unwrap());
    let read = |entry: std::io::Result<tar::Entry<'_, std::fs::File>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().display().to_string(), bytes)
    };
    tar.entries().unwrap().map(read).collect()
}

fn decoded(bytes: &[u8], background: Background) -> RgbImage {
    decode(bytes, "here", &ImageLimits::default(), background).unwrap()
}

#[test]
fn pixels_are_those_of_pillow() {
    let files = files();
    let fixture: Fixture = serde_json::from_slice(&files["cases.json"]).unwrap();
    let mut wrong = Vec::new();
    for case in &fixture.cases {
        let background = case.background.map_or(Background::Ignored, Background::Over);
        let picture = decoded(&files[&case.file], background);
        let picture = match (case.fit, case.filter) {
            (Some(fit), Some(filter)) => {
                let (width, height) = (case.width, case.height);
                let mean = fixture.about.mean;
                Preprocessing { width, height, fit, filter, background, mean, std: [0.5; 3] }.fitted(&picture)
            }
            _ => picture,
        };
        assert_eq!((picture.width(), picture.height()), (case.width, case.height), "{case:?}");
        if sha256(picture.pixels()) != case.sha256 {
            wrong.push(format!("{case:?}"));
        }
    }
    assert!(fixture.cases.len() > 1_000);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), fixture.cases.len(), wrong.join("\n"));
}

#[test]
fn photographs_are_those_of_pillow_but_for_single_levels() {
    let files = files();
    let mut n_found = 0;
    for (name, bytes) in files.iter().filter(|(name, _)| name.ends_with(".jpg")) {
        n_found += 1;
        let (ours, theirs) =
            (decoded(bytes, Background::WHITE), decoded(&files[&format!("{name}.png")], Background::WHITE));
        assert_eq!((ours.width(), ours.height()), (theirs.width(), theirs.height()), "{name}");
        let worst = ours.pixels().iter().zip(theirs.pixels()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= JPEG_LEVELS, "{name}: {worst} levels");
    }
    assert_eq!(n_found, 12);
}

#[test]
fn patches_are_the_pixels_in_another_order() {
    let picture = decoded(&files()["gradient.png"], Background::WHITE);
    let preprocessing = Preprocessing { width: 24, height: 16, ..Preprocessing::default() };
    let (pixels, patches) = (preprocessing.pixels(&picture), preprocessing.patches(&picture, 8));
    for (i, &value) in patches.iter().enumerate() {
        let (patch, c, y, x) = (i / 192, i / 64 % 3, i / 8 % 8, i % 8);
        let (y, x) = (patch / 3 * 8 + y, patch % 3 * 8 + x);
        assert_eq!(value, pixels[(c * 16 + y) * 24 + x]);
    }
    assert_eq!(patches.len(), pixels.len());
    let white = RgbImage::filled(3, 3, [255, 0, 255]);
    let ends = Preprocessing::square(1).pixels(&white);
    assert_eq!(ends, [1.0, -1.0, 1.0]);
}

/// The longest sides that the limits let through: a padded square would have a thousand million pixels.
#[test]
fn extreme_aspects_cost_no_more_than_the_picture() {
    for (width, height) in [(32_768, 1), (1, 32_768)] {
        let picture = RgbImage::filled(width, height, [9, 9, 9]);
        for fit in [Fit::Pad, Fit::Crop, Fit::Stretch] {
            let begin = Instant::now();
            let fitted = Preprocessing { fit, ..Preprocessing::square(64) }.fitted(&picture);
            assert!(begin.elapsed() < Duration::from_secs(5), "{fit:?}: {:?}", begin.elapsed());
            assert_eq!(fitted.width(), 64);
        }
    }
}

/// A PNG of `chunks`, with right checksums.
fn png(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, content) in chunks {
        png.extend((content.len() as u32).to_be_bytes());
        let body = [&kind[..], content].concat();
        let mut crc = flate2::Crc::new();
        crc.update(&body);
        png.extend(&body);
        png.extend(crc.sum().to_be_bytes());
    }
    png
}

fn header(width: u32, height: u32) -> Vec<u8> {
    [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat()
}

fn deflated(n_bytes: usize) -> Vec<u8> {
    use std::io::Write as _;
    let mut zip = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    zip.write_all(&vec![0; n_bytes]).unwrap();
    zip.finish().unwrap()
}

#[test]
fn bombs_are_refused_at_once() {
    let pixels = deflated(20_000_000);
    let wide = png(&[(b"IHDR", header(60_000, 60_000)), (b"IDAT", pixels.clone()), (b"IEND", vec![])]);
    let large = png(&[(b"IHDR", header(30_000, 30_000)), (b"IDAT", pixels), (b"IEND", vec![])]);
    let mut jpeg = files()["444.jpg"].clone();
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    let mut gif = files()["palette.gif"].clone();
    gif[6..10].copy_from_slice(&[0xff; 4]);
    let mut webp = files()["lossless.webp"].clone();
    let vp8l = webp.windows(4).position(|four| four == b"VP8L").unwrap();
    let side: u32 = 16_383 - 1;
    webp[vp8l + 9..vp8l + 13].copy_from_slice(&(side | side << 14).to_le_bytes());
    for (name, bomb) in [("wide", wide), ("large", large), ("jpeg", jpeg), ("gif", gif), ("webp", webp)] {
        let begin = Instant::now();
        let error =
            decode(&bomb, "rows.parquet:row 7", &ImageLimits::default(), Background::WHITE).unwrap_err();
        assert!(begin.elapsed() < Duration::from_millis(50), "{name}: {:?}", begin.elapsed());
        assert!(matches!(error, ImageError::TooLarge { .. }), "{name}: {error}");
        let said = error.to_string();
        assert!(said.contains("rows.parquet:row 7") && said.contains("hint: "), "{said}");
    }
}

/// A colour profile and a comment that unpack to a hundred megabytes each do not hinder a picture of one pixel.
#[test]
fn compressed_notes_are_not_unpacked() {
    let note = [b"note\0\0".to_vec(), deflated(100_000_000)].concat();
    let bytes = png(&[
        (b"IHDR", header(1, 1)),
        (b"iCCP", note.clone()),
        (b"zTXt", note),
        (b"IDAT", {
            use std::io::Write as _;
            let mut zip = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            zip.write_all(&[0, 1, 2, 3]).unwrap();
            zip.finish().unwrap()
        }),
        (b"IEND", vec![]),
    ]);
    let begin = Instant::now();
    assert_eq!(decoded(&bytes, Background::WHITE).pixels(), [1, 2, 3]);
    assert!(begin.elapsed() < Duration::from_millis(50), "{:?}", begin.elapsed());
}

#[test]
fn refusals_say_what_was_found() {
    let small = ImageLimits { max_bytes: 100, ..ImageLimits::default() };
    let noise = &files()["noise.png"];
    let message = |bytes: &[u8], limits: &ImageLimits| {
        decode(bytes, "a.tar:b.png", limits, Background::WHITE).unwrap_err().to_string()
    };
    assert_eq!(
        message(noise, &small),
        format!(
            "expected at most 100 bytes in `a.tar:b.png`, found {}\nhint: make the picture smaller",
            noise.len()
        )
    );
    let any = ImageLimits::default();
    assert!(message(b"<svg/>", &any).contains("found markup (SVG, XML or a page)"));
    assert!(message(b"", &any).contains("found no bytes"));
    assert!(message(&[1, 2, 3], &any).contains("found bytes that begin with 01 02 03"));
    let cut = message(&noise[..noise.len() / 2], &any);
    assert!(cut.starts_with("expected a whole PNG picture in `a.tar:b.png`, found an error: "), "{cut}");
}

/// `MAQUETTE_MUTATED_IMAGES` sets how many; 1,000 take some seconds.
#[test]
fn mutated_pictures_never_panic() {
    let n: usize = std::env::var("MAQUETTE_MUTATED_IMAGES").map_or(1_000, |n| n.parse().unwrap());
    let files: Vec<Vec<u8>> =
        files().into_iter().filter(|(name, _)| name != "cases.json").map(|(_, bytes)| bytes).collect();
    let limits = ImageLimits { max_pixels: 1_000_000, ..ImageLimits::default() };
    let mut rng = Rng::named(25, "mutated pictures");
    let (mut n_good, mut n_bad) = (0, 0);
    for _ in 0..n {
        let mut bytes = files[rng.below(files.len() as u64) as usize].clone();
        for _ in 0..1 + rng.below(8) {
            let at = rng.below(bytes.len() as u64) as usize;
            match rng.below(6) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes[at] ^= 1 << rng.below(8),
                2 => bytes[at] = [0, 0xff, 0x7f, 0x80][rng.below(4) as usize],
                3 => drop(bytes.splice(at..at, (0..rng.below(9)).map(|_| 0xff))),
                4 => {
                    // The header, where sizes stand.
                    let at = at % 40.min(bytes.len());
                    bytes[at] = rng.next_u32() as u8;
                }
                _ => {
                    let end = (at + rng.below(64) as usize).min(bytes.len());
                    let copy = bytes[at..end].to_vec();
                    let to = rng.below(bytes.len() as u64) as usize;
                    bytes.splice(to..to, copy);
                }
            }
        }
        match decode(&bytes, "here", &limits, Background::WHITE) {
            Ok(picture) => {
                n_good += 1;
                assert_eq!(Preprocessing::square(16).pixels(&picture).len(), 3 * 16 * 16);
            }
            Err(error) => {
                n_bad += 1;
                assert!(error.to_string().contains("hint: "));
            }
        }
    }
    assert!(n_good > n / 20 && n_bad > n / 20, "{n_good} decoded, {n_bad} refused");
}

/// A JPEG without its end would otherwise be a picture whose lower part is grey.
#[test]
fn jpegs_that_are_cut_off_are_refused_wherever_they_are() {
    let limits = ImageLimits::default();
    let mut n_files = 0;
    for (name, jpeg) in files().iter().filter(|(name, _)| name.ends_with(".jpg")) {
        n_files += 1;
        let end = jpeg.len() - jpeg.iter().rev().position(|byte| *byte == 0xd9).unwrap();
        for eighths in 1..8 {
            let cut = &jpeg[..end * eighths / 8];
            let error = decode(cut, name, &limits, Background::WHITE).unwrap_err().to_string();
            assert!(error.starts_with("expected a whole JPEG picture in `"), "{name} {eighths}: {error}");
            assert!(error.contains("cut off"), "{name} {eighths}: {error}");
        }
        let error = decode(&jpeg[..end - 2], name, &limits, Background::WHITE).unwrap_err().to_string();
        assert!(error.contains("cut off in its pixels"), "{name}: {error}");
        // What stands behind the end is no part of the picture.
        let longer = [jpeg, &b"more"[..]].concat();
        assert_eq!(decoded(&longer, Background::WHITE), decoded(jpeg, Background::WHITE), "{name}");
    }
    assert!(n_files > 0);
    // A code that no table has, ones alone, in the middle of the pixels.
    let mut jpeg = files()["444.jpg"].clone();
    let pixels = jpeg.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    let middle = (pixels + jpeg.len()) / 2;
    for pair in jpeg[middle..middle + 40].chunks_exact_mut(2) {
        pair.copy_from_slice(&[0xff, 0]);
    }
    let error = decode(&jpeg, "a.jpg", &limits, Background::WHITE).unwrap_err().to_string();
    assert!(error.contains("pixels are missing"), "{error}");
}
