//! The shape of a decoder.

use serde::{Deserialize, Serialize};

use crate::eyes::VisionConfig;

/// Shape of a decoder-only transformer; names follow GPT-3 table 2.1, <https://arxiv.org/abs/2005.14165>.
///
/// With `qk_norm` it is exactly `Qwen3ForCausalLM` of Hugging Face, without it `LlamaForCausalLM`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// V: rows of the embedding.
    pub vocab_size: usize,
    /// Longest sequence that the model is made for.
    pub max_seq_len: usize,
    /// L: blocks of attention and feed-forward.
    pub n_layers: usize,
    /// C: width of the residual stream.
    pub d_model: usize,
    /// H: query heads.
    pub n_heads: usize,
    /// K: key/value heads; `n_heads` is multi-head, 1 is multi-query, <https://arxiv.org/abs/2305.13245>.
    pub n_kv_heads: usize,
    /// D: width of a head; even, since rotary embedding turns pairs of channels.
    pub d_head: usize,
    /// F: width of the feed-forward block.
    pub d_ff: usize,
    /// Base of the rotary frequencies, <https://arxiv.org/abs/2104.09864>.
    pub rope_theta: f64,
    /// Added to the mean square in every RMSNorm.
    pub norm_eps: f64,
    /// Whether queries and keys are normed per head, <https://arxiv.org/abs/2302.05442>.
    pub qk_norm: bool,
    /// Whether queries, keys and values get a bias, as in Qwen2, <https://arxiv.org/abs/2407.10671>.
    #[serde(default, skip_serializing_if = "is_false")]
    pub qkv_bias: bool,
    /// How the rotary frequencies are stretched for longer texts than the model began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeScaling>,
    /// Whether the head is the embedding.
    pub tie_embeddings: bool,
    /// How images are read; none in a model of text alone. With it the model is `LlavaForConditionalGeneration`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vision: Option<VisionConfig>,
}

/// Llama 3's stretching of rotary frequencies, §3.4.2 of <https://arxiv.org/abs/2407.21783>; formula as in
/// `transformers`, `modeling_rope_utils.py`.
///
/// Waves longer than `original_max_seq_len / low_freq_factor` turn `factor` times slower, those shorter than
/// `original_max_seq_len / high_freq_factor` as before, and those between blend.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RopeScaling {
    /// By how much slow waves are slowed.
    pub factor: f64,
    /// Waves of this many turns or fewer over the original length are slow.
    pub low_freq_factor: f64,
    /// Waves of this many turns or more over the original length are quick.
    pub high_freq_factor: f64,
    /// The length that the model began with.
    pub original_max_seq_len: usize,
}

impl RopeScaling {
    fn validate(&self) -> Result<(), ConfigError> {
        let RopeScaling { factor, low_freq_factor: low, high_freq_factor: high, original_max_seq_len } =
            *self;
        let rules = [
            ("rope_scaling.factor", "at least 1 and finite", factor, factor >= 1.0 && factor.is_finite()),
            ("rope_scaling.low_freq_factor", "positive and finite", low, low > 0.0 && low.is_finite()),
            (
                "rope_scaling.high_freq_factor",
                "above low_freq_factor and finite",
                high,
                high > low && high.is_finite(),
            ),
        ];
        for (name, expected, found, holds) in rules {
            if !holds {
                return Err(ConfigError::Value { name, expected, found: found.to_string() });
            }
        }
        if original_max_seq_len == 0 {
            let name = "rope_scaling.original_max_seq_len";
            return Err(ConfigError::Value { name, expected: "at least 1", found: "0".into() });
        }
        check_size("rope_scaling.original_max_seq_len", original_max_seq_len)
    }

    /// The stretched frequency, in radians a position; in f32 as `transformers` computes it.
    pub fn stretch(&self, frequency: f32) -> f32 {
        let (factor, low, high) =
            (self.factor as f32, self.low_freq_factor as f32, self.high_freq_factor as f32);
        let original = self.original_max_seq_len as f32;
        let wave_len = std::f32::consts::TAU / frequency;
        if wave_len > original / low {
            frequency / factor
        } else if wave_len < original / high {
            frequency
        } else {
            let smooth = (original / wave_len - low) / (high - low);
            (1.0 - smooth) * (frequency / factor) + smooth * frequency
        }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Longest context: tables of rotary angles are held for every position.
const MAX_SEQ_LEN: usize = 4_194_304;

/// A shape that cannot be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A size that must be positive, or finite.
    #[error("`{name}` must be {expected}, found {found}\nhint: set it in the recipe's [model] table")]
    Value {
        /// The field.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// One size does not divide another.
    #[error(
        "`{name}` is {value} and must divide `{of}`, which is {of_value}\nhint: choose a divisor of {of_value}"
    )]
    Divides {
        /// The divisor's field.
        name: &'static str,
        /// The divisor.
        value: usize,
        /// The other field.
        of: &'static str,
        /// Its value.
        of_value: usize,
    },
    /// More parameters than an index can count.
    #[error(
        "the model would have {n_params:.1e} parameters, this machine can address {limit:.1e}\nhint: check the sizes in [model] for a slipped digit"
    )]
    TooLarge {
        /// How many there would be.
        n_params: f64,
        /// How many are possible.
        limit: f64,
    },
}

impl ModelConfig {
    /// The token that a model with eyes must not write: it stands for a row of an image, and no image is there.
    pub fn never_written(&self) -> Option<u32> {
        self.vision.as_ref().map(|vision| vision.image_token)
    }

    /// Every rule that the layers rely on, checked once; nothing below checks again.
    ///
    /// # Errors
    /// Names the first field that breaks a rule.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("max_seq_len", self.max_seq_len),
            ("n_layers", self.n_layers),
            ("d_model", self.d_model),
            ("n_heads", self.n_heads),
            ("n_kv_heads", self.n_kv_heads),
            ("d_head", self.d_head),
            ("d_ff", self.d_ff),
        ];
        for (name, size) in sizes {
            if size == 0 {
                return Err(ConfigError::Value { name, expected: "at least 1", found: "0".into() });
            }
            check_size(name, size)?;
        }
        if self.max_seq_len > MAX_SEQ_LEN {
            let found = self.max_seq_len.to_string();
            return Err(ConfigError::Value { name: "max_seq_len", expected: "at most 4194304", found });
        }
        if !self.n_heads.is_multiple_of(self.n_kv_heads) {
            let (value, of_value) = (self.n_kv_heads, self.n_heads);
            return Err(ConfigError::Divides { name: "n_kv_heads", value, of: "n_heads", of_value });
        }
        if !self.d_head.is_multiple_of(2) {
            let found = self.d_head.to_string();
            return Err(ConfigError::Value {
                name: "d_head",
                expected: "even (rotary embedding turns pairs)",
                found,
            });
        }
        if self.qk_norm && self.qkv_bias {
            let expected = "false together with qk_norm: no architecture of transformers has both";
            return Err(ConfigError::Value { name: "qkv_bias", expected, found: "true".into() });
        }
        // transformers refuses such a Llama; with QK-norm (Qwen3) it does not.
        if !self.qk_norm && !self.d_model.is_multiple_of(self.n_heads) {
            let (value, of_value) = (self.n_heads, self.d_model);
            return Err(ConfigError::Divides { name: "n_heads", value, of: "d_model", of_value });
        }
        for (name, x) in [("rope_theta", self.rope_theta), ("norm_eps", self.norm_eps)] {
            // Below the smallest normal f32 it would vanish in the kernels.
            if !(x.is_finite() && x >= f64::from(f32::MIN_POSITIVE)) {
                return Err(ConfigError::Value {
                    name,
                    expected: "positive and finite",
                    found: x.to_string(),
                });
            }
        }
        if let Some(scaling) = &self.rope_scaling {
            scaling.validate()?;
        }
        if let Some(vision) = &self.vision {
            vision.validate(self)?;
        }
        self.check_addressable()
    }

    /// Refuses a model whose parameters cannot be counted: [`ModelConfig::n_params`] is safe after it.
    pub(crate) fn check_addressable(&self) -> Result<(), ConfigError> {
        let n_params = self.approximate_params();
        let limit = (isize::MAX as usize / 32) as f64; // weights, gradients and moments in bytes, with room
        if n_params > limit {
            return Err(ConfigError::TooLarge { n_params, limit });
        }
        Ok(())
    }

    /// Parameters but for gains, in floating point: of a shape that is not yet checked, the count itself may not fit
    /// an integer.
    pub fn approximate_params(&self) -> f64 {
        let (c, l) = (self.d_model as f64, self.n_layers as f64);
        let attention = 2.0 * c * self.d_head as f64 * (self.n_heads as f64 + self.n_kv_heads as f64);
        let n_vocab_matrices = if self.tie_embeddings { 1.0 } else { 2.0 };
        let vision = self.vision.as_ref().map_or(0.0, |vision| vision.approximate_params(self.d_model));
        l * (attention + 3.0 * c * self.d_ff as f64) + n_vocab_matrices * c * self.vocab_size as f64 + vision
    }

    /// Radians by which the channel pair `i` of a head turns from one position to the next: `θ^(−2i/D)`, stretched
    /// where [`ModelConfig::rope_scaling`] says so. Rounded to f32 as Hugging Face's code does: at large positions that
    /// rounding is what both sides must share.
    pub fn rope_frequency(&self, i: usize) -> f32 {
        // From `libm`: the same bits on every machine.
        let frequency = libm::pow(self.rope_theta, -2.0 * i as f64 / self.d_head as f64) as f32;
        self.rope_scaling.map_or(frequency, |scaling| scaling.stretch(frequency))
    }

    /// Width of all query heads together.
    pub fn q_width(&self) -> usize {
        self.n_heads * self.d_head
    }

    /// Width of all key heads together, and of all value heads.
    pub fn kv_width(&self) -> usize {
        self.n_kv_heads * self.d_head
    }
}

/// Refuses a size that can only be a slipped digit; sums and products of two sizes within these limits fit.
pub(crate) fn check_size(name: &'static str, size: usize) -> Result<(), ConfigError> {
    let (largest, expected) = match name {
        "n_layers" => (1 << 16, "at most 65536"), // each is a list of named parameters
        _ => (u32::MAX as usize, "below 2^32"),
    };
    match size > largest {
        true => Err(ConfigError::Value { name, expected, found: size.to_string() }),
        false => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Every size differs, so that a swapped axis cannot pass.
    pub(crate) fn tiny() -> ModelConfig {
        ModelConfig {
            vocab_size: 61,
            max_seq_len: 40,
            n_layers: 2,
            d_model: 24,
            n_heads: 6,
            n_kv_heads: 2,
            d_head: 10,
            d_ff: 34,
            rope_theta: 10_000.0,
            norm_eps: 1e-6,
            qk_norm: true,
            qkv_bias: false,
            rope_scaling: None,
            tie_embeddings: false,
            vision: None,
        }
    }

    #[test]
    fn impossible_sizes_are_refused_by_name() {
        let message = |change: fn(&mut ModelConfig)| {
            let mut config = tiny();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert_eq!(tiny().validate(), Ok(()));
        assert!(message(|c| c.n_layers = 0).starts_with("`n_layers` must be at least 1, found 0"));
        assert!(
            message(|c| c.n_kv_heads = 4)
                .starts_with("`n_kv_heads` is 4 and must divide `n_heads`, which is 6")
        );
        assert!(message(|c| c.d_head = 7).starts_with("`d_head` must be even"));
        assert!(
            message(|c| c.norm_eps = f64::NAN)
                .starts_with("`norm_eps` must be positive and finite, found NaN")
        );
        assert!(message(|c| c.d_ff = usize::MAX).starts_with("`d_ff` must be below 2^32"));
        assert!(message(|c| c.n_layers = 65_537).starts_with("`n_layers` must be at most 65536"));
        let huge = message(|c| (c.d_model, c.d_ff, c.n_layers) = (1 << 31, 1 << 31, 1 << 16));
        assert!(huge.starts_with("the model would have"), "{huge}");
    }
}
