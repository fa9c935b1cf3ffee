//! Whether items of an evaluation stand in a text that a model was trained on.
//!
//! The method of the GPT-4 report (appendix C): of every item three random substrings of 50 characters, letters and digits
//! alone; the item counts as contaminated if one of them is a substring of a document, of which letters and digits alone are
//! kept too. Paper: <https://arxiv.org/abs/2303.08774>.

mod scan;

use base::Rng;
use serde::{Deserialize, Serialize};

pub use scan::{Index, Scan};

/// Characters of a substring.
const N_CHARS: usize = 50;
/// Substrings of an item.
const N_SUBSTRINGS: usize = 3;
/// Items with fewer letters and digits are not looked for: they stand in any text.
const LEAST_CHARS: usize = 20;

/// What is looked for: some substrings of each item.
#[derive(Clone, Debug)]
pub struct Patterns {
    /// With the number of their item.
    substrings: Vec<(usize, String)>,
    n_items: usize,
    /// Items that are too short to be looked for.
    short: Vec<usize>,
}

/// Which items were found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contamination {
    /// Items.
    pub n_items: usize,
    /// Numbers of the items that were found, in rising order.
    pub found: Vec<usize>,
    /// Numbers of the items with too few letters and digits to be looked for.
    pub not_checked: Vec<usize>,
}

impl Patterns {
    /// Substrings of the items' questions; the same seed draws the same ones.
    pub fn new<'a>(questions: impl IntoIterator<Item = &'a str>, seed: u64) -> Self {
        let mut patterns = Self { substrings: Vec::new(), n_items: 0, short: Vec::new() };
        for (i, question) in questions.into_iter().enumerate() {
            patterns.n_items += 1;
            let kept: Vec<char> = question.chars().filter(|c| c.is_alphanumeric()).collect();
            if kept.len() < LEAST_CHARS {
                patterns.short.push(i);
                continue;
            }
            let mut rng = Rng::named(seed, &format!("contamination {i}"));
            let mut starts = vec![0];
            if kept.len() > N_CHARS {
                let n_starts = (kept.len() - N_CHARS + 1) as u64;
                starts = (0..N_SUBSTRINGS).map(|_| rng.below(n_starts) as usize).collect();
                starts.sort_unstable();
                starts.dedup();
            }
            let of = |start: usize| kept[start..].iter().take(N_CHARS).collect::<String>();
            patterns.substrings.extend(starts.into_iter().map(|start| (i, of(start))));
        }
        patterns
    }

    /// What was found: flags of the patterns, from any number of scans.
    fn contamination(&self, is_found: &[bool]) -> Contamination {
        let hits = self.substrings.iter().zip(is_found).filter(|(_, is_found)| **is_found);
        let mut found: Vec<usize> = hits.map(|((item, _), _)| *item).collect();
        found.dedup();
        Contamination { n_items: self.n_items, found, not_checked: self.short.clone() }
    }
}

#[cfg(test)]
mod tests;
