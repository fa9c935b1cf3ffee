//! Rule-based rewards (OpenAI 2024, <https://arxiv.org/abs/2411.01111>): an answer is graded proposition by proposition, and the
//! reward is a weighted sum of what is true of it, by what the prompt asks for. What grades are rules, a model in a file or one behind
//! an endpoint: a [`Grader`], which people's labels validate before it rewards anything.

mod asked;
mod classes;
mod gold;
mod grader;
mod judge;
mod questions;
mod rules;
mod weights;
mod yaml;

pub use asked::{EndpointGrader, ModelGrader};
pub use classes::{Classes, ResponseType};
pub use gold::{Gold, PropositionScore, labelled, read_gold, validate};
pub use grader::{Answered, Grader, GraderId, Grades, Rules};
pub use judge::{RbrmFile, RbrmJudge};
pub use questions::Questions;
pub use rules::{PROPOSITIONS, grade};
pub use weights::{Weights, fit, unfit};
