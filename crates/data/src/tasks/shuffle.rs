//! `shuffle: kbz => zkb`, or any other order

use base::Rng;

/// `difficulty + 1` different letters, and one of their orders.
pub(super) fn draw(difficulty: usize, rng: &mut Rng) -> (String, String) {
    let letters = super::distinct_letters(difficulty + 1, rng);
    let mut answer = letters.clone();
    shuffled(&mut answer, rng);
    (letters.into_iter().collect(), answer.into_iter().collect())
}

/// Whether `given` is an order of the letters of `answer`, between the same space and line end.
pub(super) fn accepts(answer: &str, given: &str) -> bool {
    let sorted = |text: &str| {
        let mut letters: Vec<char> = text.strip_prefix(' ')?.strip_suffix('\n')?.chars().collect();
        letters.sort_unstable();
        Some(letters)
    };
    sorted(given).is_some_and(|letters| sorted(answer) == Some(letters))
}

/// Brings `items` into an order drawn evenly from all (Fisher and Yates).
pub(super) fn shuffled<T>(items: &mut [T], rng: &mut Rng) {
    for end in (1..items.len()).rev() {
        items.swap(end, rng.below(end as u64 + 1) as usize);
    }
}
