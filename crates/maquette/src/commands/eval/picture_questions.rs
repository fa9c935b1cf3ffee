//! Questions about pictures: drawn now, or read from rows.

use std::{collections::HashMap, path::Path};

use anyhow::Context as _;
use base::hash::xxh3_128;
use data::{
    image::{Background, ImageLimits, Preprocessing, decode},
    interleaved::{self, Row, RowPart},
    pictures::{Drawer, N_LEVELS, PictureKind, SetDocument, SetPart, Side},
};
use eval::{
    picture_likelihood::Page,
    pictures::{Asked, PictureQuestion},
    vision::PictureMetric,
};
use model::{Picture, VisionConfig};

/// Seed of the pictures that are drawn: no training's, and with other faces, colours and contents in any case.
const SEED: u64 = 90_210;

/// Makes questions that a model with these eyes reads.
pub(super) struct QuestionReader<'a> {
    preprocessing: Preprocessing,
    vision: &'a VisionConfig,
    /// What was decoded, by the hash of its bytes: many questions are about one picture.
    seen: HashMap<u128, Picture>,
}

impl<'a> QuestionReader<'a> {
    pub(super) fn new(preprocessing: Preprocessing, vision: &'a VisionConfig) -> Self {
        Self { preprocessing, vision, seen: HashMap::new() }
    }

    /// Held-out pictures that are drawn now, with questions of the levels from 1 to `max_level` in turns.
    pub(super) fn drawn(&self, kind: PictureKind, max_level: u32, n: usize) -> Vec<PictureQuestion> {
        let drawer = Drawer { seed: SEED, side_pixels: self.vision.image_size.max(Drawer::MIN_SIDE_PIXELS) };
        let question = |i: usize| {
            let (i, levels) = (i as u64, u64::from(max_level));
            let index = i / levels * u64::from(N_LEVELS) + i % levels;
            let drawn = drawer.draw(kind, Side::Test, index);
            let (level, answers) = (drawn.level, vec![drawn.answer.clone()]);
            let reversed_answer = drawn.reversed_answer.clone();
            let asked = |part| match part {
                SetPart::Text { is_learned: true, .. } => None,
                SetPart::Text { text, .. } => Some(Asked::Text(text)),
                SetPart::Image(image) => {
                    let patches = self.preprocessing.patches(&image, self.vision.patch_size);
                    Some(Asked::Picture(Picture::new(patches)))
                }
            };
            PictureQuestion {
                kind: kind.name().to_owned(),
                level,
                asked: SetDocument::of(drawn).parts.into_iter().filter_map(asked).collect(),
                answers,
                reversed_answer,
                metric: PictureMetric::of(kind),
            }
        };
        (0..n).map(question).collect()
    }

    /// The first questions of a file.
    pub(super) fn of_file(&mut self, path: &Path, n: usize) -> anyhow::Result<Vec<PictureQuestion>> {
        let mut rows = interleaved::open(path, ImageLimits::default())?;
        let stem = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let kind = stem.trim_end_matches(".jsonl");
        let mut questions = Vec::new();
        while questions.len() < n
            && let Some(row) = rows.next_row()?
        {
            questions.push(self.question(row, kind)?);
        }
        anyhow::ensure!(
            !questions.is_empty(),
            "expected questions about pictures in `{}`, found none\nhint: a row has `image`, `question` and `answer`",
            path.display()
        );
        Ok(questions)
    }

    /// The question of a row; of `kind` where it does not say itself what it is a question of.
    pub(super) fn question(&mut self, row: Row, kind: &str) -> anyhow::Result<PictureQuestion> {
        let Row { place, parts, question, .. } = row;
        let question = question.with_context(|| {
            format!(
                "expected a question about a picture in {place}, found a text\n\
                 hint: a row has `image`, `question` and `answer`; docs/pictures.md has all forms"
            )
        })?;
        let drawn = question.kind.as_deref().and_then(kind_of).map(PictureMetric::of);
        let metric = match &question.metric {
            None => drawn.unwrap_or(PictureMetric::ExactIgnoringCase),
            Some(name) => PictureMetric::named(name).with_context(|| {
                let names: Vec<&str> = PictureMetric::ALL.into_iter().map(PictureMetric::name).collect();
                format!("expected a metric in {place}, found `{name}`\nhint: {}", names.join(", "))
            })?,
        };
        let mut asked = Vec::new();
        for part in parts {
            match part {
                RowPart::Question(text) => asked.push(Asked::Text(text)),
                RowPart::Image(bytes) => asked.push(Asked::Picture(self.picture(&bytes, &place)?)),
                // The answer.
                RowPart::Text(_) => {}
            }
        }
        Ok(PictureQuestion {
            kind: question.kind.unwrap_or_else(|| kind.to_owned()),
            level: question.level.unwrap_or(0),
            asked,
            answers: question.answers,
            reversed_answer: question.reversed_answer,
            metric,
        })
    }

    /// The page of a row with one picture and a text.
    pub(super) fn page(&mut self, row: Row) -> anyhow::Result<Page> {
        let story = row.field("story").unwrap_or(&row.place).to_owned();
        match &row.parts[..] {
            [RowPart::Image(bytes), RowPart::Text(text)] => {
                let picture = Asked::Picture(self.picture(bytes, &row.place)?);
                Ok(Page { story, picture, text: text.clone() })
            }
            parts => anyhow::bail!(
                "expected a page with one picture and its text in {}, found {} parts\nhint: a line has `image` and `text`",
                row.place,
                parts.len()
            ),
        }
    }

    fn picture(&mut self, bytes: &[u8], place: &str) -> anyhow::Result<Picture> {
        let hash = xxh3_128(bytes);
        if let Some(seen) = self.seen.get(&hash) {
            return Ok(seen.clone());
        }
        let image = decode(bytes, place, &ImageLimits::default(), Background::WHITE)?;
        let picture = Picture::new(self.preprocessing.patches(&image, self.vision.patch_size));
        self.seen.insert(hash, picture.clone());
        Ok(picture)
    }
}

pub(super) fn kind_of(name: &str) -> Option<PictureKind> {
    PictureKind::ALL.into_iter().find(|kind| kind.name() == name)
}
