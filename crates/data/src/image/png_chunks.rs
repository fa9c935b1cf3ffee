//! The chunks of a PNG that decide its pixels.

/// Chunks that are kept: header, palette, transparency, pixels, orientation, end.
const KEPT: [&[u8; 4]; 6] = [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"IEND"];
const SIGNATURE: usize = 8;

/// The PNG without comments, colour profiles and further frames: compressed ones can unpack to a thousand times their
/// size before the first pixel is read. What follows a broken chunk is kept as it is, for the decoder to refuse.
pub(super) fn essential(png: &[u8]) -> Vec<u8> {
    let (signature, mut rest) = png.split_at(SIGNATURE.min(png.len()));
    let mut kept = Vec::with_capacity(png.len());
    kept.extend_from_slice(signature);
    while let [a, b, c, d, kind @ ..] = rest {
        // Length, kind, content, checksum.
        let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize + 12;
        let Some(chunk) = rest.get(..len) else { break };
        if KEPT.iter().any(|name| kind.starts_with(*name)) {
            kept.extend_from_slice(chunk);
        }
        rest = &rest[len..];
    }
    kept.extend_from_slice(rest);
    kept
}

/// Where the header ends: signature, length, kind, 13 bytes, checksum.
const AFTER_HEADER: usize = SIGNATURE + 4 + 4 + 13 + 4;

/// A PNG with a comment behind its header (`tEXt`), such as `Software` and the name of a program: no pixel changes.
///
/// # Panics
/// If the bytes are too few for a PNG.
pub fn with_comment(mut png: Vec<u8>, keyword: &str, text: &str) -> Vec<u8> {
    let content = [b"tEXt", keyword.as_bytes(), &[0], text.as_bytes()].concat();
    let mut checksum = flate2::Crc::new();
    checksum.update(&content);
    let len = (content.len() - 4) as u32;
    let chunk = [&len.to_be_bytes()[..], &content, &checksum.sum().to_be_bytes()].concat();
    png.splice(AFTER_HEADER..AFTER_HEADER, chunk);
    png
}

#[cfg(test)]
mod tests {
    use crate::image::{Background, RgbImage, decode, with_comment};

    #[test]
    fn a_comment_changes_no_pixel() {
        let picture = RgbImage::filled(3, 2, [1, 2, 3]);
        let png = with_comment(picture.to_png(), "Software", "someone");
        assert!(png.windows(16).any(|part| part == b"Software\0someone"));
        assert_eq!(decode(&png, "x", &Default::default(), Background::WHITE).unwrap(), picture);
        // A strict reader checks the sum of every chunk.
        let mut reader = ::image::ImageReader::new(std::io::Cursor::new(&png));
        reader.set_format(::image::ImageFormat::Png);
        assert_eq!(reader.decode().unwrap().to_rgb8().as_raw(), picture.pixels());
    }
}
