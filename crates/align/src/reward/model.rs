//! A model that scores answers.

use std::path::Path;

use model::{Gpt, Tokens, Wanted, checkpoint};
use serde::{Deserialize, Serialize};
use tensor::Kernels;
use train::Example;

use crate::{AlignError, PairExample};

use super::answered;

/// Texts that pass through the model together.
const N_TOGETHER: usize = 8;

/// What the scores of a reward model are normalised with, and how good it was on pairs that it did not learn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    /// Of the scores of answers that it learned from.
    pub mean: f64,
    /// Their standard deviation.
    pub std: f64,
    /// How many they are.
    pub n: usize,
    /// What else its maker wrote down, such as the accuracy on pairs that were held out.
    #[serde(default)]
    pub held_out: serde_json::Value,
}

impl Statistics {
    /// Those of scores.
    pub fn of(scores: &[f64]) -> Self {
        let n = scores.len() as f64;
        let mean = scores.iter().sum::<f64>() / n.max(1.0);
        let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        Self { mean, std: variance.sqrt(), n: scores.len(), held_out: serde_json::Value::Null }
    }

    /// A score in units of the standard deviation above the mean.
    pub fn normalised(&self, score: f64) -> f64 {
        (score - self.mean) / self.std
    }
}

/// A model that scores answers: one number at the token that ends them.
#[derive(Clone, Debug)]
pub struct RewardModel {
    gpt: Gpt,
    head: usize,
    statistics: Statistics,
}

impl RewardModel {
    /// File of the statistics, beside the model.
    pub const STATISTICS: &str = "reward.json";

    /// Opens a folder that `maquette reward` wrote, or another program's with statistics beside it.
    ///
    /// # Errors
    /// If it is damaged, no model of one score, or without statistics: a reward of unknown scale cannot be weighed against
    /// anything.
    pub fn open(dir: &Path) -> Result<Self, AlignError> {
        let gpt = checkpoint::read_scorer(dir)?;
        let path = dir.join(Self::STATISTICS);
        let refuse = |found: String| AlignError::Statistics { path: path.clone(), found };
        let bytes = std::fs::read(&path).map_err(|error| refuse(error.to_string()))?;
        let statistics: Statistics =
            serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string()))?;
        if !(statistics.mean.is_finite() && statistics.std.is_finite() && statistics.std > 0.0) {
            return Err(refuse(format!("mean {}, std {}", statistics.mean, statistics.std)));
        }
        let head = gpt.head_named(checkpoint::SCORE).unwrap_or_default();
        Ok(Self { gpt, head, statistics })
    }

    /// A model as it stands, with statistics.
    ///
    /// # Errors
    /// If it has no head named [`checkpoint::SCORE`].
    pub fn new(gpt: Gpt, statistics: Statistics) -> Result<Self, AlignError> {
        let head = gpt.head_named(checkpoint::SCORE).ok_or(AlignError::NoScore)?;
        Ok(Self { gpt, head, statistics })
    }

    /// The model.
    pub fn gpt(&self) -> &Gpt {
        &self.gpt
    }

    /// What its scores are normalised with.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The weights of the head, `[C]`.
    pub fn head(&self) -> &[f32] {
        self.gpt.params().heads[self.head].weight.f32()
    }

    /// The score of each text, read at its last token. It has the same bits in any company.
    ///
    /// # Panics
    /// If a text is empty or longer than the model reads.
    pub fn scores(&self, kernels: &dyn Kernels, texts: &[&[u32]]) -> Vec<f64> {
        texts.chunks(N_TOGETHER).flat_map(|texts| scores(&self.gpt, self.head, kernels, texts)).collect()
    }

    /// The score of the last answer of an example.
    ///
    /// # Panics
    /// As [`RewardModel::scores`].
    pub fn score(&self, kernels: &dyn Kernels, example: &Example) -> f64 {
        self.scores(kernels, &[answered(example)])[0]
    }

    /// The scores of both sides of pairs, the better first.
    pub fn pair_scores(&self, kernels: &dyn Kernels, pairs: &[PairExample]) -> Vec<[f64; 2]> {
        let texts: Vec<&[u32]> =
            pairs.iter().flat_map(|pair| [answered(&pair.chosen), answered(&pair.rejected)]).collect();
        self.scores(kernels, &texts).chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect()
    }
}

/// Texts one after another.
pub(super) fn packed(texts: &[&[u32]]) -> Tokens {
    Tokens::packed(texts.concat(), texts.iter().map(|text| text.len()))
}

/// The outputs of a head of one at the last token of each text.
pub(super) fn scores(gpt: &Gpt, head: usize, kernels: &dyn Kernels, texts: &[&[u32]]) -> Vec<f64> {
    let tokens = packed(texts);
    let rows = tokens.last_rows();
    let outputs = gpt.outputs(kernels, &tokens, Wanted { rows: &rows, logits: false, head: Some(head) });
    let scores = outputs.head.expect("a head was asked for");
    scores.f32().iter().map(|&score| f64::from(score)).collect()
}
