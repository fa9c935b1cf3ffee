//! What could not be read and was left out, counted.

use std::{collections::BTreeMap, ops::AddAssign};

use serde::{Deserialize, Serialize};

use crate::DataError;

/// Examples that are kept of a file.
const N_EXAMPLES: usize = 3;
/// From this share of bad rows on, a notice begins with a warning.
const LOUD_SHARE: f64 = 0.01;

/// Rows and files that could not be read, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Files that were left out from their first byte.
    #[serde(default)]
    pub n_files: u64,
    /// Errors within files: a bad row each, or a part that could not be read, such as all behind a damaged place.
    #[serde(default)]
    pub n_errors: u64,
    /// How many of each kind, files and errors together.
    #[serde(default)]
    pub kinds: BTreeMap<String, u64>,
    /// The first ones.
    #[serde(default)]
    pub examples: Vec<String>,
}

impl Skipped {
    /// Whether nothing was left out.
    pub fn is_empty(&self) -> bool {
        self.n_files == 0 && self.n_errors == 0
    }

    pub(crate) fn add(&mut self, kind: &str, error: &DataError, is_file: bool) {
        *(if is_file { &mut self.n_files } else { &mut self.n_errors }) += 1;
        *self.kinds.entry(kind.to_owned()).or_default() += 1;
        if self.examples.len() < N_EXAMPLES {
            let text = error.to_string();
            self.examples.push(text.lines().next().unwrap_or_default().to_owned());
        }
    }

    /// What was left out, as a sentence; `n_documents` are those that were kept. None if nothing was.
    pub fn notice(&self, n_documents: u64) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let count = |n: u64, one: &str, many: &str| match n {
            0 => None,
            1 => Some(format!("1 {one}")),
            n => Some(format!("{n} {many}")),
        };
        let parts =
            [count(self.n_errors, "bad row", "bad rows"), count(self.n_files, "whole file", "whole files")];
        let what = parts.into_iter().flatten().collect::<Vec<_>>().join(" and ");
        let kinds: Vec<String> = self.kinds.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        let first = self.examples.first().map_or(String::new(), |first| format!("; first: {first}"));
        let share = self.n_errors as f64 / (self.n_errors + n_documents) as f64;
        let loud = match share >= LOUD_SHARE || self.n_files > 0 {
            true if n_documents > 0 => "WARNING: ",
            _ => "",
        };
        let share = match n_documents {
            0 => String::new(),
            _ => format!(", {:.2} % of the rows", 100.0 * share),
        };
        Some(format!("{loud}{what} left out{share} ({}){first}", kinds.join(", ")))
    }
}

impl AddAssign<&Self> for Skipped {
    fn add_assign(&mut self, other: &Self) {
        self.n_files += other.n_files;
        self.n_errors += other.n_errors;
        for (kind, n) in &other.kinds {
            *self.kinds.entry(kind.clone()).or_default() += n;
        }
        let n_missing = N_EXAMPLES.saturating_sub(self.examples.len());
        self.examples.extend(other.examples.iter().take(n_missing).cloned());
    }
}
