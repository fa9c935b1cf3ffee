//! Documents of pictures by number: drawn ones and those of files, in turns.

use base::{Rng, hash::Xxh3};

use super::{Drawer, N_LEVELS, Picture, PictureKind, PicturesConfig, Side, apart, augment::View};
use crate::{
    DataError, Skipped,
    image::{Background, ImageError, ImageLimits, RgbImage, decode},
    interleaved::{self, PLACEHOLDER, Row, RowPart},
    permutation::Permutation,
};

/// Files of more bytes are refused: they are held in memory.
const MAX_BYTES: usize = 4 << 30;

/// Drawn documents of the beginning are counted from here on, since those of later come with their own numbers.
const FIRST_ROUND: u64 = 1 << 48;

/// A piece of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetPart {
    /// Text.
    Text {
        /// What is written.
        text: String,
        /// Whether it is to be learned: of a question about a drawn picture only the answer is.
        is_learned: bool,
    },
    /// A picture.
    Image(RgbImage),
}

/// A document of text and pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetDocument {
    /// What is drawn; none of those in files.
    pub kind: Option<PictureKind>,
    /// Text and pictures in their order.
    pub parts: Vec<SetPart>,
}

impl SetDocument {
    /// What stands between a picture and the answer to a question about it.
    pub fn asked(question: &str) -> String {
        format!("\n{question}\n")
    }

    /// A drawn picture, or the frames of a clip with their times; a question about it; and the answer, which alone is learned.
    pub fn of(picture: Picture) -> Self {
        let prompt = Self::asked(&picture.prompt());
        let mut parts = Vec::new();
        let mut images = picture.images.into_iter().map(SetPart::Image);
        if !prompt.contains(PLACEHOLDER) {
            parts.extend(images.by_ref());
        }
        for text in prompt.split(PLACEHOLDER) {
            parts.push(SetPart::Text { text: text.to_owned(), is_learned: false });
            parts.extend(images.next());
        }
        parts.push(SetPart::Text { text: picture.answer, is_learned: true });
        Self { kind: Some(picture.kind), parts }
    }
}

/// Documents to train on and to test with, each found by its number: nothing is remembered between them.
///
/// Drawn documents never end. Those of files are visited in an order that differs from epoch to epoch.
#[derive(Clone, Debug)]
pub struct PictureSet {
    config: PicturesConfig,
    drawer: Drawer,
    train: Vec<Row>,
    held_out: Vec<Row>,
    skipped: Skipped,
    on_both_sides: Option<String>,
    fingerprint: String,
}

impl PictureSet {
    /// Reads the files; pictures are drawn with sides of `side_pixels`.
    ///
    /// # Errors
    /// If a setting is out of range, a file cannot be read or has no document, or all are too large for memory.
    pub fn open(config: &PicturesConfig, side_pixels: usize, seed: u64) -> Result<Self, DataError> {
        config.validate()?;
        apart::other_files(&config.files, &config.held_out)?;
        let drawer = Drawer { seed, side_pixels: side_pixels.max(Drawer::MIN_SIDE_PIXELS) };
        let mut skipped = Skipped::default();
        let (mut hash, mut n_bytes) = (Xxh3::new(), 0);
        let mut rows = |paths: &[std::path::PathBuf]| {
            let mut rows = Vec::new();
            for path in paths {
                let mut source = interleaved::open(path, ImageLimits::default())?;
                let n_before = rows.len();
                while let Some(row) = next_row(&mut *source, &mut skipped) {
                    n_bytes += row.add_to(&mut hash);
                    rows.push(row);
                    if n_bytes > MAX_BYTES {
                        return Err(DataError::Setting {
                            name: "pictures.files",
                            expected: "at most 4 GiB in all",
                            found: "more".to_owned(),
                            hint: "name fewer files: they are held in memory",
                        });
                    }
                }
                if rows.len() == n_before {
                    return Err(DataError::OtherFormat {
                        path: path.clone(),
                        expected: "documents of text and pictures",
                        found: "none that can be read".to_owned(),
                        hint: "each line or row needs a text with <image> and as many pictures".to_owned(),
                    });
                }
            }
            hash.update(b"/");
            Ok(rows)
        };
        let (mut train, mut held_out) = (rows(&config.files)?, rows(&config.held_out)?);
        let without_places = PicturesConfig { files: Vec::new(), held_out: Vec::new(), ..config.clone() };
        let settings = format!("{without_places:?} {drawer:?}");
        // Of runs that were begun before these settings were there.
        let settings =
            settings.replace(" split: None,", "").replace(" first: None,", "").replace(" augment: [],", "");
        if let Some(split) = &config.split {
            let mut rest = Vec::with_capacity(train.len());
            for row in train {
                if split.holds_out(&row)? { held_out.push(row) } else { rest.push(row) }
            }
            train = rest;
            if train.is_empty() || held_out.is_empty() {
                return Err(DataError::Setting {
                    name: "pictures.split",
                    expected: "rows on both sides",
                    found: format!("{} to train on, {} held out", train.len(), held_out.len()),
                    hint: "choose another `share`, or other `values`",
                });
            }
        }
        let (mut train, on_both_sides) = apart::without(train, &held_out)?;
        let settings = if on_both_sides.is_some() { settings + " apart" } else { settings };
        // What the rows were divided by is needed no more.
        train.iter_mut().chain(&mut held_out).for_each(|row| row.fields = Vec::new());
        hash.update(settings.as_bytes());
        let fingerprint = base::hash::hex(hash.digest128());
        Ok(Self { config: config.clone(), drawer, train, held_out, skipped, on_both_sides, fingerprint })
    }

    /// What it was made from.
    pub fn config(&self) -> &PicturesConfig {
        &self.config
    }

    /// Hash of the files and of what is drawn.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Rows of files that could not be read.
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    /// What is to be said of rows to train on that are held out too, and were left out.
    pub fn on_both_sides(&self) -> Option<&str> {
        self.on_both_sides.as_deref()
    }

    /// Kinds of documents, which come in turns: those that are drawn, and those of files where there are some.
    pub fn n_turns(&self, side: Side) -> u64 {
        self.config.draw.len() as u64 + u64::from(!self.rows(side).is_empty())
    }

    /// Documents from which on they come again, or are drawn like those before: after as many bad ones nothing good is to
    /// be hoped for.
    pub fn n_before_repeating(&self, side: Side) -> u64 {
        let n_turns = self.config.draw.len() as u64 + 1;
        n_turns * (self.rows(side).len() as u64).max(u64::from(N_LEVELS))
    }

    fn rows(&self, side: Side) -> &[Row] {
        if side == Side::Train { &self.train } else { &self.held_out }
    }

    /// Document number `number` of a side, with questions of every level.
    ///
    /// # Errors
    /// If a picture of a file is broken.
    pub fn document(&self, side: Side, number: u64) -> Result<SetDocument, ImageError> {
        self.document_up_to(side, number, self.config.max_level)
    }

    /// Document number `number` of a training of `n`, which begins with easy questions where the settings say so.
    ///
    /// # Errors
    /// If a picture of a file is broken.
    pub fn training_document(&self, number: u64, n: u64) -> Result<SetDocument, ImageError> {
        let max_level = self.config.level_at(number, n);
        if let Some(kinds) = self.config.first_at(number, n) {
            let n_kinds = kinds.len() as u64;
            let index = FIRST_ROUND + number / n_kinds;
            return Ok(self.drawn(kinds[(number % n_kinds) as usize], Side::Train, index, max_level));
        }
        self.document_up_to(Side::Train, number, max_level)
    }

    /// Picture number `round` of a kind, of one of the levels up to `max_level` in turns. No picture comes twice, whatever the levels
    /// were before.
    fn drawn(&self, kind: PictureKind, side: Side, round: u64, max_level: u32) -> SetDocument {
        let index = round * u64::from(N_LEVELS) + round % u64::from(max_level);
        SetDocument::of(self.drawer.draw(kind, side, index))
    }

    fn document_up_to(&self, side: Side, number: u64, max_level: u32) -> Result<SetDocument, ImageError> {
        let rows = self.rows(side);
        let n_drawn = self.config.draw.len() as u64;
        let n_turns = self.n_turns(side);
        let (round, turn) = (number / n_turns, number % n_turns);
        if turn < n_drawn {
            return Ok(self.drawn(self.config.draw[turn as usize], side, round, max_level));
        }
        let n = rows.len() as u64;
        let (epoch, at) = (round / n, round % n);
        // Held-out documents come in their own order.
        let at = match side {
            Side::Test => at,
            Side::Train => {
                let mut rng = Rng::named(self.drawer.seed, &format!("documents of pictures, epoch {epoch}"));
                Permutation::new(n, &mut rng).at(at)
            }
        };
        let Row { place, parts, .. } = &rows[at as usize];
        let view = match side {
            Side::Test => View::default(),
            Side::Train => {
                let mut rng = Rng::named(self.drawer.seed, &format!("view of picture document {number}"));
                View::draw(&self.config.augment, &mut rng)
            }
        };
        let part = |part: &RowPart| match part {
            RowPart::Text(text) => Ok(SetPart::Text { text: text.clone(), is_learned: true }),
            RowPart::Question(text) => Ok(SetPart::Text { text: text.clone(), is_learned: false }),
            RowPart::Image(bytes) => {
                let image = decode(bytes, place, &ImageLimits::default(), Background::WHITE)?;
                Ok(SetPart::Image(view.of(image)))
            }
        };
        Ok(SetDocument { kind: None, parts: parts.iter().map(part).collect::<Result<_, _>>()? })
    }
}

/// The next row that can be read; bad ones are counted.
fn next_row(source: &mut dyn interleaved::RowSource, skipped: &mut Skipped) -> Option<Row> {
    loop {
        match source.next_row() {
            Ok(None) => return None,
            Ok(Some(row)) if row.parts.is_empty() => {}
            Ok(Some(row)) => return Some(row),
            Err(error) => {
                skipped.add(error.kind_of_bad_input().unwrap_or("unreadable"), &error, false);
                if source.is_over() {
                    return None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
