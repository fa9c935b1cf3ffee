//! Images of sequences that are decoded: how pages are found again that hold them, and their rows in a step.

use std::ops::Range;

use tensor::Tensor;

use super::{DecodeError, Engine, Request};
use crate::Tokens;

impl Engine<'_> {
    /// What the pages of a prompt are found by: its tokens, with placeholders replaced by a number beyond the vocabulary
    /// that names the image. Equal images share pages, and no other does.
    pub(super) fn keys(&mut self, request: &Request) -> Result<Vec<u32>, DecodeError> {
        let config = self.gpt.config();
        let n_images = request.images.len();
        let Some(vision) = &config.vision else {
            return if n_images == 0 {
                Ok(request.prompt.clone())
            } else {
                Err(DecodeError::NoEyes { n_images })
            };
        };
        let n_patches = vision.n_patches();
        let n_placeholders = request.prompt.iter().filter(|id| **id == vision.image_token).count();
        if n_images == 0 {
            return match n_placeholders {
                0 => Ok(request.prompt.clone()),
                n => Err(DecodeError::NoImages { n_placeholders: n }),
            };
        }
        if n_placeholders != n_images * n_patches {
            return Err(DecodeError::Placeholders { n_patches, n_images, n_placeholders });
        }
        let expected = n_patches * vision.patch_len();
        if let Some(other) = request.images.iter().find(|image| image.patches().len() != expected) {
            return Err(DecodeError::ImageSize { expected, found: other.patches().len() });
        }
        let mut names = request.images.iter().flat_map(|image| {
            let next = config.vocab_size + self.images.len();
            let number = *self.images.entry(image.hash()).or_insert(next as u32);
            std::iter::repeat_n(number, n_patches)
        });
        let key = |id: &u32| match *id == vision.image_token {
            true => names.next().unwrap_or(*id),
            false => *id,
        };
        Ok(request.prompt.iter().map(key).collect())
    }

    /// Looks at the images whose first placeholders are read in a step, each once, and forgets those that were read.
    pub(super) fn look(&mut self, ranges: &[Range<usize>]) {
        let Some(vision) = &self.gpt.config().vision else { return };
        for (sequence, range) in self.active.iter_mut().zip(ranges) {
            let Request { prompt, images, .. } = &sequence.request;
            if images.is_empty() || range.start >= prompt.len() {
                sequence.features = None;
            } else if sequence.features.is_none() && sequence.ids[range.clone()].contains(&vision.image_token)
            {
                let patches: Vec<f32> = images.iter().flat_map(|image| image.patches()).copied().collect();
                let shape = [patches.len() / vision.patch_len(), vision.patch_len()];
                let features = self.gpt.see(self.kernels, &Tensor::from_f32(&shape, patches));
                sequence.features = Some(features);
            }
        }
    }

    /// The tokens of a step with the rows of the images among them.
    pub(super) fn with_images(&self, tokens: Tokens, ranges: &[Range<usize>]) -> Tokens {
        let config = self.gpt.config();
        let Some(vision) = &config.vision else { return tokens };
        let width = config.d_model;
        let (mut at, mut rows, mut first) = (Vec::new(), Vec::new(), 0);
        for (sequence, range) in self.active.iter().zip(ranges) {
            let row_of = |i: usize| (first + i - range.start) as u32;
            if let Some(features) = &sequence.features {
                let prompt = &sequence.request.prompt;
                let is_place = |i: &usize| prompt[*i] == vision.image_token;
                let n_before = (0..range.start).filter(is_place).count();
                let places: Vec<u32> =
                    (range.start..range.end.min(prompt.len())).filter(is_place).map(row_of).collect();
                rows.extend_from_slice(&features.f32()[n_before * width..][..places.len() * width]);
                at.extend(places);
            }
            first += range.len();
        }
        tokens.with_features(Tensor::from_f32(&[at.len(), width], rows), at)
    }
}
