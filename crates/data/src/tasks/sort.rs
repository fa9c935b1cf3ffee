//! `sort: kbz => bkz`

use base::Rng;

use super::LETTERS;

/// `difficulty + 1` letters, and the same in alphabetical order; letters may come twice.
pub(super) fn draw(difficulty: usize, rng: &mut Rng) -> (String, String) {
    let text = super::characters(difficulty + 1, LETTERS, rng);
    let mut letters: Vec<char> = text.chars().collect();
    letters.sort_unstable();
    (text, letters.into_iter().collect())
}
