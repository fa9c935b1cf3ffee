//! Rewards: a model that scores answers, and how it is trained.

mod bradley_terry;
mod model;

use train::Example;

pub use bradley_terry::BradleyTerry;
pub use model::{RewardModel, Statistics};

/// The ids up to the end of the last answer: a score is read at the token that ends it, as no other program writes more behind
/// what a policy says.
pub(crate) fn answered(example: &Example) -> &[u32] {
    let last = example.weights.iter().rposition(|weight| *weight != 0.0);
    &example.ids[..last.map_or(example.ids.len(), |last| last + 1)]
}
