//! Why an environment cannot go on.

use std::path::PathBuf;

use data::DataError;

/// Why an environment cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// A program that could not be started.
    #[error(
        "cannot start the environment `{command}`: {source}\nhint: name a program with its arguments, such as \"python3 env.py\""
    )]
    Start {
        /// What was to be started.
        command: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program that ended.
    #[error(
        "the environment `{command}` ended ({status}) {moment}{said}\nhint: run it by hand with the same line on its standard input"
    )]
    Died {
        /// The program.
        command: String,
        /// How.
        status: String,
        /// While what.
        moment: String,
        /// The end of what it wrote to its standard error.
        said: String,
    },
    /// A program that said nothing in time.
    #[error(
        "the environment `{command}` said nothing for {seconds} s {moment}\nhint: it answers each line with one line and flushes; --env-timeout gives it longer"
    )]
    Slow {
        /// The program.
        command: String,
        /// How long was waited.
        seconds: f64,
        /// While what.
        moment: String,
    },
    /// A program that says something else than it should.
    #[error(
        "the environment `{command}`: expected {expected} {moment}, found {found}\nhint: docs/alignment.md shows the lines"
    )]
    Answer {
        /// The program.
        command: String,
        /// What should come.
        expected: String,
        /// While what.
        moment: String,
        /// What came.
        found: String,
    },
    /// A reward that cannot be learned from.
    #[error(
        "the reward of problem {problem} is {reward}, expected a number from -{most} to {most}\nhint: look at what gives the reward, or scale it: rewards near 1 are learned from best"
    )]
    Reward {
        /// Which.
        problem: u64,
        /// What came.
        reward: f64,
        /// How large it may be.
        most: f64,
    },
    /// Problems of which none can be learned from.
    #[error(
        "expected answers with a reward, found none of {n_problems}: {left_out}\nhint: look at the reason; the same command goes on from what was saved"
    )]
    AllLeftOut {
        /// How many were tried.
        n_problems: usize,
        /// Why they were left out, in words.
        left_out: String,
    },
    /// A file of prompts that cannot be used.
    #[error("`{}`: expected {expected}, found {found}\nhint: {hint}", path.display())]
    Prompts {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is.
        found: String,
        /// What to do.
        hint: &'static str,
    },
    /// A chat template that refuses the conversation.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The model cannot read what it is given.
    #[error(transparent)]
    Decode(#[from] model::DecodeError),
}
