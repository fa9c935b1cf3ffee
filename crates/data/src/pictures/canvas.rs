//! Filling outlines with smooth edges, in integers.

use base::Rng;

use super::path::Path;
use crate::image::RgbImage;

/// Red, green, blue.
pub(super) type Colour = [u8; 3];

/// Parts of a pixel along each axis: x is exact to one of them.
const UNIT: i64 = 256;
/// Lines within a row of pixels at which the outline is looked at.
const N_LINES: i64 = 16;

/// A picture that is drawn on.
pub(super) struct Canvas {
    image: RgbImage,
}

impl Canvas {
    pub(super) fn new(width: usize, height: usize, background: Colour) -> Self {
        Self { image: RgbImage::filled(width, height, background) }
    }

    pub(super) fn into_image(self) -> RgbImage {
        self.image
    }

    /// Covers what lies within the outline; pixels at its edge are mixed by the part of them that is covered.
    pub(super) fn fill(&mut self, path: &Path, colour: Colour) {
        let (width, height) = (self.image.width(), self.image.height());
        let mut crossings = crossings(path, height as i64 * N_LINES);
        crossings.sort_unstable();
        let mut cover = vec![0i64; width];
        let mut rest = &crossings[..];
        while let Some(&Crossing { line, .. }) = rest.first() {
            let y = line / N_LINES;
            let (row, behind) = rest.split_at(rest.partition_point(|c| c.line / N_LINES == y));
            rest = behind;
            cover.fill(0);
            for line in row.chunk_by(|a, b| a.line == b.line) {
                let mut winding = 0;
                for pair in line.windows(2) {
                    winding += pair[0].direction;
                    if winding != 0 {
                        add_span(&mut cover, pair[0].x, pair[1].x);
                    }
                }
            }
            let pixels = &mut self.image.pixels_mut()[y as usize * 3 * width..][..3 * width];
            for (pixel, &cover) in pixels.chunks_exact_mut(3).zip(&cover) {
                let whole = UNIT * N_LINES;
                for (old, new) in pixel.iter_mut().zip(colour) {
                    let mixed = i64::from(*old) * (whole - cover) + i64::from(new) * cover;
                    *old = ((mixed + whole / 2) / whole) as u8;
                }
            }
        }
    }

    /// Changes every colour of every pixel by up to `strength`, and a share of pixels to grey of any brightness.
    pub(super) fn add_noise(&mut self, rng: &mut Rng, strength: u8, speckle_share: f64) {
        let range = 2 * u64::from(strength) + 1;
        for pixel in self.image.pixels_mut().chunks_exact_mut(3) {
            let speckle = rng.uniform() < speckle_share;
            let grey = rng.below(256) as u8;
            for value in pixel {
                let moved = i64::from(*value) + rng.below(range) as i64 - i64::from(strength);
                *value = if speckle { grey } else { moved.clamp(0, 255) as u8 };
            }
        }
    }
}

/// Where an outline crosses a line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Crossing {
    line: i64,
    x: i64,
    direction: i32,
}

fn crossings(path: &Path, n_lines: i64) -> Vec<Crossing> {
    let fixed = |value: f64| (value * UNIT as f64).round() as i64;
    // Line `i` lies in the middle of its strip.
    let step = UNIT / N_LINES;
    let first_line =
        |y: i64| (y - step / 2).div_euclid(step) + i64::from((y - step / 2).rem_euclid(step) > 0);
    let mut found = Vec::new();
    for contour in &path.contours {
        for (i, &from) in contour.iter().enumerate() {
            let to = contour[(i + 1) % contour.len()];
            let [(x0, y0), (x1, y1)] = [from, to].map(|(x, y)| (fixed(x), fixed(y)));
            let (direction, (x0, y0), (x1, y1)) =
                if y0 <= y1 { (1, (x0, y0), (x1, y1)) } else { (-1, (x1, y1), (x0, y0)) };
            for line in first_line(y0).max(0)..first_line(y1).min(n_lines) {
                let y = line * step + step / 2;
                let x = x0 + ((x1 - x0) * (y - y0)).div_euclid(y1 - y0);
                found.push(Crossing { line, x, direction });
            }
        }
    }
    found
}

fn add_span(cover: &mut [i64], from: i64, to: i64) {
    let (from, to) = (from.max(0), to.min(cover.len() as i64 * UNIT));
    let mut x = from;
    while x < to {
        let pixel = x / UNIT;
        let end = ((pixel + 1) * UNIT).min(to);
        cover[pixel as usize] += end - x;
        x = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greys(path: &Path, width: usize, height: usize) -> Vec<u8> {
        let mut canvas = Canvas::new(width, height, [0; 3]);
        canvas.fill(path, [255; 3]);
        canvas.into_image().pixels().iter().step_by(3).copied().collect()
    }

    #[test]
    fn coverage_is_the_area() {
        assert_eq!(greys(&Path::rect(0.5, 0.0, 1.0, 0.5), 3, 2), [64, 64, 0, 0, 0, 0]);
        let triangle = Path::polygon(vec![(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]);
        let [covered] = greys(&triangle, 1, 1)[..] else { panic!("one pixel") };
        assert!(covered.abs_diff(128) <= 1, "{covered}");
        let circle = greys(&Path::circle((32.0, 32.0), 20.0), 64, 64);
        let area = circle.iter().map(|&grey| f64::from(grey) / 255.0).sum::<f64>();
        assert!((area - std::f64::consts::PI * 400.0).abs() < 4.0, "{area}");
    }

    #[test]
    fn what_lies_outside_is_cut_off_and_overlaps_count_once() {
        assert_eq!(greys(&Path::rect(-9.0, -9.0, 99.0, 99.0), 2, 1), [255, 255]);
        assert_eq!(greys(&Path::rect(5.0, 5.0, 9.0, 9.0), 2, 1), [0, 0]);
        let mut twice = Path::rect(0.0, 0.0, 1.0, 1.0);
        twice.append(Path::rect(0.0, 0.0, 1.0, 1.0));
        assert_eq!(greys(&twice, 1, 1), [255]);
    }
}
