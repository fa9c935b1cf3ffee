//! Pixels of three bytes.

use std::io::Cursor;

use ::image::{ExtendedColorType, ImageEncoder as _, codecs::png::PngEncoder};

/// A picture of 8-bit red, green and blue; rows from the top, pixels from the left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbImage {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl RgbImage {
    /// A picture of `pixels`, `[height, width, 3]`.
    ///
    /// # Panics
    /// If the picture has no pixel, or another number of bytes.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Self {
        assert!(width > 0 && height > 0, "RgbImage: expected pixels, found {width} x {height}");
        assert_eq!(pixels.len(), 3 * width * height, "RgbImage: bytes of {width} x {height}");
        Self { width, height, pixels }
    }

    /// A picture of one colour.
    pub fn filled(width: usize, height: usize, colour: [u8; 3]) -> Self {
        Self::new(width, height, colour.repeat(width * height))
    }

    /// Pixels of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// `[height, width, 3]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// `[height, width, 3]`.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// The bytes of row `y`.
    pub fn row(&self, y: usize) -> &[u8] {
        &self.pixels[3 * self.width * y..][..3 * self.width]
    }

    /// The picture as a PNG, whose bytes depend on the pixels alone.
    pub fn to_png(&self) -> Vec<u8> {
        let mut png = Cursor::new(Vec::new());
        let (width, height) = (self.width as u32, self.height as u32);
        PngEncoder::new(&mut png)
            .write_image(&self.pixels, width, height, ExtendedColorType::Rgb8)
            .expect("memory takes every byte and the buffer has the size of the picture");
        png.into_inner()
    }
}
