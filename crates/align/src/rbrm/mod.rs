//! Rule-based rewards (OpenAI 2024, <https://arxiv.org/abs/2411.01111>): an answer is graded proposition by proposition, and the
//! reward is a weighted sum of what is true of it, by what the prompt asks for.

mod classes;
mod gold;
mod judge;
mod rules;
mod weights;
mod yaml;

pub use classes::{Classes, ResponseType};
pub use gold::{Gold, PropositionScore, read_gold, validate};
pub use judge::{RbrmFile, RbrmJudge};
pub use rules::{PROPOSITIONS, grade};
pub use weights::{Weights, fit};
