//! A folder of pictures and the lines that name them.

use std::{io::Write as _, ops::ControlFlow, path::Path};

use base::AtomicFile;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Drawer, Picture, PictureKind, Side, TEST_ONE_IN};
use crate::{DataError, file::write_atomically, image::RgbImage, interleaved::PLACEHOLDER};

/// Pictures that are drawn before they are written.
const BATCH: u64 = 256;

/// Writes `images/*.png`, `train.jsonl` and `test.jsonl`: one picture in eight is to test with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Draws the pictures.
    pub drawer: Drawer,
    /// What is drawn, in turns.
    pub kinds: Vec<PictureKind>,
    /// Pictures in all.
    pub n_pictures: u64,
}

/// One picture, as a line of the files: what [`crate::interleaved::JsonLines`] reads, and what a scorer needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Picture, question and answer, as they are trained on.
    pub text: String,
    /// The picture's file, or those of its frames, from the folder of this one on.
    pub images: Vec<String>,
    /// What is asked; of a clip with the times and places of its frames.
    pub question: String,
    /// The right answer.
    pub answer: String,
    /// Of a clip: the right answer where its frames come in reverse order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reversed_answer: Option<String>,
    /// How hard it is.
    pub level: u32,
    /// What is drawn.
    pub kind: PictureKind,
    /// The face of its text.
    pub face: Option<String>,
}

impl Line {
    fn new(picture: &Picture, images: Vec<String>) -> Self {
        let prompt = picture.prompt();
        let place = if picture.times_ms.is_empty() { PLACEHOLDER } else { "" };
        Self {
            text: format!("{place}\n{prompt}\n{}\n", picture.answer),
            images,
            question: prompt,
            answer: picture.answer.clone(),
            reversed_answer: picture.reversed_answer.clone(),
            level: picture.level,
            kind: picture.kind,
            face: picture.face.map(str::to_owned),
        }
    }
}

impl Export {
    /// Writes everything below `out`; `progress` is given the number of pictures written, and may ask to stop.
    ///
    /// # Errors
    /// If something cannot be written, or the caller stops it; then neither list is there.
    ///
    /// # Panics
    /// Without any kind.
    pub fn write(
        &self,
        out: &Path,
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<(), DataError> {
        assert!(!self.kinds.is_empty(), "Export: no kind of pictures");
        let images = out.join("images");
        base::make_folders(&images).map_err(DataError::io("make", &images))?;
        let list = |side: Side| AtomicFile::create(&out.join(format!("{}.jsonl", side.name())));
        let (mut train, mut test) = (list(Side::Train)?, list(Side::Test)?);
        for first in (0..self.n_pictures).step_by(BATCH as usize) {
            let numbers: Vec<u64> = (first..(first + BATCH).min(self.n_pictures)).collect();
            let drawn: Vec<(Picture, Vec<String>, Vec<Vec<u8>>)> = numbers
                .into_par_iter()
                .map(|number| {
                    let (kind, side, index) = self.place(number);
                    let picture = self.drawer.draw(kind, side, index);
                    let name = format!("images/{}-{}-{index:06}", side.name(), kind.name());
                    let names = match picture.times_ms.is_empty() {
                        true => vec![format!("{name}.png")],
                        false => (0..picture.images.len()).map(|i| format!("{name}-{i}.png")).collect(),
                    };
                    let pngs = picture.images.iter().map(RgbImage::to_png).collect();
                    (picture, names, pngs)
                })
                .collect();
            for (picture, names, pngs) in drawn {
                for (name, png) in names.iter().zip(&pngs) {
                    write_atomically(&out.join(name), png)?;
                }
                let line =
                    serde_json::to_string(&Line::new(&picture, names)).expect("texts and numbers are JSON");
                let list = if picture.side == Side::Test { &mut test } else { &mut train };
                writeln!(list, "{line}").map_err(DataError::io("write", out))?;
            }
            if progress((first + BATCH).min(self.n_pictures)).is_break() {
                return Err(DataError::Interrupted);
            }
        }
        train.finish()?;
        Ok(test.finish()?)
    }

    /// Kind, side and index among its like of picture number `number`.
    fn place(&self, number: u64) -> (PictureKind, Side, u64) {
        let n_kinds = self.kinds.len() as u64;
        let (round, kind) = (number / n_kinds, self.kinds[(number % n_kinds) as usize]);
        let (block, within) = (round / TEST_ONE_IN, round % TEST_ONE_IN);
        match within == TEST_ONE_IN - 1 {
            true => (kind, Side::Test, block),
            false => (kind, Side::Train, block * (TEST_ONE_IN - 1) + within),
        }
    }
}
