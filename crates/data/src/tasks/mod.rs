//! Graded tasks with exact answers: what a small model can do, apart from its loss.
//!
//! A problem is one line of text, `copy: k7qd => k7qd`: the prompt ends in `=>`, the answer begins with a space and ends
//! with the line. Byte-pair merges never cross that border, because a piece of text ends before a space (see
//! `tokenizer/split.rs`); so prompt and answer encode to the same ids apart and together.
//!
//! A hash of the prompt says whether a problem is one to train on or one to test with (see [`Problem::is_test`]), so
//! the two never meet, whatever the seeds. [`TasksConfig`] mixes training problems into a corpus, [`suite`] draws
//! test problems.

mod add;
mod close;
mod config;
mod copy;
mod documents;
mod lookup;
mod python;
mod shuffle;
mod sort;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use base::Rng;
use base::hash::xxh3_64;
use serde::{Deserialize, Serialize};

pub use config::TasksConfig;
pub(crate) use documents::TaskDocuments;

/// One in this many prompts is a test problem and never trained on.
pub const TEST_ONE_IN: u64 = 8;
/// A task whose answers must be sampled costs hundreds of generations a problem: it gets one problem where others
/// get this many.
pub const SAMPLED_ONE_IN: usize = 8;

/// What is asked for. Each task has levels of difficulty from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Repeat a string of `difficulty` letters and digits.
    Copy,
    /// Give the value of a key among `difficulty` pairs.
    Lookup,
    /// Close `difficulty` open brackets of four kinds, innermost first.
    Close,
    /// Put `difficulty + 1` letters in order.
    Sort,
    /// Add two numbers of `difficulty` digits.
    Add,
    /// Evaluate a Python expression of `difficulty` operations.
    Python,
    /// Give `difficulty + 1` different letters in any order: the one task with many right answers.
    Shuffle,
}

impl Task {
    /// Every task, in the order of the suite.
    pub const ALL: [Self; 7] =
        [Self::Copy, Self::Lookup, Self::Close, Self::Sort, Self::Add, Self::Python, Self::Shuffle];

    /// The word that a prompt begins with.
    pub fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Lookup => "lookup",
            Self::Close => "close",
            Self::Sort => "sort",
            Self::Add => "add",
            Self::Python => "python",
            Self::Shuffle => "shuffle",
        }
    }

    /// The highest difficulty; the lowest is 1.
    pub fn max_difficulty(self) -> u32 {
        match self {
            Self::Copy | Self::Lookup | Self::Close | Self::Sort => 6,
            Self::Add | Self::Python | Self::Shuffle => 5,
        }
    }

    /// Whether exactly one answer is right, so that its probability is the pass rate.
    pub fn has_one_answer(self) -> bool {
        self != Self::Shuffle
    }

    /// A problem of either side of the split; `difficulty` is in range.
    fn draw(self, difficulty: u32, rng: &mut Rng) -> Problem {
        let draw = match self {
            Self::Copy => copy::draw,
            Self::Lookup => lookup::draw,
            Self::Close => close::draw,
            Self::Sort => sort::draw,
            Self::Add => add::draw,
            Self::Python => python::draw,
            Self::Shuffle => shuffle::draw,
        };
        let (question, answer) = draw(difficulty as usize, rng);
        let (prompt, answer) = (format!("{}: {question} =>", self.name()), format!(" {answer}\n"));
        Problem { task: self, difficulty, prompt, answer }
    }
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A question and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is asked for.
    pub task: Task,
    /// How long the question is, in the task's own measure; from 1 on.
    pub difficulty: u32,
    /// Text to continue, as in `copy: k7qd =>`.
    pub prompt: String,
    /// The right continuation, from its space to the end of the line; one of many for [`Task::Shuffle`].
    pub answer: String,
}

impl Problem {
    /// Whether `answer` is right, character for character and with the end of the line.
    pub fn accepts(&self, answer: &str) -> bool {
        match self.task {
            Task::Shuffle => shuffle::accepts(&self.answer, answer),
            _ => answer == self.answer,
        }
    }

    /// Whether this is a problem to test with: its prompt's 64-bit xxh3 is a multiple of [`TEST_ONE_IN`].
    ///
    /// Where a level has few prompts (36 strings of one character, 100 sums of two digits) it has few test problems
    /// too, and what they measure is whether the rule was learned from the other prompts of that level.
    pub fn is_test(&self) -> bool {
        xxh3_64(self.prompt.as_bytes()).is_multiple_of(TEST_ONE_IN)
    }

    /// A problem to train on, of any task and difficulty with the same chance.
    fn to_train_on(rng: &mut Rng) -> Self {
        let task = Task::ALL[rng.below(Task::ALL.len() as u64) as usize];
        let difficulty = 1 + rng.below(u64::from(task.max_difficulty())) as u32;
        loop {
            let problem = task.draw(difficulty, rng);
            if !problem.is_test() {
                return problem;
            }
        }
    }
}

/// Test problems: `n_per_level` different ones of each task and difficulty (where the task has many right answers,
/// [`SAMPLED_ONE_IN`] times fewer), or all that there are when a level has fewer.
///
/// A smaller suite of the same seed is the beginning of a larger one, level by level.
///
/// ```
/// let suite = data::tasks::suite(1, 32);
/// assert!(suite.iter().all(|problem| problem.is_test() && problem.accepts(&problem.answer)));
/// assert!(suite.iter().any(|problem| problem.task == data::tasks::Task::Sort && problem.difficulty == 6));
/// ```
pub fn suite(seed: u64, n_per_level: usize) -> Vec<Problem> {
    let mut problems = Vec::new();
    for task in Task::ALL {
        let n = if task.has_one_answer() { n_per_level } else { n_per_level.div_ceil(SAMPLED_ONE_IN) };
        for difficulty in 1..=task.max_difficulty() {
            let mut rng = Rng::named(seed, &format!("task suite/{task}/{difficulty}"));
            let mut seen = HashSet::new();
            // In a level with few prompts every one of them comes long before the draws end.
            let mut draws_left = 4096 + 8 * TEST_ONE_IN as usize * n;
            while seen.len() < n && draws_left > 0 {
                draws_left -= 1;
                let problem = task.draw(difficulty, &mut rng);
                if problem.is_test() && seen.insert(problem.prompt.clone()) {
                    problems.push(problem);
                }
            }
        }
    }
    problems
}

/// `n` characters of `alphabet`, each with the same chance.
fn characters(n: usize, alphabet: &[u8], rng: &mut Rng) -> String {
    (0..n).map(|_| pick(alphabet, rng)).collect()
}

/// One character of `alphabet`.
fn pick(alphabet: &[u8], rng: &mut Rng) -> char {
    char::from(alphabet[rng.below(alphabet.len() as u64) as usize])
}

/// `n` different letters.
fn distinct_letters(n: usize, rng: &mut Rng) -> Vec<char> {
    let mut letters = LETTERS.to_vec();
    shuffle::shuffled(&mut letters, rng);
    letters.into_iter().take(n).map(char::from).collect()
}

const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const DIGITS: &[u8] = b"0123456789";
