//! An answer about pictures with a map of what it depends on.

use data::{
    Tokenizer,
    image::{Preprocessing, RgbImage},
};
use eval::attribution::{Attribution, AttributionSettings, Subject, attribute};
use model::{Engine, EngineSettings, Gpt, Picture, Request, Sampling};
use tensor::Kernels;

use crate::{
    heat_map::{heat_map, largest},
    run_dir::ExplainedPicture,
    stop,
};

/// Explains answers of a model.
pub(crate) struct Explainer<'a> {
    pub(crate) gpt: &'a Gpt,
    pub(crate) kernels: &'a dyn Kernels,
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) preprocessing: Preprocessing,
    pub(crate) settings: AttributionSettings,
    /// Most tokens of an answer that the model gives itself.
    pub(crate) max_tokens: usize,
}

/// An answer with what it depends on.
pub(crate) struct Explanation {
    pub(crate) answer: String,
    pub(crate) answer_ids: Vec<u32>,
    pub(crate) attribution: Attribution,
    /// One for each picture.
    pub(crate) maps: Vec<Maps>,
}

/// A picture as the model reads it, and what an answer depends on.
pub(crate) struct Maps {
    pub(crate) picture: RgbImage,
    pub(crate) gradient_input: RgbImage,
    pub(crate) occlusion: RgbImage,
}

impl Explainer<'_> {
    /// Explains `answer`, or the model's own where none is given, to a prompt with the placeholders of these pictures.
    ///
    /// # Errors
    /// If the model cannot read the question, or answers nothing; or a stop was asked for.
    pub(crate) fn explain(
        &self,
        prompt: &[u32],
        images: &[RgbImage],
        answer: Option<Vec<u32>>,
    ) -> anyhow::Result<Explanation> {
        let patch_size = self.gpt.config().vision.as_ref().map_or(1, |vision| vision.patch_size);
        let picture = |image| Picture::new(self.preprocessing.patches(image, patch_size));
        let pictures: Vec<Picture> = images.iter().map(picture).collect();
        let answer_ids = match answer {
            Some(answer) => answer,
            None => self.answer(prompt, &pictures)?,
        };
        anyhow::ensure!(
            !answer_ids.is_empty(),
            "expected an answer to explain, the model ends its answer at once\nhint: give one with --answer"
        );
        let subject = Subject {
            gpt: self.gpt,
            kernels: self.kernels,
            prompt,
            pictures: &pictures,
            answer: &answer_ids,
        };
        let attribution = attribute(&subject, &self.settings, &stop::goes_on)?;
        let n_patches = attribution.occlusion_nats.len() / images.len();
        let (by_gradient, by_occlusion) = (&attribution.gradient_input_nats, &attribution.occlusion_nats);
        let maps = images.iter().enumerate().map(|(i, image)| {
            let fitted = self.preprocessing.fitted(image);
            let map = |all: &[f64]| heat_map(&fitted, &all[i * n_patches..][..n_patches], largest(all));
            Maps { gradient_input: map(by_gradient), occlusion: map(by_occlusion), picture: fitted }
        });
        let maps = maps.collect();
        let answer = self.tokenizer.decode(&answer_ids).trim().to_owned();
        Ok(Explanation { answer, answer_ids, attribution, maps })
    }

    /// The model's most likely answer.
    fn answer(&self, prompt: &[u32], pictures: &[Picture]) -> anyhow::Result<Vec<u32>> {
        let max_seq_len = self.gpt.config().max_seq_len;
        let request = Request {
            images: pictures.to_vec(),
            sampling: Sampling::greedy(),
            stop: self.tokenizer.stops(),
            ..Request::new(prompt.to_vec(), self.max_tokens.min(max_seq_len))
        };
        let mut engine = Engine::new(self.gpt, self.kernels, EngineSettings::for_sequences(1, max_seq_len));
        let mut ids = engine.complete_while(vec![request], &mut |_, _| true, &stop::goes_on)?.remove(0).ids;
        // The last token of an answer that fills the context is one more than the model reads.
        ids.truncate((max_seq_len + 1).saturating_sub(prompt.len()));
        Ok(ids)
    }
}

impl Maps {
    /// As files of a run hold them.
    pub(crate) fn encoded(&self) -> ExplainedPicture {
        let encode = |image: &RgbImage| base::base64::encode(&image.to_png());
        ExplainedPicture {
            picture: encode(&self.picture),
            gradient_input: encode(&self.gradient_input),
            occlusion: encode(&self.occlusion),
        }
    }
}
