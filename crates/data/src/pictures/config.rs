//! Documents of pictures as a recipe spells them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Augmentation, N_LEVELS, PictureKind, RowSplit};
use crate::DataError;

/// Kinds that are drawn alone at the beginning of a training: what is learned late among others, such as reading, begins with them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstPictures {
    /// What is drawn, in turns; some of what is drawn later.
    pub draw: Vec<PictureKind>,
    /// Part of the training, above 0 and below 1.
    pub share: f64,
}

/// Documents of text and pictures to train on beside the text; the `[data.pictures]` table of a recipe.
///
/// ```
/// let pictures = data::pictures::PicturesConfig::default();
/// assert!(pictures.validate().is_ok() && pictures.per_step > 0);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PicturesConfig {
    /// What is drawn, in turns; nothing where the list is empty.
    pub draw: Vec<PictureKind>,
    /// The hardest questions that are asked about drawn pictures, 1 to [`N_LEVELS`].
    pub max_level: u32,
    /// Part of the training over which harder drawn questions come in, one level after another; at 0 all come from the first
    /// step on.
    pub easy_first: f64,
    /// What is drawn alone at the beginning of the training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<FirstPictures>,
    /// Files and folders of documents, as [`crate::interleaved::open`] reads them; in turns with what is drawn.
    pub files: Vec<PathBuf>,
    /// The same, to validate with.
    pub held_out: Vec<PathBuf>,
    /// Which rows of `files` are held out too, where they lie in the same file as the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<RowSplit>,
    /// In which ways pictures of `files` are changed each time that they come.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub augment: Vec<Augmentation>,
    /// Documents of each optimizer step.
    pub per_step: usize,
    /// Part of the loss that is the text's without pictures; the rest is that of answers about pictures.
    pub text_share: f64,
    /// Documents to validate with.
    pub n_held_out: usize,
}

impl Default for PicturesConfig {
    /// All stills that can be drawn, 16 a step, for half of the loss.
    fn default() -> Self {
        Self {
            draw: PictureKind::STILLS.to_vec(),
            max_level: N_LEVELS,
            easy_first: 0.0,
            first: None,
            files: Vec::new(),
            held_out: Vec::new(),
            split: None,
            augment: Vec::new(),
            per_step: 16,
            text_share: 0.5,
            n_held_out: 192,
        }
    }
}

impl PicturesConfig {
    /// The hardest level of document `number` of `n` that a training has.
    ///
    /// ```
    /// let pictures = data::pictures::PicturesConfig { easy_first: 0.5, ..Default::default() };
    /// let levels: Vec<u32> = (0..8).map(|number| pictures.level_at(number, 8)).collect();
    /// assert_eq!(levels, [1, 2, 3, 4, 4, 4, 4, 4]);
    /// ```
    pub fn level_at(&self, number: u64, n: u64) -> u32 {
        let rising = self.easy_first * n as f64;
        if number as f64 >= rising {
            return self.max_level;
        }
        1 + (f64::from(self.max_level) * number as f64 / rising) as u32
    }

    /// The kinds that are drawn alone where document `number` of `n` is among the first.
    pub(super) fn first_at(&self, number: u64, n: u64) -> Option<&[PictureKind]> {
        let first = self.first.as_ref()?;
        ((number as f64) < first.share * n as f64).then_some(&first.draw[..])
    }

    /// About how many images a document has, over the whole training: clips have several, those of files are taken to have one.
    pub fn mean_images(&self) -> f64 {
        let of_kind = |kind: &PictureKind| if *kind == PictureKind::Clips { 3.25 } else { 1.0 };
        let sum = |kinds: &[PictureKind]| kinds.iter().map(of_kind).sum::<f64>();
        let n_turns = self.draw.len() + usize::from(!self.files.is_empty());
        let of_files = if self.files.is_empty() { 0.0 } else { 1.0 };
        let later = (sum(&self.draw) + of_files) / n_turns.max(1) as f64;
        match &self.first {
            None => later,
            Some(first) => {
                first.share * sum(&first.draw) / first.draw.len().max(1) as f64 + (1.0 - first.share) * later
            }
        }
    }

    /// Every rule that the settings must keep.
    ///
    /// # Errors
    /// [`DataError::Setting`] for the first setting out of range.
    pub fn validate(&self) -> Result<(), DataError> {
        let check = |name, is_valid: bool, expected, found: String, hint| match is_valid {
            true => Ok(()),
            false => Err(DataError::Setting { name, expected, found, hint }),
        };
        let n_sources = self.draw.len() + self.files.len();
        let hint =
            "draw charts, words, scenes or clips, or name files; leave `[data.pictures]` out for text alone";
        check("pictures.draw", n_sources > 0, "one kind or more, or files", "none".to_owned(), hint)?;
        let mut kinds = self.draw.clone();
        kinds.sort_unstable();
        kinds.dedup();
        let found = format!("{} kinds, of which {} differ", self.draw.len(), kinds.len());
        check(
            "pictures.draw",
            kinds.len() == self.draw.len(),
            "each kind once",
            found,
            "remove one of them",
        )?;
        let levels = (1..=N_LEVELS).contains(&self.max_level);
        check("pictures.max_level", levels, "from 1 to 4", self.max_level.to_string(), "4 asks everything")?;
        let (easy, hint) = (self.easy_first, "0.3 has all levels after three tenths of the steps");
        let in_range = (0.0..=1.0).contains(&easy);
        check("pictures.easy_first", in_range, "from 0 to 1", easy.to_string(), hint)?;
        if let Some(first) = &self.first {
            let share = first.share;
            let hint = "0.3 draws them alone for three tenths of the steps; leave `first` out for all from the first step on";
            let in_range = share > 0.0 && share < 1.0;
            check("pictures.first.share", in_range, "above 0 and below 1", share.to_string(), hint)?;
            let names =
                |kinds: &[PictureKind]| kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
            let is_some_of_it =
                !first.draw.is_empty() && first.draw.iter().all(|kind| self.draw.contains(kind));
            let found = if first.draw.is_empty() { "none".to_owned() } else { names(&first.draw) };
            let hint = "name some of the kinds in `draw`, so that they are validated too";
            check("pictures.first.draw", is_some_of_it, "one kind or more of `draw`", found, hint)?;
        }
        let mut augment = self.augment.clone();
        augment.sort_unstable();
        augment.dedup();
        let found = format!("{} changes, of which {} differ", self.augment.len(), augment.len());
        let is_once = augment.len() == self.augment.len();
        check("pictures.augment", is_once, "each change once", found, "remove one of them")?;
        let has_use = self.augment.is_empty() || !self.files.is_empty();
        let hint = "drawn pictures are never changed: remove `augment`, or name files";
        check("pictures.augment", has_use, "files beside it", "none".to_owned(), hint)?;
        if let Some(split) = &self.split {
            split.validate()?;
            let hint = "remove `split`, or name the files whose rows it divides";
            let has_files = !self.files.is_empty();
            check("pictures.files", has_files, "one file or more beside `split`", "none".to_owned(), hint)?;
        }
        let has_held_out = !self.draw.is_empty() || !self.held_out.is_empty() || self.split.is_some();
        let hint = "name files that are not trained on, or divide the rows: split = { share = 0.1 }";
        check("pictures.held_out", has_held_out, "one file or more beside `files`", "none".to_owned(), hint)?;
        let (per_step, n_held_out) = (self.per_step, self.n_held_out);
        let per_step_fits = (1..=1 << 16).contains(&per_step);
        check(
            "pictures.per_step",
            per_step_fits,
            "from 1 to 65536",
            per_step.to_string(),
            "leave it out for 16",
        )?;
        let held_out_fits = (1..=1 << 20).contains(&n_held_out);
        let hint = "leave it out for 192";
        check("pictures.n_held_out", held_out_fits, "from 1 to 2^20", n_held_out.to_string(), hint)?;
        let share = self.text_share;
        let hint = "0.5 divides the loss in halves";
        check(
            "pictures.text_share",
            (0.0..1.0).contains(&share),
            "at least 0 and below 1",
            share.to_string(),
            hint,
        )
    }
}
