//! A question with its pictures and its answer, given to the model with some patches hidden.

use model::{DecodeError, Gpt, Picture, Tokens, VisionConfig};
use tensor::{IGNORE_TARGET, Kernels, Tensor};

use super::{Hiding, mean_colour};
use crate::EvalError;

/// Most tokens that pass through the model together.
const BATCH_TOKENS: usize = 4096;

/// What the model was asked, and the answer that is explained.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// Which model.
    pub gpt: &'a Gpt,
    /// What it computes with.
    pub kernels: &'a dyn Kernels,
    /// The question: tokens with as many placeholders for each picture as it has patches.
    pub prompt: &'a [u32],
    /// In the order of their placeholders.
    pub pictures: &'a [Picture],
    /// The tokens whose log-probability is explained.
    pub answer: &'a [u32],
}

/// A subject that the model can read.
pub(super) struct Prepared<'a> {
    subject: Subject<'a>,
    vision: &'a VisionConfig,
    /// Of every picture.
    colours: Vec<[f32; 3]>,
    /// All patches, `[n·P, 3·S·S]`.
    patches: Vec<f32>,
}

impl<'a> Subject<'a> {
    pub(super) fn prepared(&self, hiding: Hiding) -> Result<Prepared<'a>, EvalError> {
        let config = self.gpt.config();
        let n_images = self.pictures.len();
        let Some(vision) = &config.vision else { return Err(DecodeError::NoEyes { n_images }.into()) };
        let n_patches = vision.n_patches();
        let n_placeholders = self.prompt.iter().filter(|id| **id == vision.image_token).count();
        if n_placeholders != n_images * n_patches || n_images == 0 {
            return Err(DecodeError::Placeholders { n_patches, n_images, n_placeholders }.into());
        }
        let expected = n_patches * vision.patch_len();
        if let Some(other) = self.pictures.iter().find(|picture| picture.patches().len() != expected) {
            return Err(DecodeError::ImageSize { expected, found: other.patches().len() }.into());
        }
        if self.answer.is_empty() || self.answer.contains(&vision.image_token) {
            return Err(EvalError::Setting {
                name: "answer",
                expected: "a text",
                found: if self.answer.is_empty() { "nothing" } else { "an image token" }.into(),
                hint: "give the answer that is to be explained",
            });
        }
        let vocab_size = config.vocab_size;
        for (place, ids) in [("prompt", self.prompt), ("answer", self.answer)] {
            if let Some(&id) = ids.iter().find(|id| **id as usize >= vocab_size) {
                return Err(DecodeError::UnknownToken { place, id, vocab_size }.into());
            }
        }
        // The last token of the answer is not read.
        let (n_tokens, max_seq_len) = (self.prompt.len() + self.answer.len() - 1, config.max_seq_len);
        if n_tokens > max_seq_len {
            return Err(DecodeError::PromptTooLong { n_tokens, max_seq_len }.into());
        }
        let colour = |picture| match hiding {
            Hiding::Picture => mean_colour(picture, vision.patch_len()),
            Hiding::Model => [0.0; 3],
        };
        Ok(Prepared {
            subject: *self,
            vision,
            colours: self.pictures.iter().map(colour).collect(),
            patches: self.pictures.iter().flat_map(|picture| picture.patches()).copied().collect(),
        })
    }
}

impl Prepared<'_> {
    /// Patches of all pictures.
    pub(super) fn n_patches(&self) -> usize {
        self.subject.pictures.len() * self.vision.n_patches()
    }

    /// `ln p` of every token of the answer, and gradient × input of every patch.
    pub(super) fn gradient_input(&self) -> (Vec<f64>, Vec<f64>) {
        let (tokens, targets) = self.inputs(&[&[]]);
        let (losses, gradient) = self.subject.gpt.pixel_gradients(self.subject.kernels, &tokens, &targets);
        let first = self.subject.prompt.len() - 1;
        let log_probs = losses.f32()[first..].iter().map(|&loss| -f64::from(loss)).collect();
        let (len, area) = (self.vision.patch_len(), self.vision.patch_len() / 3);
        let patches = self.patches.chunks_exact(len).zip(gradient.f32().chunks_exact(len)).enumerate();
        let map = patches.map(|(i, (patch, gradient))| {
            let colour = self.colours[i / self.vision.n_patches()];
            let products = patch.iter().zip(gradient).enumerate().map(|(at, (&x, &g))| {
                // The gradient is that of the loss, −ln p.
                -(f64::from(x) - f64::from(colour[at / area])) * f64::from(g)
            });
            products.sum()
        });
        (log_probs, map.collect())
    }

    /// What `ln p` of the answer, `log_prob` with everything in sight, loses when each of these sets of patches is hidden.
    pub(super) fn drops(
        &self,
        log_prob: f64,
        sets: &[Vec<usize>],
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Vec<f64>, EvalError> {
        let n_inputs = self.subject.prompt.len() + self.subject.answer.len() - 1;
        let batch = (BATCH_TOKENS / n_inputs).max(1);
        let of_batch = |sets: &[Vec<usize>]| -> Vec<f64> {
            let sets: Vec<&[usize]> = sets.iter().map(Vec::as_slice).collect();
            let (tokens, targets) = self.inputs(&sets);
            let losses = self.subject.gpt.losses(self.subject.kernels, &tokens, &targets);
            let sums = losses.f32().chunks_exact(n_inputs);
            sums.map(|losses| losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() + log_prob).collect()
        };
        let mut drops = Vec::with_capacity(sets.len());
        for sets in sets.chunks(batch) {
            if !goes_on() {
                return Err(EvalError::Stopped);
            }
            drops.extend(of_batch(sets));
        }
        Ok(drops)
    }

    /// Question and answer once for each set of hidden patches, and the answer as what is predicted.
    fn inputs(&self, hidden: &[&[usize]]) -> (Tokens, Vec<u32>) {
        let Subject { prompt, answer, .. } = self.subject;
        let n_inputs = prompt.len() + answer.len() - 1;
        let (mut ids, mut targets, mut patches) = (Vec::new(), Vec::new(), Vec::new());
        for hidden in hidden {
            ids.extend_from_slice(prompt);
            ids.extend_from_slice(&answer[..answer.len() - 1]);
            targets.extend(std::iter::repeat_n(IGNORE_TARGET, prompt.len() - 1));
            targets.extend_from_slice(answer);
            let start = patches.len();
            patches.extend_from_slice(&self.patches);
            hidden.iter().for_each(|patch| self.hide(&mut patches[start..], *patch));
        }
        let len = self.vision.patch_len();
        let shape = [patches.len() / len, len];
        let tokens = Tokens::packed(ids, hidden.iter().map(|_| n_inputs));
        (tokens.with_images(Tensor::from_f32(&shape, patches), self.vision.image_token), targets)
    }

    fn hide(&self, patches: &mut [f32], patch: usize) {
        let len = self.vision.patch_len();
        let colour = self.colours[patch / self.vision.n_patches()];
        for (plane, colour) in patches[patch * len..][..len].chunks_exact_mut(len / 3).zip(colour) {
            plane.fill(colour);
        }
    }
}
