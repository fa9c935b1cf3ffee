//! How large a picture may be.

use serde::{Deserialize, Serialize};

use super::ImageError;

/// Limits that are checked before anything is decoded or allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageLimits {
    /// Bytes of the encoded picture.
    pub max_bytes: u64,
    /// Width times height.
    pub max_pixels: u64,
    /// Pixels of the longer side.
    pub max_side: u64,
    /// Frames of a moving picture, which together may have four times `max_pixels`.
    pub max_frames: u64,
}

/// How many of the largest pictures the frames of a moving one may come to.
const ALL_FRAMES: u64 = 4;

impl Default for ImageLimits {
    /// 64 MiB, 64 million pixels, 32,768 pixels a side, 4,096 frames: photographs pass, a decompression bomb does not.
    fn default() -> Self {
        Self { max_bytes: 64 << 20, max_pixels: 64_000_000, max_side: 32_768, max_frames: 4096 }
    }
}

impl ImageLimits {
    /// Refuses more bytes of a file than are decoded; `place` names it.
    ///
    /// # Errors
    /// [`ImageError::TooLarge`].
    pub fn check_bytes(&self, place: &str, n_bytes: usize) -> Result<(), ImageError> {
        check(place, "bytes", self.max_bytes, n_bytes as u64, "max_bytes")
    }

    pub(super) fn check_size(&self, place: &str, width: u32, height: u32) -> Result<(), ImageError> {
        let (width, height) = (u64::from(width), u64::from(height));
        check(place, "pixels of width", self.max_side, width, "max_side")?;
        check(place, "pixels of height", self.max_side, height, "max_side")?;
        check(place, "pixels", self.max_pixels, width * height, "max_pixels")
    }

    pub(super) fn check_frames(
        &self,
        place: &str,
        width: u32,
        height: u32,
        n_frames: usize,
    ) -> Result<(), ImageError> {
        self.check_size(place, width, height)?;
        check(place, "frames", self.max_frames, n_frames as u64, "max_frames")?;
        let all = u64::from(width) * u64::from(height) * n_frames as u64;
        check(place, "pixels of all frames", self.max_pixels.saturating_mul(ALL_FRAMES), all, "max_frames")
    }

    /// Bytes that a decoder may ask for: four channels of 16 bits.
    pub(super) fn max_alloc(&self) -> u64 {
        self.max_pixels.saturating_mul(8)
    }
}

fn check(
    place: &str,
    what: &'static str,
    limit: u64,
    found: u64,
    setting: &'static str,
) -> Result<(), ImageError> {
    match found > limit {
        true => Err(ImageError::TooLarge { place: place.to_owned(), what, limit, found, setting }),
        false => Ok(()),
    }
}
