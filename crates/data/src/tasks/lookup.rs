//! `lookup: a3 k7 c1, k => 7`

use base::Rng;

use super::DIGITS;

/// `n_pairs` pairs of a letter and a digit, then one of the letters, and its digit. No letter comes twice.
pub(super) fn draw(n_pairs: usize, rng: &mut Rng) -> (String, String) {
    let keys = super::distinct_letters(n_pairs, rng);
    let values: Vec<char> = keys.iter().map(|_| super::pick(DIGITS, rng)).collect();
    let pairs: Vec<String> = keys.iter().zip(&values).map(|(key, value)| format!("{key}{value}")).collect();
    let asked = rng.below(n_pairs as u64) as usize;
    (format!("{}, {}", pairs.join(" "), keys[asked]), values[asked].to_string())
}
