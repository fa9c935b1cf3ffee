//! How a program ended.

use std::{fmt, process::ExitStatus};

use serde::{Deserialize, Serialize};

use super::{MAX_OUTPUT, Started};

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It ran to its end without an exception.
    Passed,
    /// It raised an exception.
    Failed(String),
    /// Its time was over.
    TimedOut,
    /// A signal ended it.
    Killed(i32),
    /// It left with this status, before it was at its end.
    Left(i32),
    /// It wrote more than is read.
    TooMuchOutput,
}

/// A program that was run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramRun {
    /// How it ended.
    pub outcome: Outcome,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Killed(signal) => write!(f, "ended by signal {signal}"),
            Self::Left(status) => write!(f, "left with status {status} before its end"),
            Self::TooMuchOutput => write!(f, "wrote more than {MAX_OUTPUT} bytes"),
        }
    }
}

/// Reads what the launcher and the runner wrote. Lines of the launcher come first; a verdict begins with the nonce.
pub(super) fn read(
    nonce: &str,
    out: &[u8],
    err: &[u8],
    status: Option<ExitStatus>,
    is_late: bool,
) -> Started {
    let (text, errors) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    let mut lines = text.split('\n');
    let (mut layers, mut missing) = (Vec::new(), None);
    for line in lines.by_ref() {
        match line.split('\t').collect::<Vec<_>>()[..] {
            ["layer", name] => layers.push(name.to_owned()),
            ["missing", layer, why] => missing = Some((layer.to_owned(), why.to_owned())),
            // From here on it is the program that may have written.
            ["start"] => break,
            _ => {}
        }
    }
    let has_started = !layers.is_empty();
    let verdict = lines.find_map(|line| line.strip_prefix(nonce)?.strip_prefix('\t').map(str::to_owned));
    let outcome = match verdict.as_deref().map(|verdict| verdict.split_once('\t').unwrap_or((verdict, ""))) {
        Some(("passed", _)) => Outcome::Passed,
        Some(("late", _)) => Outcome::TimedOut,
        Some((_, error)) => Outcome::Failed(error.to_owned()),
        None if is_late => Outcome::TimedOut,
        None if out.len() as u64 >= MAX_OUTPUT => Outcome::TooMuchOutput,
        None => ended(status),
    };
    if !has_started && missing.is_none() && outcome != Outcome::Passed {
        let words = errors.lines().last().unwrap_or_default().trim();
        missing = Some(("launcher".to_owned(), format!("{outcome} {words}").trim().to_owned()));
    }
    Started { layers, missing, outcome }
}

fn ended(status: Option<ExitStatus>) -> Outcome {
    let Some(status) = status else { return Outcome::Left(-1) };
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return Outcome::Killed(signal);
    }
    match status.code().unwrap_or(-1) {
        // As the launcher reports a signal.
        code @ 129..=192 => Outcome::Killed(code - 128),
        code => Outcome::Left(code),
    }
}
