//! Pictures with questions whose answers are known exactly: words to read, scenes to describe, charts to read off, clips in
//! which shapes move.
//!
//! A [`Drawer`] draws the same pixels for the same seed on every machine: outlines are filled in integers, and text is
//! drawn by the same code from fonts that ship. Faces, palettes and contents are divided between training and test
//! ([`Side`]): a hash of what a picture shows decides on which side it may stand, so that the two never meet, whatever
//! the seeds.
//!
//! ```
//! use data::pictures::{Drawer, PictureKind, Side};
//!
//! let drawer = Drawer { seed: 1, side_pixels: 128 };
//! let picture = drawer.draw(PictureKind::Words, Side::Test, 0);
//! assert_eq!(picture, drawer.draw(PictureKind::Words, Side::Test, 0));
//! assert_eq!((picture.images[0].width(), picture.images[0].height()), (128, 128));
//! assert!(!picture.question.is_empty() && !picture.answer.is_empty());
//! ```

mod apart;
mod augment;
mod canvas;
mod chart;
mod clip;
mod config;
mod export;
mod face;
mod palette;
mod path;
mod scene;
mod set;
mod shape;
mod split;
#[cfg(test)]
mod tests;
mod unfinished;
mod words;

use base::{Rng, hash::xxh3_64};
use serde::{Deserialize, Serialize};

pub use augment::Augmentation;
pub use clip::stamp;
pub use config::{FirstPictures, PicturesConfig};
pub use export::{Export, Line};
pub use set::{PictureSet, SetDocument, SetPart};
pub use split::RowSplit;
pub use unfinished::clear_unfinished;

use crate::{image::RgbImage, interleaved::PLACEHOLDER};

/// One in this many contents is only ever tested with.
pub const TEST_ONE_IN: u64 = 8;
/// Levels of difficulty, from 1 on.
pub const N_LEVELS: u32 = 4;

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureKind {
    /// Bar, line, pie and scatter charts with titles, axes and legends.
    Charts,
    /// Words, numbers and short texts in Latin and Cyrillic.
    Words,
    /// Shapes of several colours, how many there are and how they lie.
    Scenes,
    /// A few frames with their times, in which shapes move.
    Clips,
}

impl PictureKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Charts, Self::Words, Self::Scenes, Self::Clips];
    /// Those of one picture each.
    pub const STILLS: [Self; 3] = [Self::Charts, Self::Words, Self::Scenes];

    /// As it is written in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Charts => "charts",
            Self::Words => "words",
            Self::Scenes => "scenes",
            Self::Clips => "clips",
        }
    }
}

/// What a picture may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Training.
    Train,
    /// Test: faces, palettes and contents that no training picture has.
    Test,
}

impl Side {
    /// As it is written in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }

    /// The side on which a content may stand.
    fn of(content: &str) -> Self {
        if xxh3_64(content.as_bytes()).is_multiple_of(TEST_ONE_IN) { Self::Test } else { Self::Train }
    }
}

/// A picture, what is asked about it, and the one right answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// What is drawn.
    pub kind: PictureKind,
    /// On which side it stands.
    pub side: Side,
    /// How hard the question is, 1 to [`N_LEVELS`].
    pub level: u32,
    /// The pixels: one image, or the frames of a clip.
    pub images: Vec<RgbImage>,
    /// When each frame of a clip is seen, in milliseconds from the first one on; empty for a still picture.
    pub times_ms: Vec<u32>,
    /// What is asked.
    pub question: String,
    /// The right answer.
    pub answer: String,
    /// Of a clip: the right answer where its frames come in reverse order, at the same times.
    pub reversed_answer: Option<String>,
    /// What the picture shows, in words: the text that the side is decided by.
    pub content: String,
    /// The face of its text; none without text.
    pub face: Option<&'static str>,
}

impl Picture {
    /// What is asked, with the times of a clip and [`PLACEHOLDER`] for each of its frames. That of a still picture, which stands
    /// in front, has none.
    pub fn prompt(&self) -> String {
        match self.times_ms.is_empty() {
            true => self.question.clone(),
            false => format!("{}\n{}", stamped(&self.times_ms), self.question),
        }
    }
}

/// The times of frames, each before the place of its frame: `0.0s <image> 0.5s <image>`.
///
/// ```
/// assert_eq!(data::pictures::stamped(&[0, 500]), "0.0s <image> 0.5s <image>");
/// ```
pub fn stamped(times_ms: &[u32]) -> String {
    let frames: Vec<String> = times_ms.iter().map(|ms| format!("{} {PLACEHOLDER}", stamp(*ms))).collect();
    frames.join(" ")
}

/// Draws pictures; the same numbers give the same pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawer {
    /// Seed of everything that is drawn by chance.
    pub seed: u64,
    /// Width and height.
    pub side_pixels: usize,
}

impl Drawer {
    /// The smallest pictures in which all text can be read.
    pub const MIN_SIDE_PIXELS: usize = 96;

    /// Picture number `index` of a kind and a side; levels come in turns.
    ///
    /// # Panics
    /// If pictures are to be smaller than [`Self::MIN_SIDE_PIXELS`].
    pub fn draw(&self, kind: PictureKind, side: Side, index: u64) -> Picture {
        assert!(self.side_pixels >= Self::MIN_SIDE_PIXELS, "pictures of {} pixels", self.side_pixels);
        let mut rng = Rng::named(self.seed, &format!("pictures/{}/{}/{index}", kind.name(), side.name()));
        let level = 1 + (index % u64::from(N_LEVELS)) as u32;
        let draw = match kind {
            PictureKind::Charts => chart::draw,
            PictureKind::Words => words::draw,
            PictureKind::Scenes => scene::draw,
            PictureKind::Clips => clip::draw,
        };
        draw(&Request { side, level, side_pixels: self.side_pixels }, &mut rng)
    }
}

/// What a generator is asked for.
#[derive(Clone, Copy, Debug)]
struct Request {
    side: Side,
    level: u32,
    side_pixels: usize,
}

impl Request {
    /// Pixels for a length in 160ths of the side.
    fn scaled(&self, length: f64) -> f64 {
        length * self.side_pixels as f64 / 160.0
    }

    /// Draws contents until one belongs to the side.
    fn content<T>(&self, rng: &mut Rng, mut draw: impl FnMut(&mut Rng) -> (T, String)) -> (T, String) {
        loop {
            let (value, content) = draw(rng);
            if Side::of(&content) == self.side {
                return (value, content);
            }
        }
    }
}

/// One of several, each with the same chance.
fn pick<'a, T>(rng: &mut Rng, items: &'a [T]) -> &'a T {
    &items[rng.below(items.len() as u64) as usize]
}

/// A whole number from `from` to `to`, both among them.
fn between(rng: &mut Rng, from: i64, to: i64) -> i64 {
    from + rng.below((to - from + 1) as u64) as i64
}

/// A number from `from` to `to`.
fn uniform(rng: &mut Rng, from: f64, to: f64) -> f64 {
    from + (to - from) * rng.uniform()
}

/// `n` different ones, in an order of chance.
fn some<'a, T>(rng: &mut Rng, items: &'a [T], n: usize) -> Vec<&'a T> {
    let mut left: Vec<&T> = items.iter().collect();
    (0..n.min(items.len())).map(|_| left.swap_remove(rng.below(left.len() as u64) as usize)).collect()
}
