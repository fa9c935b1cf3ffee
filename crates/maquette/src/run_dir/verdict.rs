//! `verdict.json`: the forecast beside what came.

use forecast::Verdict;

use super::file::RunFile;

/// In the run's folder.
pub(crate) const VERDICT: &str = "verdict.json";

impl RunFile for Verdict {
    const PATH: &'static str = VERDICT;
}
