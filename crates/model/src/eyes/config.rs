//! The shape of an encoder of images.

use serde::{Deserialize, Serialize};
use tensor::Gelu;

use crate::{ConfigError, ModelConfig, config::check_size};

/// Shape of the encoder and of the projector behind it: `SiglipVisionModel`, or `CLIPVisionModel`, within
/// `LlavaForConditionalGeneration`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionConfig {
    /// The token that stands where a row of an image belongs.
    pub image_token: u32,
    /// Width and height of an image, in pixels.
    pub image_size: usize,
    /// S: width and height of a patch, in pixels; divides `image_size`.
    pub patch_size: usize,
    /// Blocks of attention and feed-forward.
    pub n_layers: usize,
    /// Width of the encoder's residual stream.
    pub d_model: usize,
    /// Heads; divides `d_model`.
    pub n_heads: usize,
    /// Width of the feed-forward block.
    pub d_ff: usize,
    /// Added to the variance in every LayerNorm.
    pub norm_eps: f64,
    /// Of the feed-forward.
    pub activation: Activation,
    /// Of the projector.
    pub projector_activation: Activation,
    /// Whether it is CLIP's: a row for the whole image stands before the patches and is left out behind the encoder, a
    /// LayerNorm stands before the first block, and the map of patches has no bias.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_clip: bool,
}

/// An activation, by its name in Hugging Face configs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// GELU with the error function.
    #[serde(rename = "gelu")]
    Gelu,
    /// GELU's approximation by tanh.
    #[serde(rename = "gelu_pytorch_tanh")]
    GeluTanh,
    /// Its approximation by the logistic function, as in CLIP.
    #[serde(rename = "quick_gelu")]
    QuickGelu,
}

impl Activation {
    /// Its name in Hugging Face configs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_pytorch_tanh",
            Self::QuickGelu => "quick_gelu",
        }
    }

    /// The activation of a name that is in use for one of them.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "gelu" | "gelu_python" => Some(Self::Gelu),
            "gelu_pytorch_tanh" | "gelu_python_tanh" => Some(Self::GeluTanh),
            "quick_gelu" => Some(Self::QuickGelu),
            _ => None,
        }
    }
}

impl From<Activation> for Gelu {
    fn from(activation: Activation) -> Self {
        match activation {
            Activation::Gelu => Self::Erf,
            Activation::GeluTanh => Self::Tanh,
            Activation::QuickGelu => Self::Quick,
        }
    }
}

impl VisionConfig {
    /// What the names of the text model's parameters begin with in a model with eyes.
    pub const TEXT_PREFIX: &str = "language_model.";

    /// P: rows that an image takes in the sequence.
    pub fn n_patches(&self) -> usize {
        let side = self.image_size / self.patch_size;
        side * side
    }

    /// Rows that the encoder has of an image: its patches, and CLIP's for the whole.
    pub(crate) fn n_encoder_rows(&self) -> usize {
        self.n_patches() + usize::from(self.is_clip)
    }

    /// A prompt with as many placeholders for each image as it has patches; it has one for each, or as many as that.
    pub fn expanded(&self, prompt: &[u32]) -> Vec<u32> {
        let n = |id: &u32| if *id == self.image_token { self.n_patches() } else { 1 };
        prompt.iter().flat_map(|id| std::iter::repeat_n(*id, n(id))).collect()
    }

    /// Numbers of a patch: red, green and blue of its pixels.
    pub fn patch_len(&self) -> usize {
        3 * self.patch_size * self.patch_size
    }

    /// Every rule that the layers rely on.
    ///
    /// # Errors
    /// Names the first field that breaks a rule.
    pub(crate) fn validate(&self, text: &ModelConfig) -> Result<(), ConfigError> {
        let sizes = [
            ("vision.image_size", self.image_size),
            ("vision.patch_size", self.patch_size),
            ("vision.n_layers", self.n_layers),
            ("vision.d_model", self.d_model),
            ("vision.n_heads", self.n_heads),
            ("vision.d_ff", self.d_ff),
        ];
        for (name, size) in sizes {
            if size == 0 {
                return Err(ConfigError::Value { name, expected: "at least 1", found: "0".into() });
            }
            check_size(name, size)?;
        }
        let value = |name, expected, found: String| Err(ConfigError::Value { name, expected, found });
        if self.image_size > MAX_IMAGE_SIZE {
            return value("vision.image_size", "at most 16384", self.image_size.to_string());
        }
        if self.n_layers > MAX_LAYERS {
            return value("vision.n_layers", "at most 65536", self.n_layers.to_string());
        }
        for (name, value, of, of_value) in [
            ("vision.patch_size", self.patch_size, "vision.image_size", self.image_size),
            ("vision.n_heads", self.n_heads, "vision.d_model", self.d_model),
        ] {
            if !of_value.is_multiple_of(value) {
                return Err(ConfigError::Divides { name, value, of, of_value });
            }
        }
        if self.image_token as usize >= text.vocab_size {
            return value("vision.image_token", "below `vocab_size`", self.image_token.to_string());
        }
        if self.n_patches() > text.max_seq_len {
            let found = format!("{} patches an image", self.n_patches());
            return value("vision.patch_size", "so large that an image fits in `max_seq_len` rows", found);
        }
        let eps = self.norm_eps;
        if !(eps.is_finite() && eps >= f64::from(f32::MIN_POSITIVE)) {
            return value("vision.norm_eps", "positive and finite", eps.to_string());
        }
        Ok(())
    }

    /// Parameters but for norms and biases, in floating point.
    pub(crate) fn approximate_params(&self, text_width: usize) -> f64 {
        let (c, d) = (text_width as f64, self.d_model as f64);
        let side = (self.image_size / self.patch_size.max(1)) as f64;
        let tables = d * (3.0 * (self.patch_size as f64).powi(2) + side * side);
        self.n_layers as f64 * (4.0 * d * d + 2.0 * d * self.d_ff as f64) + tables + d * c + c * c
    }

    /// FLOPs of training on one image whose eyes are trained: a multiply-add is 2, the backward pass twice the forward
    /// pass. Its rows in the sequence are counted with the text's.
    pub fn train_flops_per_image(&self, text_width: usize) -> f64 {
        let (p, c, d) = (self.n_patches() as f64, text_width as f64, self.d_model as f64);
        let block = 4.0 * d * d + 2.0 * d * self.d_ff as f64 + 2.0 * p * d;
        6.0 * p * (self.n_layers as f64 * block + d * self.patch_len() as f64 + d * c + c * c)
    }
}

const MAX_IMAGE_SIZE: usize = 16_384;
const MAX_LAYERS: usize = 1 << 16;

/// Sizes that a recipe fixes; the rest follows from the text model's width. The table `[model.vision]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VisionOverrides {
    /// The token that stands where a row of an image belongs; where open, 3: `<|image|>` of every vocabulary that is learned
    /// here.
    pub image_token: Option<u32>,
    /// Width and height of an image, in pixels; 96 where open, the least at which drawn text can be read.
    pub image_size: Option<usize>,
    /// Width and height of a patch, in pixels; an eighth of the image where open.
    pub patch_size: Option<usize>,
    /// Blocks; 4 where open.
    pub n_layers: Option<usize>,
    /// Width; the text model's where open.
    pub d_model: Option<usize>,
    /// Heads; where open, as many of 32 channels as fit.
    pub n_heads: Option<usize>,
    /// Width of the feed-forward; four times the width where open.
    pub d_ff: Option<usize>,
    /// Added to variances; 1e-6 where open.
    pub norm_eps: Option<f64>,
    /// Of the feed-forward; by tanh where open, as in SigLIP.
    pub activation: Option<Activation>,
    /// Of the projector; with the error function where open, as in LLaVA.
    pub projector_activation: Option<Activation>,
    /// Whether it is CLIP's encoder; SigLIP's where open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_clip: Option<bool>,
}

impl VisionOverrides {
    /// The encoder before a text model of width `text_width`.
    pub fn config(&self, text_width: usize) -> VisionConfig {
        let d_model = self.d_model.unwrap_or(text_width);
        let image_size = self.image_size.unwrap_or(96);
        let heads = (d_model / 32).max(1);
        VisionConfig {
            image_token: self.image_token.unwrap_or(3),
            image_size,
            patch_size: self.patch_size.unwrap_or((image_size / 8).max(1)),
            n_layers: self.n_layers.unwrap_or(4),
            d_model,
            n_heads: self.n_heads.unwrap_or(if d_model.is_multiple_of(heads) { heads } else { 1 }),
            d_ff: self.d_ff.unwrap_or(4 * d_model),
            norm_eps: self.norm_eps.unwrap_or(1e-6),
            activation: self.activation.unwrap_or(Activation::GeluTanh),
            projector_activation: self.projector_activation.unwrap_or(Activation::Gelu),
            is_clip: self.is_clip.unwrap_or(false),
        }
    }

    /// Everything fixed as it was resolved.
    pub fn fixed(config: &VisionConfig) -> Self {
        Self {
            image_token: Some(config.image_token),
            image_size: Some(config.image_size),
            patch_size: Some(config.patch_size),
            n_layers: Some(config.n_layers),
            d_model: Some(config.d_model),
            n_heads: Some(config.n_heads),
            d_ff: Some(config.d_ff),
            norm_eps: Some(config.norm_eps),
            activation: Some(config.activation),
            projector_activation: Some(config.projector_activation),
            is_clip: config.is_clip.then_some(true),
        }
    }
}
