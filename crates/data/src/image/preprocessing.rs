//! A picture in the size and the numbers that an encoder reads.

use serde::{Deserialize, Serialize};

use super::{
    Background, Filter, RgbImage,
    resample::{Canvas, Window, resample},
};

/// What happens to the aspect when a picture is fitted to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// It is kept: the picture is centred in the smallest square that holds it, filled with the mean colour, and that is
    /// resized. The way of `LlavaImageProcessor` with `do_pad`.
    #[default]
    Pad,
    /// It is lost: width and height are resized each on its own. The way of `SiglipImageProcessor`.
    Stretch,
    /// It is kept: the picture is resized until its shorter side fits and the middle is cut out. The way of
    /// `CLIPImageProcessor`.
    Crop,
}

/// How pictures are prepared; part of a model's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Preprocessing {
    /// Width of what the encoder reads.
    pub width: usize,
    /// Its height.
    pub height: usize,
    /// What happens to the aspect.
    pub fit: Fit,
    /// How pixels are weighed: Pillow's arithmetic, not torchvision's, which differs in single levels.
    pub filter: Filter,
    /// What stands behind transparent pixels, for [`super::decode`].
    pub background: Background,
    /// Subtracted from red, green and blue between 0 and 1.
    pub mean: [f32; 3],
    /// What that is divided by.
    pub std: [f32; 3],
}

impl Default for Preprocessing {
    /// 224 pixels, padded, bicubic, over white, to numbers from -1 to 1.
    fn default() -> Self {
        Self {
            width: 224,
            height: 224,
            fit: Fit::Pad,
            filter: Filter::Bicubic,
            background: Background::WHITE,
            mean: [0.5; 3],
            std: [0.5; 3],
        }
    }
}

impl Preprocessing {
    /// The default for squares of `side` pixels.
    pub fn square(side: usize) -> Self {
        Self { width: side, height: side, ..Self::default() }
    }

    /// The picture in the encoder's size.
    ///
    /// # Panics
    /// If that has no pixel.
    pub fn fitted(&self, picture: &RgbImage) -> RgbImage {
        let size = (self.width, self.height);
        let whole = Window { x: 0, y: 0, width: self.width, height: self.height };
        match self.fit {
            Fit::Stretch => resample(&Canvas::plain(picture), size, whole, self.filter),
            Fit::Pad => {
                let side = picture.width().max(picture.height());
                let canvas = Canvas {
                    left: (side - picture.width()) / 2,
                    top: (side - picture.height()) / 2,
                    width: side,
                    height: side,
                    fill: self.mean.map(|mean| (255.0 * f64::from(mean)).clamp(0.0, 255.0) as u8),
                    picture,
                };
                resample(&canvas, size, whole, self.filter)
            }
            Fit::Crop => {
                // The shorter side takes the longer side of the target, so that the window lies inside.
                let short = self.width.max(self.height);
                let longer = |long: usize, shorter: usize| short * long / shorter;
                let full = match picture.width() <= picture.height() {
                    true => (short, longer(picture.height(), picture.width())),
                    false => (longer(picture.width(), picture.height()), short),
                };
                let window = Window { x: (full.0 - self.width) / 2, y: (full.1 - self.height) / 2, ..whole };
                resample(&Canvas::plain(picture), full, window, self.filter)
            }
        }
    }

    /// Normalised numbers, `[3, height, width]`: (byte / 255 - mean) / std.
    pub fn pixels(&self, picture: &RgbImage) -> Vec<f32> {
        let fitted = self.fitted(picture);
        let levels = self.levels();
        (0..3)
            .flat_map(|c| fitted.pixels().iter().skip(c).step_by(3).map(move |&byte| (c, byte)))
            .map(|(c, byte)| levels[c][usize::from(byte)])
            .collect()
    }

    /// Normalised numbers as patches of `patch` x `patch` pixels, from the left and then downwards:
    /// `[n_patches, 3 * patch * patch]`, colours outermost within a patch, as a convolution's weights `[D, 3, P, P]` have it.
    ///
    /// # Panics
    /// If width or height is no multiple of `patch`.
    pub fn patches(&self, picture: &RgbImage, patch: usize) -> Vec<f32> {
        assert!(
            patch > 0 && self.width.is_multiple_of(patch) && self.height.is_multiple_of(patch),
            "{} x {} pixels in patches of {patch}",
            self.width,
            self.height
        );
        let fitted = self.fitted(picture);
        let levels = self.levels();
        let mut out = Vec::with_capacity(fitted.pixels().len());
        for top in (0..self.height).step_by(patch) {
            for left in (0..self.width).step_by(patch) {
                for (c, levels) in levels.iter().enumerate() {
                    for y in top..top + patch {
                        let row = &fitted.row(y)[3 * left..][..3 * patch];
                        out.extend(row.iter().skip(c).step_by(3).map(|&byte| levels[usize::from(byte)]));
                    }
                }
            }
        }
        out
    }

    /// What each byte of each colour becomes.
    fn levels(&self) -> [[f32; 256]; 3] {
        std::array::from_fn(|c| {
            std::array::from_fn(|byte| {
                let unit = (byte as f64 * (1.0 / 255.0)) as f32;
                (unit - self.mean[c]) / self.std[c]
            })
        })
    }
}
