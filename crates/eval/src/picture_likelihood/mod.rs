//! Texts behind pictures by their likelihood: the right name of a picture among others, and the pages of picture books.
//!
//! What a model knows of a picture that it cannot yet say shows in what it expects: the name of an emoji becomes likelier
//! with the emoji before it, and the text of a page with its own illustration.

mod names;
mod pages;

use data::Tokenizer;
use model::{Gpt, Tokens, VisionConfig};
use tensor::{IGNORE_TARGET, Kernels, Tensor};

pub use names::{N_NAMES, Pick, PickSummary, pick_names, summarise_picks};
pub use pages::{N_OTHER_PICTURES, Page, PageLoss, PageSummary, read_pages, summarise_pages};

use crate::{EvalError, pictures::Asked};

/// A text with what stands before it.
#[derive(Clone, Debug)]
pub struct PictureText<'a> {
    /// Pictures and text in their order.
    pub before: Vec<&'a Asked>,
    /// The text, whose end is expected too.
    pub text: &'a str,
}

impl PictureText<'_> {
    fn ids(&self, tokenizer: &Tokenizer, vision: &VisionConfig) -> (Vec<u32>, usize) {
        let mut ids = vec![tokenizer.begin_of_text()];
        for piece in &self.before {
            match piece {
                Asked::Text(text) => ids.extend(tokenizer.encode(text)),
                Asked::Picture(_) => ids.extend(std::iter::repeat_n(vision.image_token, vision.n_patches())),
            }
        }
        let n_before = ids.len();
        ids.extend(tokenizer.encode(self.text));
        ids.push(tokenizer.end_of_text());
        (ids, n_before)
    }
}

/// How unlikely each text is, in nats of all its tokens and its end, and how many tokens these are; `batch` texts at a time,
/// which changes no number. None where a text is too long for the model.
///
/// # Errors
/// If the model reads no images, or `goes_on`, which is asked again and again, says no.
pub fn nats(
    gpt: &Gpt,
    kernels: &dyn Kernels,
    tokenizer: &Tokenizer,
    texts: &[PictureText],
    batch: usize,
    goes_on: &dyn Fn() -> bool,
) -> Result<Vec<Option<(f64, usize)>>, EvalError> {
    let Some(vision) = &gpt.config().vision else {
        return Err(model::DecodeError::NoEyes { n_images: texts.len() }.into());
    };
    let mut found = Vec::with_capacity(texts.len());
    for texts in texts.chunks(batch.max(1)) {
        if !goes_on() {
            return Err(EvalError::Stopped);
        }
        let read: Vec<(Vec<u32>, usize)> = texts.iter().map(|text| text.ids(tokenizer, vision)).collect();
        let fits = |ids: &[u32]| ids.len() - 1 <= gpt.config().max_seq_len;
        let (mut inputs, mut targets, mut lens, mut patches) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (text, (ids, n_before)) in texts.iter().zip(&read).filter(|(_, (ids, _))| fits(ids)) {
            inputs.extend_from_slice(&ids[..ids.len() - 1]);
            lens.push(ids.len() - 1);
            targets.extend(std::iter::repeat_n(IGNORE_TARGET, n_before - 1));
            targets.extend_from_slice(&ids[*n_before..]);
            for piece in &text.before {
                if let Asked::Picture(picture) = piece {
                    patches.extend_from_slice(picture.patches());
                }
            }
        }
        let losses = match inputs.is_empty() {
            true => Vec::new(),
            false => {
                let shape = [patches.len() / vision.patch_len(), vision.patch_len()];
                let tokens = Tokens::packed(inputs, lens);
                let tokens = match patches.is_empty() {
                    true => tokens,
                    false => tokens.with_images(Tensor::from_f32(&shape, patches), vision.image_token),
                };
                gpt.losses(kernels, &tokens, &targets).f32().to_vec()
            }
        };
        let mut from = 0;
        for (ids, n_before) in &read {
            found.push(fits(ids).then(|| {
                let own = &losses[from..][..ids.len() - 1];
                from += own.len();
                (own.iter().map(|&loss| f64::from(loss)).sum(), ids.len() - n_before)
            }));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use base::Rng;
    use model::{Picture, scaling::ModelOverrides};
    use tensor::Cpu;

    use super::*;

    /// A random model whose eyes make rows of some size.
    pub(super) fn model(tokenizer: &Tokenizer) -> Gpt {
        let mut config = ModelOverrides::default().config(tokenizer.vocab_size(), 64, 64);
        config.vision = Some(model::VisionConfig {
            image_token: 3,
            image_size: 8,
            patch_size: 4,
            n_layers: 1,
            d_model: 24,
            n_heads: 3,
            d_ff: 40,
            norm_eps: 1e-6,
            activation: model::Activation::GeluTanh,
            projector_activation: model::Activation::Gelu,
            is_clip: false,
        });
        let mut gpt = Gpt::new(config, 3);
        // What writes to the residual stream begins as 0: pictures would change nothing.
        for (i, param) in gpt.params_mut().iter_mut().enumerate() {
            let shape = param.shape().to_vec();
            *param = Tensor::normal(&shape, 0.3, tensor::DType::F32, &mut Rng::new(3, i as u64));
        }
        gpt
    }

    pub(super) fn picture(x: f32) -> Asked {
        Asked::Picture(Picture::new((0..192).map(|i| (i as f32 * x).sin()).collect()))
    }

    #[test]
    fn likelihoods_are_those_of_one_text_alone_in_any_batch() {
        let tokenizer = Tokenizer::bytes();
        let gpt = model(&tokenizer);
        let (a, b, question) = (picture(1.0), picture(2.0), Asked::Text("\n?\n".to_owned()));
        let text = |before: Vec<&'static str>, text| (before, text);
        let wanted = [
            text(vec!["a"], "one"),
            text(vec![], "one"),
            text(vec!["b", "?"], "two words"),
            text(vec!["a", "b"], "x"),
        ];
        let texts: Vec<PictureText> = wanted
            .iter()
            .map(|(before, text)| {
                let piece = |name: &&str| match *name {
                    "a" => &a,
                    "b" => &b,
                    _ => &question,
                };
                PictureText { before: before.iter().map(piece).collect(), text }
            })
            .collect();
        let kernels = Cpu::new(1);
        let together = nats(&gpt, &kernels, &tokenizer, &texts, 8, &|| true).unwrap();
        for batch in [1, 3] {
            assert_eq!(nats(&gpt, &Cpu::new(2), &tokenizer, &texts, batch, &|| true).unwrap(), together);
        }
        assert_eq!(together.iter().map(|found| found.unwrap().1).collect::<Vec<_>>(), [4, 4, 10, 2]);
        assert_ne!(together[0].unwrap().0, together[1].unwrap().0, "the picture changes nothing");
        // Behind no picture, the sum of what the plain model loses on each token.
        let ids: Vec<u32> = [vec![tokenizer.begin_of_text()], tokenizer.encode("one")].concat();
        let targets = [&ids[1..], &[tokenizer.end_of_text()]].concat();
        let losses = gpt.losses(&kernels, &Tokens::packed(ids.clone(), [ids.len()]), &targets);
        let sum: f64 = losses.f32().iter().map(|&loss| f64::from(loss)).sum();
        assert_eq!(together[1].unwrap().0, sum);
        let long = "x".repeat(100);
        let too_long = [PictureText { before: vec![&a], text: &long }, texts[1].clone()];
        let found = nats(&gpt, &kernels, &tokenizer, &too_long, 2, &|| true).unwrap();
        assert_eq!((found[0], found[1]), (None, together[1]));
    }
}
