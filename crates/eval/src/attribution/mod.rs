//! Which parts of a picture an answer depends on.
//!
//! For every patch of the pictures of a question there are two numbers, both in nats and both about the log-probability
//! `ln p(answer | question, pictures)`, the sum over the answer's tokens:
//!
//! - **gradient × input**: `Σ (x − c)·∂ ln p/∂x` over the numbers x of the patch, c being the colour that hides: what `ln p`
//!   would lose if the patch were hidden, to first order. One backward pass (<https://arxiv.org/abs/1605.01713>).
//! - **occlusion**: what `ln p` does lose when the patch is hidden: painted with that colour
//!   (<https://arxiv.org/abs/1311.2901>). One forward pass a patch.
//!
//! Above 0 the patch speaks for the answer, below 0 against it. How far the two maps agree is Spearman's rank correlation.
//! Whether a map is right about the model is a third question: [`Deletion`] hides the patches that it ranks first, and, to
//! compare, as many that are drawn at random.

mod deletion;
mod rank_correlation;
mod subject;
#[cfg(test)]
mod tests;

use model::Picture;
use serde::{Deserialize, Serialize};

pub use deletion::{Deletion, DeletionDrop};
pub use rank_correlation::rank_correlation;
pub use subject::Subject;

use crate::EvalError;

/// The colour that a hidden patch is painted with, and from which gradient × input counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hiding {
    /// The mean colour of the picture itself.
    #[default]
    Picture,
    /// The mean colour of the model's preprocessing, which is 0 in the numbers that it reads.
    Model,
}

/// How answers are explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributionSettings {
    /// The colour of hidden patches.
    pub hiding: Hiding,
    /// Patches that [`Deletion`] hides; an eighth of all where it is open.
    pub n_hidden: Option<usize>,
    /// Random sets of patches that it compares with.
    pub n_draws: usize,
    /// Seed of these.
    pub seed: u64,
}

impl Default for AttributionSettings {
    /// The picture's own mean colour, an eighth of the patches, 32 random sets.
    fn default() -> Self {
        Self { hiding: Hiding::Picture, n_hidden: None, n_draws: 32, seed: 0 }
    }
}

/// Why a model gives an answer, patch by patch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attribution {
    /// `ln p` of the answer, the sum over its tokens, in nats.
    pub log_prob_nats: f64,
    /// `ln p` of each of its tokens, in nats.
    pub token_log_probs_nats: Vec<f64>,
    /// Gradient × input of every patch, in nats: of the first picture from the left and then downwards, then of the next.
    pub gradient_input_nats: Vec<f64>,
    /// What `ln p` loses when the patch is hidden, in nats.
    pub occlusion_nats: Vec<f64>,
    /// Spearman's, of the two maps; none where one of them is the same everywhere.
    pub rank_correlation: Option<f64>,
    /// What hiding the first patches of either map does.
    pub deletion: Deletion,
}

/// Explains an answer.
///
/// # Errors
/// If the model reads no pictures, the question has none or too few places for them, the answer is empty, or all does not fit in
/// the model's context; or `goes_on`, which is asked before each batch, says no.
pub fn attribute(
    subject: &Subject,
    settings: &AttributionSettings,
    goes_on: &dyn Fn() -> bool,
) -> Result<Attribution, EvalError> {
    let prepared = subject.prepared(settings.hiding)?;
    let n_patches = prepared.n_patches();
    let n_hidden = settings.n_hidden.unwrap_or((n_patches / 8).max(1));
    if !(1..=n_patches).contains(&n_hidden) {
        return Err(EvalError::Setting {
            name: "n_hidden",
            expected: "at least 1 and at most the number of patches",
            found: format!("{n_hidden} of {n_patches} patches"),
            hint: "leave it out to hide an eighth of them",
        });
    }
    if settings.n_draws < 2 {
        return Err(EvalError::Setting {
            name: "n_draws",
            expected: "at least 2",
            found: settings.n_draws.to_string(),
            hint: "32 give an interval",
        });
    }
    let (token_log_probs_nats, gradient_input_nats) = prepared.gradient_input();
    let log_prob_nats = token_log_probs_nats.iter().sum();
    let single: Vec<Vec<usize>> = (0..n_patches).map(|patch| vec![patch]).collect();
    let occlusion_nats = prepared.drops(log_prob_nats, &single, goes_on)?;
    let rank_correlation = rank_correlation(&gradient_input_nats, &occlusion_nats);
    let deletion = Deletion::of(&gradient_input_nats, &occlusion_nats, n_hidden, settings, &|sets| {
        prepared.drops(log_prob_nats, sets, goes_on)
    })?;
    Ok(Attribution {
        log_prob_nats,
        token_log_probs_nats,
        gradient_input_nats,
        occlusion_nats,
        rank_correlation,
        deletion,
    })
}

/// The mean of each colour over the patches of a picture, as the model reads them.
fn mean_colour(picture: &Picture, patch_len: usize) -> [f32; 3] {
    let (n, area) = (picture.patches().len() / patch_len, patch_len / 3);
    let sum = |c: usize| -> f64 {
        let planes = picture.patches().chunks_exact(patch_len).flat_map(|patch| &patch[c * area..][..area]);
        planes.map(|&x| f64::from(x)).sum()
    };
    std::array::from_fn(|c| (sum(c) / (n * area) as f64) as f32)
}
