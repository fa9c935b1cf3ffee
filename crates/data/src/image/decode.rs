//! Encoded bytes to upright pixels.

use std::{
    borrow::Cow,
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
};

use ::image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, metadata::Orientation};
use serde::{Deserialize, Serialize};

use super::{ImageError, ImageLimits, RgbImage, gif_blocks, jpeg, png_chunks};

/// What stands behind transparent pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Background {
    /// A colour, as Pillow's `paste` with the alpha channel as mask lays the picture over it.
    Over([u8; 3]),
    /// Nothing: alpha is dropped and the colours below it show, as Pillow's `convert("RGB")` does.
    Ignored,
}

impl Background {
    /// Over white.
    pub const WHITE: Self = Self::Over([255; 3]);
}

impl Default for Background {
    fn default() -> Self {
        Self::WHITE
    }
}

/// Decodes a PNG, JPEG, WebP or GIF (of moving ones the first frame), whatever its name ends in.
///
/// Grey, palettes and fewer bits become 8-bit colours; of 16 bits the upper eight are kept. A picture with an
/// orientation in EXIF is turned upright. `place` names the picture in errors: its file, and its row if there are several.
///
/// # Errors
/// If the bytes are of another format, damaged, or beyond `limits`; these are read from the header, before any pixel.
pub fn decode(
    bytes: &[u8],
    place: &str,
    limits: &ImageLimits,
    background: Background,
) -> Result<RgbImage, ImageError> {
    limits.check_bytes(place, bytes.len())?;
    let Some((format, name)) = format_of(bytes) else {
        return Err(ImageError::Format { place: place.to_owned(), found: look(bytes) });
    };
    let damaged = |message: String| ImageError::Damaged { place: place.to_owned(), format: name, message };
    let bytes = match format {
        ImageFormat::Png => Cow::Owned(png_chunks::essential(bytes)),
        ImageFormat::Gif => gif_blocks::with_room(bytes),
        _ => Cow::Borrowed(bytes),
    };
    // The decoders are fuzzed by their authors; should an assertion be reached nevertheless, it is one row that is bad.
    let decoded = catch_unwind(AssertUnwindSafe(|| decoded(&bytes, format, place, limits, &damaged)))
        .unwrap_or_else(|_| Err(damaged("contradictory sizes".to_owned())))?;
    Ok(flat(decoded, background))
}

fn decoded(
    bytes: &[u8],
    format: ImageFormat,
    place: &str,
    limits: &ImageLimits,
    damaged: &dyn Fn(String) -> ImageError,
) -> Result<DynamicImage, ImageError> {
    let failed = |error: ::image::ImageError| damaged(error.to_string());
    if format == ImageFormat::Jpeg {
        jpeg::check_end(bytes).map_err(damaged)?;
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut decoder_limits = Limits::no_limits();
    decoder_limits.max_alloc = Some(limits.max_alloc());
    reader.limits(decoder_limits);
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    limits.check_size(place, width, height)?;
    if width == 0 || height == 0 {
        return Err(damaged(format!("{width} x {height} pixels")));
    }
    // A broken note about the orientation is no reason to lose the picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = match format {
        ImageFormat::Jpeg => jpeg::whole(bytes, (width, height)).map_err(damaged)?,
        _ => DynamicImage::from_decoder(decoder).map_err(failed)?,
    };
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn format_of(bytes: &[u8]) -> Option<(ImageFormat, &'static str)> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some((ImageFormat::Png, "PNG")),
        [0xff, 0xd8, 0xff, ..] => Some((ImageFormat::Jpeg, "JPEG")),
        [b'G', b'I', b'F', b'8', ..] => Some((ImageFormat::Gif, "GIF")),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some((ImageFormat::WebP, "WebP")),
        _ => None,
    }
}

/// What bytes of another format look like.
fn look(bytes: &[u8]) -> String {
    let known: [(&[u8], &str); 7] = [
        (b"", "no bytes"),
        (b"BM", "a BMP"),
        (b"II*\0", "a TIFF"),
        (b"MM\0*", "a TIFF"),
        (b"%PDF", "a PDF"),
        (b"<", "markup (SVG, XML or a page)"),
        (b"version https://git-lfs", "a pointer of Git LFS"),
    ];
    let known = known
        .iter()
        .filter(|(start, _)| if start.is_empty() { bytes.is_empty() } else { bytes.starts_with(start) });
    known.map(|(_, name)| (*name).to_owned()).next().unwrap_or_else(|| {
        let start: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("bytes that begin with {}", start.join(" "))
    })
}

/// Eight bits, three colours, no transparency.
pub(super) fn flat(picture: DynamicImage, background: Background) -> RgbImage {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let grey = |l: u8| [l; 3];
    let pixels = match picture {
        DynamicImage::ImageRgb8(picture) => picture.into_raw(),
        DynamicImage::ImageLuma8(picture) => picture.iter().flat_map(|&l| grey(l)).collect(),
        DynamicImage::ImageLuma16(picture) => picture.iter().flat_map(|&l| grey(upper(l))).collect(),
        DynamicImage::ImageRgb16(picture) => picture.iter().map(|&c| upper(c)).collect(),
        DynamicImage::ImageLumaA8(picture) => {
            picture.pixels().flat_map(|p| over(grey(p.0[0]), p.0[1], background)).collect()
        }
        DynamicImage::ImageLumaA16(picture) => {
            picture.pixels().flat_map(|p| over(grey(upper(p.0[0])), upper(p.0[1]), background)).collect()
        }
        DynamicImage::ImageRgba16(picture) => {
            let pixels = picture.pixels().map(|p| p.0.map(upper));
            pixels.flat_map(|[r, g, b, a]| over([r, g, b], a, background)).collect()
        }
        other => {
            let picture = other.into_rgba8();
            picture.pixels().flat_map(|p| over([p.0[0], p.0[1], p.0[2]], p.0[3], background)).collect()
        }
    };
    RgbImage::new(width, height, pixels)
}

fn upper(value: u16) -> u8 {
    (value >> 8) as u8
}

fn over(colour: [u8; 3], alpha: u8, background: Background) -> [u8; 3] {
    let Background::Over(background) = background else { return colour };
    let alpha = u32::from(alpha);
    std::array::from_fn(|i| {
        // Pillow's division by 255 with rounding.
        let sum = u32::from(background[i]) * (255 - alpha) + u32::from(colour[i]) * alpha + 128;
        (((sum >> 8) + sum) >> 8) as u8
    })
}
