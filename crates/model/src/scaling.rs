//! From a compute budget to a model and its training: every rule, each with its source.
//!
//! The rungs of a ladder and the large run are the same recipe at different budgets, so nothing here may depend on
//! anything but the budget, the vocabulary and what the recipe fixes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{ConfigError, ModelConfig, RopeScaling, config::check_size, eyes::VisionOverrides};

/// Training tokens per matrix parameter at the optimum of compute, counted as
/// [`ModelConfig::n_matrix_params`] counts.
///
/// Source: nanochat's isoFLOP fits under this convention (its log of 2026-01-27: about 10.5); Hoffmann et al. 2022
/// found about 20 for all parameters, <https://arxiv.org/abs/2203.15556>.
pub const TOKENS_PER_PARAM: f64 = 10.5;

/// Width divided by depth. Source: nanochat; loss is flat around it (Kaplan et al. 2020, figure 5,
/// <https://arxiv.org/abs/2001.08361>).
pub const ASPECT_RATIO: usize = 64;

/// The narrowest model that a budget is given: one head of 16.
const MIN_WIDTH: usize = 16;

/// Fewest optimizer steps that a run is given by a smaller batch: below, the schedule has no room.
const MIN_STEPS: f64 = 600.0;

/// Sizes that a recipe fixes; the rest follows from the budget.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelOverrides {
    /// Folder of a checkpoint whose training goes on: its shape is fixed too then. Nothing here reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// L.
    pub n_layers: Option<usize>,
    /// C.
    pub d_model: Option<usize>,
    /// H.
    pub n_heads: Option<usize>,
    /// K.
    pub n_kv_heads: Option<usize>,
    /// D.
    pub d_head: Option<usize>,
    /// F.
    pub d_ff: Option<usize>,
    /// Longest sequence of the model; at least the training's `seq_len`.
    pub max_seq_len: Option<usize>,
    /// Base of the rotary frequencies.
    pub rope_theta: Option<f64>,
    /// Added to mean squares.
    pub norm_eps: Option<f64>,
    /// Whether queries and keys are normed.
    pub qk_norm: Option<bool>,
    /// Whether queries, keys and values have biases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qkv_bias: Option<bool>,
    /// Whether the head is the embedding.
    pub tie_embeddings: Option<bool>,
    /// RoPE scaling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeScaling>,
    /// How images are read; the table makes a model with eyes, and what it leaves open follows from the width.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vision: Option<VisionOverrides>,
}

impl ModelOverrides {
    /// The model of width `d_model`, where nothing else is fixed: depth `C/64` and at least 2; heads of 16 to
    /// 128; a feed-forward block of `8/3·C`, which makes three gated matrices as large as two plain ones of `4·C`
    /// (Shazeer 2020, <https://arxiv.org/abs/2002.05202>).
    pub fn config(&self, vocab_size: usize, seq_len: usize, d_model: usize) -> ModelConfig {
        let d_model = self.d_model.unwrap_or(d_model);
        let d_head = self.d_head.unwrap_or_else(|| match self.n_heads {
            Some(n_heads) => d_model / n_heads.max(1),
            None => d_head(d_model),
        });
        let n_heads = self.n_heads.unwrap_or((d_model / d_head.max(1)).max(1));
        ModelConfig {
            vocab_size,
            max_seq_len: self.max_seq_len.unwrap_or(seq_len),
            n_layers: self
                .n_layers
                .unwrap_or(((d_model as f64 / ASPECT_RATIO as f64).round() as usize).max(2)),
            d_model,
            n_heads,
            n_kv_heads: self.n_kv_heads.unwrap_or(n_heads),
            d_head,
            d_ff: self.d_ff.unwrap_or_else(|| d_ff(d_model)),
            rope_theta: self.rope_theta.unwrap_or(10_000.0),
            norm_eps: self.norm_eps.unwrap_or(1e-6),
            qk_norm: self.qk_norm.unwrap_or(true),
            qkv_bias: self.qkv_bias.unwrap_or(false),
            rope_scaling: self.rope_scaling,
            tie_embeddings: self.tie_embeddings.unwrap_or(false),
            vision: self.vision.as_ref().map(|vision| vision.config(d_model)),
        }
    }
}

impl ModelOverrides {
    /// Checks that the fixed sizes can be computed with; what they make is for [`ModelConfig::validate`].
    ///
    /// # Errors
    /// Names the first size that is out of all bounds.
    pub fn validate(&self, vocab_size: usize, seq_len: usize) -> Result<(), ConfigError> {
        let sizes = [
            ("n_layers", self.n_layers),
            ("d_model", self.d_model),
            ("n_heads", self.n_heads),
            ("n_kv_heads", self.n_kv_heads),
            ("d_head", self.d_head),
            ("d_ff", self.d_ff),
            ("max_seq_len", self.max_seq_len),
        ];
        for (name, size) in sizes {
            check_size(name, size.unwrap_or(1))?;
        }
        self.config(vocab_size, seq_len, MIN_WIDTH).check_addressable()
    }

    /// Everything fixed as it was resolved: what a run's own recipe holds.
    pub fn fixed(config: &ModelConfig) -> Self {
        Self {
            from: None,
            n_layers: Some(config.n_layers),
            d_model: Some(config.d_model),
            n_heads: Some(config.n_heads),
            n_kv_heads: Some(config.n_kv_heads),
            d_head: Some(config.d_head),
            d_ff: Some(config.d_ff),
            max_seq_len: Some(config.max_seq_len),
            rope_theta: Some(config.rope_theta),
            norm_eps: Some(config.norm_eps),
            qk_norm: Some(config.qk_norm),
            // Left out where there are none, as in recipes from before there were any.
            qkv_bias: config.qkv_bias.then_some(true),
            tie_embeddings: Some(config.tie_embeddings),
            rope_scaling: config.rope_scaling,
            vision: config.vision.as_ref().map(VisionOverrides::fixed),
        }
    }
}

/// Heads of 64 are common from GPT-2 on; narrower models get more than two heads from narrower ones.
fn d_head(d_model: usize) -> usize {
    match d_model {
        0..128 => 16,
        128..256 => 32,
        256..2048 => 64,
        _ => 128,
    }
}

/// `8/3·C`, rounded up to whole vectors: to 16 in narrow models, where 32 would be a change of shape.
fn d_ff(d_model: usize) -> usize {
    let unit = if d_model < 256 { 16 } else { 32 };
    (d_model * 8).div_ceil(3 * unit) * unit
}

/// The model and the number of tokens that spend `train_flops` best: `tokens = ratio·N` and
/// `tokens·FLOPs per token = budget`, on the grid of widths.
///
/// Paper: <https://arxiv.org/abs/2203.15556>.
pub fn compute_optimal(
    train_flops: f64,
    tokens_per_param: f64,
    vocab_size: usize,
    seq_len: usize,
    overrides: &ModelOverrides,
) -> (ModelConfig, f64) {
    let spent = |config: &ModelConfig| {
        tokens_per_param * config.n_matrix_params() as f64 * config.train_flops_per_token(seq_len)
    };
    let distance = |config: &ModelConfig| (spent(config) / train_flops).ln().abs();
    let mut best = overrides.config(vocab_size, seq_len, MIN_WIDTH);
    // Past the best width the distance only grows; a fixed width ends at once.
    for d_model in widths().skip(1).take_while(|_| overrides.d_model.is_none()) {
        let config = overrides.config(vocab_size, seq_len, d_model);
        // What the recipe fixes does not go with every width: three heads have no two key/value heads.
        let fits = config.validate().is_ok();
        if fits && (best.validate().is_err() || distance(&config) < distance(&best)) {
            best = config;
        } else if fits && spent(&config) > train_flops {
            break;
        }
    }
    let tokens = train_flops / best.train_flops_per_token(seq_len);
    (best, tokens)
}

/// The grid of widths: whole heads, from the narrowest.
pub fn widths() -> impl Iterator<Item = usize> {
    std::iter::successors(Some(MIN_WIDTH), |d_model| Some(d_model + d_head(d_model + 1)))
        .take_while(|d_model| *d_model <= 65_536)
}

/// Tokens of one optimizer step for N matrix parameters and a run of `tokens`: `2048·160·(N/108e6)^⅔`, but few
/// enough for [`MIN_STEPS`] steps; whole rows of `seq_len`, at least one. Powers of two would make batches jump
/// between the rungs of a ladder, and its losses with them.
///
/// Source: OLMo-core's ladder rule. Differs: the bound by steps, which only runs of under about 10M tokens meet.
pub fn batch_rows(n_matrix_params: usize, tokens: f64, seq_len: usize) -> usize {
    let by_size = 2048.0 * 160.0 * (n_matrix_params as f64 / 108e6).powf(2.0 / 3.0);
    let rows = by_size.min(tokens / MIN_STEPS) / seq_len as f64;
    rows.max(1.0).round() as usize
}

/// Tokens of vocabulary for a run of `train_flops` on `text_bytes` of training text: a power of two from 512 to
/// 131,072, the lower of two bounds.
///
/// Where all text is new, larger vocabularies are better even for narrow models: 4,096 at 1e13 FLOPs, growing slowly
/// (Tao et al. 2024 find about 64,000 at 1e21, <https://arxiv.org/abs/2407.13623>). A model that reads a text again and
/// again memorises it, the sooner the rarer its tokens are. With `b` the text in millions of bytes, a vocabulary of 2,048
/// is no better than one of 512 from `C_repeat = max(1e12·b^1.5, 2e11·b²)` FLOPs on; from there it falls with the square
/// of compute. The second term is some three readings of the text by a compute-optimal run of any size. Measured at 3e11
/// to 1e14 FLOPs on texts of 1, 5 and 28 MB: docs/log.md.
pub fn vocab_size(train_flops: f64, text_bytes: f64) -> usize {
    let by_compute = 4096.0 * (train_flops / 3e12).powf(0.14);
    let megabytes = text_bytes / 1e6;
    let repeat_flops = (1e12 * megabytes.powf(1.5)).max(2e11 * megabytes.powi(2));
    let by_text = 2048.0 * (repeat_flops / train_flops).powi(2);
    let doublings = by_compute.min(by_text).max(1.0).log2().round().clamp(9.0, 17.0);
    1 << doublings as u32
}

/// Sequence length for a budget: 256 for runs of minutes, growing with the fourth root of compute to 2,048; a
/// power of two. Longer contexts cost attention without helping a small model.
pub fn seq_len(train_flops: f64) -> usize {
    let doublings = ((train_flops / 1e14).log2() / 4.0).round().clamp(0.0, 3.0);
    256 << doublings as u32
}

/// Peak learning rates by role.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearningRates {
    /// Of matrices between hidden vectors.
    pub matrix: f64,
    /// Of the embedding.
    pub embedding: f64,
    /// Of the head.
    pub head: f64,
    /// Of gains.
    pub gain: f64,
}

/// Width at which the rates below were found.
const REFERENCE_WIDTH: f64 = 256.0;

/// Learning rates that stay best at every width.
///
/// An update must change a layer's output by the same amount at any width. Muon's orthogonal update does that as
/// it is; AdamW's, whose elements are all about as large, needs `1/width` for whatever sums over the width:
/// matrices and head, not the embedding, which looks up one row, nor gains.
/// Papers: <https://arxiv.org/abs/2203.03466> (table 8), <https://arxiv.org/abs/2310.17813>.
/// The constants come from the sweep in docs/log.md, which also shows that the best rate stays put.
pub fn learning_rates(config: &ModelConfig, matrices_by_muon: bool) -> LearningRates {
    let per_width = REFERENCE_WIDTH / config.d_model as f64;
    let head = 4e-3 * per_width;
    LearningRates {
        matrix: if matrices_by_muon { 0.02 } else { 3e-3 * per_width },
        // A tied embedding is a head too, and the head's rule is the stricter one.
        embedding: if config.tie_embeddings { head } else { 0.1 },
        head,
        gain: 0.01,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_spends_the_budget() {
        for exponent in 13..24 {
            let budget = 3.0 * 10f64.powi(exponent);
            let seq_len = seq_len(budget);
            let (config, tokens) =
                compute_optimal(budget, TOKENS_PER_PARAM, 4096, seq_len, &ModelOverrides::default());
            config.validate().unwrap();
            let spent = tokens * config.train_flops_per_token(seq_len);
            assert!((spent / budget - 1.0).abs() < 1e-9);
            let ratio = tokens / config.n_matrix_params() as f64;
            // The grid of widths is coarse for small models.
            assert!((4.0..25.0).contains(&ratio), "{budget:e}: {ratio} tokens per parameter, {config:?}");
        }
    }

    #[test]
    fn more_compute_never_gives_a_smaller_model_or_batch() {
        let plan = |exponent: i32| {
            let budget = 10f64.powi(exponent);
            let (config, tokens) =
                compute_optimal(budget, TOKENS_PER_PARAM, 4096, 256, &ModelOverrides::default());
            let n = config.n_matrix_params();
            (n, tokens, batch_rows(n, tokens, 256))
        };
        for exponent in 12..23 {
            let ((n, tokens, batch), (more_n, more_tokens, more_batch)) =
                (plan(exponent), plan(exponent + 1));
            assert!(more_n >= n && more_tokens > tokens && more_batch >= batch, "at 1e{exponent}");
        }
    }

    /// Whatever is fixed, the search finds a shape that can be built.
    #[test]
    fn fixed_heads_never_lead_to_an_impossible_shape() {
        let fixed = [
            ModelOverrides { n_kv_heads: Some(2), ..Default::default() },
            ModelOverrides { n_heads: Some(6), qk_norm: Some(false), ..Default::default() },
            ModelOverrides { n_heads: Some(4), n_kv_heads: Some(1), ..Default::default() },
        ];
        for overrides in &fixed {
            for exponent in 24..80 {
                let budget = 1e12 * 1.3f64.powi(exponent - 24);
                let (config, _) = compute_optimal(budget, TOKENS_PER_PARAM, 4096, 256, overrides);
                assert_eq!(config.validate(), Ok(()), "{budget:e} {config:?}");
            }
        }
    }

    /// The best of the vocabularies that were tried, or one whose loss lies within the noise of it (docs/log.md).
    #[test]
    fn vocabularies_are_those_that_were_best() {
        let (shakespeare, code, books) = (1e6, 5e6, 27e6);
        for (flops, text_bytes, expected) in [
            (1e12, shakespeare, 2048),
            (3e12, shakespeare, 512),
            (1e13, shakespeare, 512),
            (1e12, code, 4096),
            (1e13, code, 2048),
            (2e13, code, 512),
            (3.5e13, code, 512),
            (1e12, books, 4096),
            (1e13, books, 4096),
            (1e14, books, 4096),
            (1e21, 1e13, 65_536),
            (1e30, 1e30, 131_072),
            (1e15, 0.0, 512),
        ] {
            assert_eq!(vocab_size(flops, text_bytes), expected, "{flops:e} FLOPs, {text_bytes:e} bytes");
        }
    }

    #[test]
    fn what_the_recipe_fixes_stays_fixed() {
        let overrides =
            ModelOverrides { n_layers: Some(4), d_model: Some(128), n_heads: Some(4), ..Default::default() };
        let (config, tokens) = compute_optimal(1e14, TOKENS_PER_PARAM, 96, 64, &overrides);
        assert_eq!((config.n_layers, config.d_model, config.d_head), (4, 128, 32));
        assert!((tokens * config.train_flops_per_token(64) / 1e14 - 1.0).abs() < 1e-9);
    }
}
