//! Pictures of files seen in other ways, so that few of them teach more.

use base::Rng;
use serde::{Deserialize, Serialize};

use crate::image::RgbImage;

/// A change of a picture of a training file; `augment` in the `[data.pictures]` table of a recipe names those that what is said of
/// the pictures stays true under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Augmentation {
    /// Left and right exchanged, of half the pictures.
    Mirror,
    /// Top and bottom exchanged, of half the pictures.
    Flip,
    /// Turned by 0, 90, 180 or 270 degrees.
    QuarterTurn,
    /// Moved by up to an eighth of the width and of the height; the pixels at the edges are repeated.
    Shift,
}

/// Draws one way in which all pictures of a document are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct View {
    mirrored: bool,
    flipped: bool,
    quarter_turns: u64,
    /// Of the width and of the height.
    shift: [f64; 2],
}

impl View {
    pub(super) fn draw(augment: &[Augmentation], rng: &mut Rng) -> Self {
        let mut view = Self::default();
        for augmentation in augment {
            match augmentation {
                Augmentation::Mirror => view.mirrored = rng.below(2) == 1,
                Augmentation::Flip => view.flipped = rng.below(2) == 1,
                Augmentation::QuarterTurn => view.quarter_turns = rng.below(4),
                Augmentation::Shift => {
                    view.shift = [rng.uniform() - 0.5, rng.uniform() - 0.5].map(|part| part / 4.0)
                }
            }
        }
        view
    }

    pub(super) fn of(&self, mut image: RgbImage) -> RgbImage {
        let (width, height) = (image.width(), image.height());
        if self.mirrored {
            image = picked(&image, [width, height], |x, y| [width - 1 - x, y]);
        }
        if self.flipped {
            image = picked(&image, [width, height], |x, y| [x, height - 1 - y]);
        }
        for _ in 0..self.quarter_turns {
            // Clockwise: the left column becomes the top row.
            let (width, height) = (image.width(), image.height());
            image = picked(&image, [height, width], |x, y| [y, height - 1 - x]);
        }
        if self.shift != [0.0; 2] {
            let size = [image.width(), image.height()];
            let from = |at: usize, axis: usize| {
                let moved = at as f64 - (self.shift[axis] * size[axis] as f64).round();
                moved.clamp(0.0, (size[axis] - 1) as f64) as usize
            };
            image = picked(&image, size, |x, y| [from(x, 0), from(y, 1)]);
        }
        image
    }
}

/// A picture of `[width, height]` with the pixels of another, from where `at` says.
fn picked(
    image: &RgbImage,
    [width, height]: [usize; 2],
    at: impl Fn(usize, usize) -> [usize; 2],
) -> RgbImage {
    let mut pixels = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        for x in 0..width {
            let [from_x, from_y] = at(x, y);
            pixels.extend_from_slice(&image.row(from_y)[3 * from_x..3 * from_x + 3]);
        }
    }
    RgbImage::new(width, height, pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 3 pixels wide, 2 high: 0 1 2 / 3 4 5.
    fn image() -> RgbImage {
        RgbImage::new(3, 2, (0..6).flat_map(|i| [i; 3]).collect())
    }

    fn numbers(image: &RgbImage) -> (usize, Vec<u8>) {
        (image.width(), image.pixels().chunks(3).map(|pixel| pixel[0]).collect())
    }

    #[test]
    fn pixels_go_where_the_view_says() {
        let seen = |view: View| numbers(&view.of(image()));
        assert_eq!(seen(View::default()), (3, vec![0, 1, 2, 3, 4, 5]));
        assert_eq!(seen(View { mirrored: true, ..View::default() }), (3, vec![2, 1, 0, 5, 4, 3]));
        assert_eq!(seen(View { flipped: true, ..View::default() }), (3, vec![3, 4, 5, 0, 1, 2]));
        assert_eq!(seen(View { quarter_turns: 1, ..View::default() }), (2, vec![3, 0, 4, 1, 5, 2]));
        assert_eq!(seen(View { quarter_turns: 2, ..View::default() }), (3, vec![5, 4, 3, 2, 1, 0]));
        assert_eq!(seen(View { shift: [0.34, 0.0], ..View::default() }), (3, vec![0, 0, 1, 3, 3, 4]));
        assert_eq!(seen(View { shift: [0.0, -0.5], ..View::default() }), (3, vec![3, 4, 5, 3, 4, 5]));
    }

    #[test]
    fn every_view_comes_and_none_that_was_not_named() {
        use Augmentation::{Flip, Mirror, QuarterTurn, Shift};
        let mut rng = Rng::new(1, 0);
        let mut seen = |augment: &[Augmentation]| -> std::collections::HashSet<Vec<u8>> {
            (0..200).map(|_| numbers(&View::draw(augment, &mut rng).of(image())).1).collect()
        };
        assert_eq!(seen(&[]).len(), 1);
        assert_eq!(seen(&[Mirror]).len(), 2);
        assert_eq!(seen(&[Mirror, Flip]).len(), 4);
        assert_eq!(seen(&[QuarterTurn]).len(), 4);
        assert!(View::draw(&[Shift], &mut rng).shift.iter().all(|part| part.abs() <= 0.125));
    }
}
