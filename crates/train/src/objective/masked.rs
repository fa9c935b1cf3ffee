//! A masked objective: of each example only some tokens are to be learned, such as the answers of a conversation.

use std::sync::Arc;

use base::hash::Xxh3;
use data::image::{Preprocessing, RgbImage};
use model::{Gpt, Tokens, VisionConfig};
use serde_json::Value;
use tensor::{IGNORE_TARGET, Kernels, Tensor};

use super::{Batch, MicroBatch, Objective, Shuffled};
use crate::{TrainError, TrainSettings, Validation};

/// A sequence with what is to be learned of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Example {
    /// Token ids.
    pub ids: Vec<u32>,
    /// How much the prediction of each token counts; 0: it is context alone. The first is never predicted.
    pub weights: Vec<f32>,
    /// Images in the order of their placeholders, in the size in which the model reads them.
    pub images: Vec<Arc<RgbImage>>,
}

impl Example {
    /// An example in which the tokens from `context` on are learned.
    pub fn continuation(ids: Vec<u32>, context: usize) -> Self {
        let weights = (0..ids.len()).map(|i| if i < context { 0.0 } else { 1.0 }).collect();
        Self { ids, weights, images: Vec::new() }
    }

    /// Sum of the weights of the tokens that are predicted.
    fn weight(&self) -> f64 {
        self.weights.iter().skip(1).map(|&weight| f64::from(weight)).sum()
    }

    /// Tokens that pass through the model.
    fn n_inputs(&self) -> usize {
        self.ids.len() - 1
    }
}

/// The mean over the weights of a batch of `−ln p` of each token: a long answer counts more than a short one, and how the batch
/// is split into micro-batches changes nothing.
///
/// Examples are visited in an order drawn from the seed, another one in every epoch, `batch_rows` a step; they are packed one after
/// another without padding, and none sees another.
pub struct Masked {
    examples: Vec<Example>,
    held_out: Vec<Example>,
    /// Bytes of text that each token stands for.
    token_bytes: Vec<u32>,
    settings: TrainSettings,
    fingerprint: String,
    shuffled: Shuffled,
    eyes: Option<Eyes>,
}

/// How images become what a model reads.
#[derive(Clone, Debug)]
pub struct Eyes {
    /// The shape of its encoder.
    pub vision: VisionConfig,
    /// What is done to images.
    pub preprocessing: Preprocessing,
}

impl Masked {
    /// At the first example; `token_bytes[id]` is the length of the text that a token stands for.
    ///
    /// # Errors
    /// If there is no example on one of the sides, one has nothing to learn or is longer than `seq_len + 1` tokens, or has
    /// another number of weights than of tokens.
    pub fn new(
        examples: Vec<Example>,
        held_out: Vec<Example>,
        settings: &TrainSettings,
        token_bytes: Vec<u32>,
    ) -> Result<Self, TrainError> {
        Self::with_eyes(examples, held_out, settings, token_bytes, None)
    }

    /// At the first example; `token_bytes[id]` is the length of the text that a token stands for. With `eyes` examples may have
    /// images.
    ///
    /// # Errors
    /// If there is no example on one of the sides, one has nothing to learn or is longer than `seq_len + 1` tokens, has
    /// another number of weights than of tokens, or other images than it has placeholders for.
    pub fn with_eyes(
        examples: Vec<Example>,
        held_out: Vec<Example>,
        settings: &TrainSettings,
        token_bytes: Vec<u32>,
        eyes: Option<Eyes>,
    ) -> Result<Self, TrainError> {
        let mut hash = Xxh3::new();
        for (side, examples) in [("training", &examples), ("held-out", &held_out)] {
            if examples.is_empty() {
                return Err(TrainError::Example {
                    side,
                    index: 0,
                    problem: "is missing: there is none".into(),
                });
            }
            for (index, example) in examples.iter().enumerate() {
                check(example, settings.seq_len, eyes.as_ref()).map_err(|problem| TrainError::Example {
                    side,
                    index,
                    problem,
                })?;
                hash.update(&(example.ids.len() as u64).to_le_bytes());
                example.ids.iter().for_each(|id| hash.update(&id.to_le_bytes()));
                example.weights.iter().for_each(|weight| hash.update(&weight.to_bits().to_le_bytes()));
                example.images.iter().for_each(|image| hash.update(image.pixels()));
            }
        }
        hash.update(&settings.seed.to_le_bytes());
        let fingerprint = base::hash::hex(hash.digest128());
        let (settings, shuffled) = (settings.clone(), Shuffled::new(examples.len(), settings.seed));
        Ok(Self { examples, held_out, token_bytes, settings, fingerprint, shuffled, eyes })
    }
}

/// What is wrong with an example.
fn check(example: &Example, seq_len: usize, eyes: Option<&Eyes>) -> Result<(), String> {
    let n_images = example.images.len();
    let Some(Eyes { vision, preprocessing }) = eyes else {
        return match n_images {
            0 => check_text(example, seq_len),
            n => Err(format!("has {n} images: expected none for a model that reads text alone")),
        };
    };
    let n_places = example.ids.iter().filter(|id| **id == vision.image_token).count();
    if n_places != n_images * vision.n_patches() {
        return Err(format!(
            "has {n_places} placeholders for {n_images} images of {} patches",
            vision.n_patches()
        ));
    }
    let size = (preprocessing.width, preprocessing.height);
    match example.images.iter().find(|image| (image.width(), image.height()) != size) {
        Some(other) => Err(format!("has an image of {} x {} pixels", other.width(), other.height())),
        None => check_text(example, seq_len),
    }
}

fn check_text(example: &Example, seq_len: usize) -> Result<(), String> {
    let (n, n_weights) = (example.ids.len(), example.weights.len());
    if n != n_weights {
        return Err(format!("has {n} tokens and {n_weights} weights: expected as many"));
    }
    if n > seq_len + 1 {
        return Err(format!(
            "has {n} tokens: expected at most {}, `train.seq_len` and one more",
            seq_len + 1
        ));
    }
    match example.weights.iter().find(|weight| !weight.is_finite()) {
        Some(weight) => Err(format!("has the weight {weight}: expected a finite number")),
        None if n < 2 || example.weight() <= 0.0 => {
            Err("has nothing to learn: expected a token after the first whose weight is above 0".into())
        }
        None => Ok(()),
    }
}

/// Examples one after another.
fn packed(examples: &[Example], eyes: Option<&Eyes>) -> MicroBatch {
    let inputs = examples.iter().flat_map(|example| &example.ids[..example.n_inputs()]);
    let tokens = Tokens::packed(inputs.copied().collect(), examples.iter().map(Example::n_inputs));
    let tokens = match eyes {
        Some(eyes) => eyes.with_images(tokens, examples),
        None => tokens,
    };
    let weights: Vec<f32> = examples.iter().flat_map(|example| &example.weights[1..]).copied().collect();
    let ids = examples.iter().flat_map(|example| &example.ids[1..]);
    let targets = ids.zip(&weights).map(|(id, weight)| if *weight == 0.0 { IGNORE_TARGET } else { *id });
    MicroBatch { weights: Some(weights.clone()), ..MicroBatch::new(tokens, targets.collect()) }
}

impl Eyes {
    /// Tokens of examples with the images of these.
    fn with_images(&self, tokens: Tokens, examples: &[Example]) -> Tokens {
        let images = examples.iter().flat_map(|example| &example.images);
        let patches: Vec<f32> =
            images.flat_map(|image| self.preprocessing.patches(image, self.vision.patch_size)).collect();
        if patches.is_empty() {
            return tokens;
        }
        let shape = [patches.len() / self.vision.patch_len(), self.vision.patch_len()];
        tokens.with_images(Tensor::from_f32(&shape, patches), self.vision.image_token)
    }
}

impl Objective for Masked {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn next(&mut self) -> Batch {
        let TrainSettings { batch_rows, micro_batch_rows, .. } = self.settings;
        let drawn: Vec<Example> =
            (0..batch_rows).map(|_| self.examples[self.shuffled.draw()].clone()).collect();
        Batch {
            denominator: drawn.iter().map(Example::weight).sum(),
            n_tokens: drawn.iter().map(|example| example.n_inputs() as u64).sum(),
            micro_batches: drawn
                .chunks(micro_batch_rows)
                .map(|drawn| packed(drawn, self.eyes.as_ref()))
                .collect(),
        }
    }

    fn cursor(&self) -> Value {
        self.shuffled.cursor()
    }

    fn seek(&mut self, cursor: &Value) -> Result<(), TrainError> {
        self.shuffled.seek(cursor)
    }

    fn validate(&self, gpt: &Gpt, kernels: &dyn Kernels, is_last: bool) -> Result<Validation, TrainError> {
        let n_tokens = if is_last { self.settings.final_eval_tokens } else { self.settings.eval_tokens };
        let (mut rows, mut n_bytes, mut left) = (Vec::new(), 0, n_tokens);
        for examples in self.held_out.chunks(self.settings.micro_batch_rows) {
            if left == 0 {
                break;
            }
            let batch = packed(examples, self.eyes.as_ref());
            let losses = gpt.losses(kernels, &batch.tokens, &batch.targets);
            let mut from = 0;
            for example in examples {
                let weights = &example.weights[1..];
                let losses = &losses.f32()[from..][..weights.len()];
                from += weights.len();
                let sum = losses.iter().zip(weights).map(|(&l, &w)| f64::from(l) * f64::from(w)).sum::<f64>();
                rows.push((sum, example.weight()));
                let learned = example.ids[1..].iter().zip(weights).filter(|(_, weight)| **weight != 0.0);
                let n_bytes_of =
                    |id: &u32| u64::from(self.token_bytes.get(*id as usize).copied().unwrap_or(0));
                n_bytes += learned.map(|(id, _)| n_bytes_of(id)).sum::<u64>();
                left = left.saturating_sub(example.n_inputs() as u64);
            }
        }
        Ok(Validation::of_ratio(&rows, n_bytes))
    }
}
