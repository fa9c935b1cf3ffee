//! Whole JPEGs alone: decoders paint grey what is not there, which a model would take for the picture.

use ::image::{DynamicImage, GrayImage, RgbImage};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

/// The pixels of a JPEG with these sides, or what is missing.
///
/// Its headers alone may have faults: these cost no pixel, and many cameras write some.
pub(super) fn whole(bytes: &[u8], (width, height): (u32, u32)) -> Result<DynamicImage, String> {
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(width as usize)
        .set_max_height(height as usize);
    let mut headers = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    headers.decode_headers().map_err(|error| error.to_string())?;
    let is_grey = headers.input_colorspace() == Some(ColorSpace::Luma);
    let colours = if is_grey { ColorSpace::Luma } else { ColorSpace::RGB };

    let options = options.jpeg_set_out_colorspace(colours);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| error.to_string())?;
    decoder.set_options(options.set_strict_mode(true));
    let mut pixels = vec![0; width as usize * height as usize * colours.num_components()];
    decoder.decode_into(&mut pixels).map_err(|error| format!("pixels are missing ({error})"))?;
    let picture = match is_grey {
        true => GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8),
        false => RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8),
    };
    picture.ok_or_else(|| "contradictory sizes".to_owned())
}

const END: u8 = 0xd9;
const PIXELS: u8 = 0xda;

/// Refuses a file that stops before the marker of its end.
pub(super) fn check_end(jpeg: &[u8]) -> Result<(), String> {
    let mut rest = jpeg;
    let mut has_pixels = false;
    // Pixels have no length: they go on to the next marker, and so does what cameras leave between two headers.
    while let Some(at) = rest.iter().position(|byte| *byte == 0xff) {
        rest = &rest[at..];
        let n_fill = rest.iter().take_while(|byte| **byte == 0xff).count();
        let Some((marker, behind)) = rest[n_fill..].split_first() else { break };
        rest = match (marker, behind) {
            (&END, _) => return Ok(()),
            // A byte of the pixels, a mark between them, or a beginning.
            (0x00 | 0x01 | 0xd0..=0xd8, _) => behind,
            (_, [high, low, ..]) => {
                has_pixels |= *marker == PIXELS;
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                behind.get(len..).unwrap_or(&[])
            }
            _ => &[],
        };
    }
    let part = if has_pixels { "pixels" } else { "headers" };
    Err(format!("cut off in its {part}: the marker of its end is missing"))
}
