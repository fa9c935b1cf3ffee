//! Numbers of patches as colours over a picture: red where they are above 0, blue below.

use data::image::RgbImage;

/// What the largest number above 0 becomes, and the largest below.
const ABOVE: [f64; 3] = [214.0, 40.0, 40.0];
const BELOW: [f64; 3] = [38.0, 96.0, 200.0];

/// How much of a picture's own contrast stays behind the colours.
const CONTRAST: f64 = 0.55;

/// A square picture in pale grey, each of its patches in the colour of its number; `largest` gets the full colour.
///
/// # Panics
/// If the picture is not cut into as many patches as there are numbers.
#[track_caller]
pub(crate) fn heat_map(picture: &RgbImage, map: &[f64], largest: f64) -> RgbImage {
    let n = map.len().isqrt();
    assert!(n * n == map.len() && picture.width().is_multiple_of(n.max(1)), "{} patches", map.len());
    let side = picture.width() / n;
    let mut out = picture.clone();
    let width = picture.width();
    for (i, pixel) in out.pixels_mut().chunks_exact_mut(3).enumerate() {
        let value = map[i / width / side * n + i % width / side];
        let strength = if largest > 0.0 { (value / largest).clamp(-1.0, 1.0) } else { 0.0 };
        let colour = if strength >= 0.0 { ABOVE } else { BELOW };
        let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(f64::from);
        let grey = 255.0 - CONTRAST * (255.0 - (0.299 * r + 0.587 * g + 0.114 * b));
        for (byte, colour) in pixel.iter_mut().zip(colour) {
            // Multiplied, so that lines stay visible below the colour.
            let tint = 255.0 + strength.abs() * (colour - 255.0);
            *byte = (grey * tint / 255.0).round() as u8;
        }
    }
    out
}

/// The largest distance from 0.
pub(crate) fn largest(map: &[f64]) -> f64 {
    map.iter().fold(0.0, |largest, value| if value.abs() > largest { value.abs() } else { largest })
}

/// Pictures of one size in rows on white, each pixel as a square of `scale` pixels.
pub(crate) fn sheet(rows: &[Vec<&RgbImage>], scale: usize) -> RgbImage {
    const GAP: usize = 12;
    let (n_columns, first) = (rows[0].len(), rows[0][0]);
    let (width, height) = (first.width() * scale, first.height() * scale);
    let at = |i: usize, size: usize| GAP + i * (size + GAP);
    let mut out = RgbImage::filled(at(n_columns, width), at(rows.len(), height), [255; 3]);
    let row_bytes = 3 * out.width();
    for (r, row) in rows.iter().enumerate() {
        for (c, picture) in row.iter().enumerate() {
            for y in 0..height {
                let start = (at(r, height) + y) * row_bytes + 3 * at(c, width);
                let source = picture.row(y / scale);
                let line = source.chunks_exact(3).flat_map(|pixel| pixel.repeat(scale)).collect::<Vec<u8>>();
                out.pixels_mut()[start..start + line.len()].copy_from_slice(&line);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_coloured_by_their_sign_and_size() {
        let white = RgbImage::filled(4, 4, [255; 3]);
        let map = heat_map(&white, &[2.0, 0.0, -2.0, 1.0], 2.0);
        let pixel = |x: usize, y: usize| <[u8; 3]>::try_from(&map.row(y)[3 * x..][..3]).unwrap();
        assert_eq!((pixel(0, 0), pixel(1, 1)), ([214, 40, 40], [214, 40, 40]));
        assert_eq!((pixel(2, 0), pixel(0, 2)), ([255; 3], [38, 96, 200]));
        assert!(pixel(3, 3)[1] > 40 && pixel(3, 3)[1] < 255);
        // A black line stays darker than what is beside it, and nothing is coloured where nothing counts.
        let black = heat_map(&RgbImage::filled(2, 2, [0; 3]), &[1.0], 1.0);
        assert!(black.row(0)[0] < 214);
        let none = heat_map(&white, &[0.0; 4], 0.0);
        assert_eq!(none, white);
        assert_eq!(largest(&[1.0, -3.0, 2.0]), 3.0);
    }

    #[test]
    fn a_sheet_has_its_pictures_in_rows() {
        let (red, blue) = (RgbImage::filled(2, 2, [200, 0, 0]), RgbImage::filled(2, 2, [0, 0, 200]));
        let sheet = sheet(&[vec![&red, &blue], vec![&blue, &red]], 3);
        assert_eq!((sheet.width(), sheet.height()), (12 * 3 + 12, 12 * 3 + 12));
        let pixel = |x: usize, y: usize| sheet.row(y)[3 * x..][..3].to_vec();
        assert_eq!(
            (pixel(0, 0), pixel(12, 12), pixel(17, 17)),
            (vec![255; 3], vec![200, 0, 0], vec![200, 0, 0])
        );
        assert_eq!(
            (pixel(18, 12), pixel(30, 12), pixel(12, 30)),
            (vec![255; 3], vec![0, 0, 200], vec![0, 0, 200])
        );
    }
}
