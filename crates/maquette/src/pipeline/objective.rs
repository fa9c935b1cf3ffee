//! What a run minimises: text alone, or text and documents of pictures.

use std::sync::Arc;

use anyhow::Context as _;
use data::{Tokenizer, image::Preprocessing, pictures::PictureSet};
use model::ModelConfig;
use train::{Objective, PictureReader, Pretraining, TrainSettings, WithPictures};

use super::{once::once, run::Run};
use crate::{image_files, progress};

impl Run {
    /// The documents of pictures of the recipe, for images of `side` pixels; none where it has none.
    pub(super) fn pictures(&self, side: usize) -> anyhow::Result<Option<&Arc<PictureSet>>> {
        let recipe = self.recipe()?;
        let Some(config) = &recipe.data.pictures else { return Ok(None) };
        let set = once(&self.pictures, || {
            let set = PictureSet::open(config, side, recipe.seed).context("in [data.pictures]")?;
            if let Some(notice) = set.skipped().notice(0) {
                progress::say("pictures", &notice);
            }
            if let Some(notice) = set.on_both_sides() {
                progress::say("pictures", notice);
            }
            anyhow::Ok(Arc::new(set))
        })?;
        Ok(Some(set))
    }

    /// The objective of a training of this shape on the run's data, with `per_step` documents of pictures a step where there
    /// are pictures, and as many as the recipe says where it is none.
    pub(super) fn objective(
        &self,
        config: &ModelConfig,
        settings: &TrainSettings,
        per_step: Option<usize>,
    ) -> anyhow::Result<Box<dyn Objective>> {
        let tokenizer: &Tokenizer = self.tokenizer()?;
        let text = Pretraining::new(Arc::clone(self.prepared()?), settings, tokenizer.token_bytes())?;
        let Some(vision) = &config.vision else {
            anyhow::ensure!(
                self.recipe()?.data.pictures.is_none(),
                "expected a model that reads images beside [data.pictures], found one of text alone\n\
                 hint: add a table [model.vision]: it puts eyes in front of the model"
            );
            return Ok(Box::new(text));
        };
        let Some(set) = self.pictures(vision.image_size)? else { return Ok(Box::new(text)) };
        // As the model that is continued was given its images.
        let preprocessing = match self.start()? {
            Some(start) => image_files::preprocessing(start, vision)?,
            None => Preprocessing::square(vision.image_size),
        };
        let reader = PictureReader::new(tokenizer.clone(), vision.clone(), preprocessing);
        let per_step = per_step.unwrap_or(set.config().per_step);
        Ok(Box::new(WithPictures::with_per_step(text, Arc::clone(set), reader, settings, per_step)?))
    }
}
