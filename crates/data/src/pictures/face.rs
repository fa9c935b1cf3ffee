//! Faces that ship, and text as outlines.

use base::Rng;
use ttf_parser::{GlyphId, OutlineBuilder};

use super::{Side, path::Path};

/// A typeface; `tools/subset_fonts.py` says where each comes from.
#[derive(Debug)]
pub(super) struct Face {
    pub(super) name: &'static str,
    bytes: &'static [u8],
    pub(super) has_cyrillic: bool,
    side: Side,
}

macro_rules! face {
    ($name:literal, $file:literal, $has_cyrillic:literal, $side:ident) => {
        Face {
            name: $name,
            bytes: include_bytes!(concat!("../../fonts/", $file)),
            has_cyrillic: $has_cyrillic,
            side: Side::$side,
        }
    };
}

static FACES: [Face; 14] = [
    face!("sans", "sans.ttf", true, Train),
    face!("sans-bold", "sans-bold.ttf", true, Train),
    face!("serif", "serif.ttf", true, Train),
    face!("serif-italic", "serif-italic.ttf", true, Train),
    face!("mono", "mono.ttf", true, Train),
    face!("humanist", "humanist.ttf", true, Train),
    face!("book", "book.ttf", true, Train),
    face!("wide", "wide.ttf", true, Train),
    face!("slab", "slab.ttf", true, Train),
    face!("code", "code.ttf", true, Train),
    face!("hand", "hand.otf", false, Train),
    face!("held-out-sans", "held-out-sans.ttf", true, Test),
    face!("held-out-serif", "held-out-serif.otf", true, Test),
    face!("held-out-mono", "held-out-mono.ttf", true, Test),
];

impl Face {
    /// One of the faces of a side; with Cyrillic letters where `text` has some.
    pub(super) fn draw(rng: &mut Rng, side: Side, text: &str) -> &'static Self {
        let needs_cyrillic = !text.is_ascii();
        let fitting: Vec<&Self> =
            FACES.iter().filter(|face| face.side == side && (face.has_cyrillic || !needs_cyrillic)).collect();
        fitting[rng.below(fitting.len() as u64) as usize]
    }

    /// The outline of `text`, `size` pixels to the em, its first baseline point at the origin, and how wide it is set.
    pub(super) fn outline(&self, text: &str, size: f64) -> (Path, f64) {
        let face = ttf_parser::Face::parse(self.bytes, 0).expect("the fonts that ship are whole");
        let scale = size / f64::from(face.units_per_em());
        let mut pen = Pen { path: Path::default(), x: 0.0, scale };
        for c in text.chars() {
            let glyph = face.glyph_index(c).unwrap_or(GlyphId(0));
            face.outline_glyph(glyph, &mut pen);
            pen.x += f64::from(face.glyph_hor_advance(glyph).unwrap_or(0)) * scale;
        }
        (pen.path, pen.x)
    }

    /// Height of capital letters at `size`.
    pub(super) fn cap_height(&self, size: f64) -> f64 {
        self.outline("H", size).0.bounds().map_or(size, |bounds| bounds.height())
    }

    /// The size at which `text` is at most `width` wide, `size` at most.
    pub(super) fn fitted_size(&self, text: &str, size: f64, width: f64) -> f64 {
        let (_, set) = self.outline(text, size);
        if set <= width { size } else { size * width / set }
    }
}

/// Collects glyphs in pixels, upside up.
struct Pen {
    path: Path,
    x: f64,
    scale: f64,
}

impl Pen {
    fn at(&self, x: f32, y: f32) -> (f64, f64) {
        (self.x + f64::from(x) * self.scale, -f64::from(y) * self.scale)
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        self.path.move_to(self.at(x, y));
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.path.line_to(self.at(x, y));
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.path.curve_to(&[self.at(x1, y1), self.at(x, y)]);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.path.curve_to(&[self.at(x1, y1), self.at(x2, y2), self.at(x, y)]);
    }

    fn close(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_face_has_every_letter_that_it_claims() {
        for face in &FACES {
            let parsed = ttf_parser::Face::parse(face.bytes, 0).unwrap();
            let latin = (' '..='~').all(|c| parsed.glyph_index(c).is_some());
            let cyrillic = ('А'..='я').chain(['Ё', 'ё']).all(|c| parsed.glyph_index(c).is_some());
            assert_eq!((latin, cyrillic), (true, face.has_cyrillic), "{}", face.name);
            assert_eq!(face.name.starts_with("held-out"), face.side == Side::Test);
        }
    }

    #[test]
    fn text_has_its_size() {
        for face in &FACES {
            let (path, width) = face.outline("Hxg", 100.0);
            let bounds = path.bounds().unwrap();
            assert!((50.0..90.0).contains(&face.cap_height(100.0)), "{}", face.name);
            assert!(bounds.bottom > 10.0 && width > bounds.width() * 0.9, "{}", face.name);
            let size = face.fitted_size("Hxg", 100.0, width / 2.0);
            assert!((size - 50.0).abs() < 1e-9);
        }
    }
}
