//! What a policy talks to: an environment asks, hears the answer, and rewards it.
//!
//! [`Environment`] speaks in messages; [`Chat`] lets a policy talk to one through its chat template, as a [`TokenEnvironment`].

mod calculator;
mod chat;
mod demonstration;
mod error;
mod grid;
mod program;
mod prompts;
mod reverse;

use base::Rng;
use data::Message;

/// Largest size of a reward: sums of squares of larger ones leave the range of f32.
pub const MAX_REWARD: f64 = 1e9;

pub(crate) use calculator::last_number;

pub use calculator::Calculator;
pub use chat::Chat;
pub use demonstration::{Teachers, demonstration};
pub use error::EnvironmentError;
pub use grid::Grid;
pub use program::Program;
pub use prompts::{Judge, Prompt, Prompts, Verify};
pub use reverse::Reverse;

/// Which problems are meant: none is on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Those that are learned from.
    Training,
    /// Those that are not.
    HeldOut,
}

/// Asks questions, and rewards the answers.
///
/// The n-th problem of a side is the same whenever it is asked for: training goes on after a crash to the same bits.
pub trait Environment: Send {
    /// Its name.
    fn name(&self) -> &str;

    /// Begins the n-th problem of a side.
    ///
    /// # Errors
    /// If the environment cannot go on.
    fn begin(&self, side: Side, n: u64) -> Result<Box<dyn Dialogue + '_>, EnvironmentError>;

    /// Rewards of the answers to problems of a side, of an environment that takes many at a time: each beside what its dialogue gave,
    /// or why there is none.
    fn rewards(&self, side: Side, answered: &[(u64, String)]) -> Option<Vec<Result<f64, String>>> {
        let _ = (side, answered);
        None
    }
}

/// One problem.
pub trait Dialogue {
    /// What it begins with.
    fn messages(&self) -> Vec<Message>;

    /// What the environment says to an answer; `is_whole` is false of one that was cut at the longest length.
    ///
    /// # Errors
    /// If the environment cannot go on.
    fn answer(&mut self, text: &str, is_whole: bool) -> Result<Turn, EnvironmentError>;

    /// What one who knows how would say next, or one who does not but knows the form; nothing where the environment shows neither.
    fn shown(&self, rng: &mut Rng, knows_how: bool) -> Option<String> {
        let _ = (rng, knows_how);
        None
    }
}

/// What an environment says to an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// For this answer.
    pub reward: f64,
    /// What the policy sees next; nothing: the dialogue is over.
    pub observation: Option<Message>,
}

impl Turn {
    /// The last one.
    pub fn last(reward: f64) -> Self {
        Self { reward, observation: None }
    }
}

/// An environment in token ids.
pub trait TokenEnvironment: Send {
    /// Begins the n-th problem of a side.
    ///
    /// # Errors
    /// If the environment cannot go on.
    fn begin(&self, side: Side, n: u64) -> Result<Box<dyn TokenDialogue + '_>, EnvironmentError>;

    /// Rewards of the last answers to problems of a side, of an environment that takes many at a time: each beside what its dialogue
    /// gave, or why there is none.
    fn rewards(&self, side: Side, answered: &[(u64, &[u32])]) -> Option<Vec<Result<f64, String>>> {
        let _ = (side, answered);
        None
    }
}

/// One problem in token ids.
pub trait TokenDialogue {
    /// What the policy is given first.
    fn prompt(&self) -> Vec<u32>;

    /// What the environment says to the ids that the policy wrote, without the one that ended them; the ids are those of what
    /// stands between this answer and the next, beginning behind that one.
    ///
    /// # Errors
    /// If the environment cannot go on.
    fn answer(&mut self, ids: &[u32], is_whole: bool) -> Result<(f64, Option<Vec<u32>>), EnvironmentError>;
}
