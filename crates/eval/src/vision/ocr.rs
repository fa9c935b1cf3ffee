//! Text that was read from a picture.

use std::ops::AddAssign;

use super::edit_distance;

/// Whether the text was read exactly: upper and lower case count, the amount of white space does not.
pub fn exact_match(prediction: &str, truth: &str) -> bool {
    prediction.split_whitespace().eq(truth.split_whitespace())
}

/// Errors and characters of many texts, so that long texts count by their length.
///
/// ```
/// let mut errors = eval::vision::CharacterErrors::default();
/// errors.add("boat", "goat");
/// errors.add("", "an");
/// assert_eq!(errors.rate(), Some(0.5)); // 1 + 2 of 4 + 2
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CharacterErrors {
    /// Edit distances, added up.
    pub n_errors: usize,
    /// Characters of the right texts.
    pub n_characters: usize,
}

impl CharacterErrors {
    /// Takes in one text, with white space at the ends left out and other white space as single spaces.
    pub fn add(&mut self, prediction: &str, truth: &str) {
        let [prediction, truth] = [prediction, truth].map(spaced);
        self.n_errors += edit_distance(&prediction, &truth);
        self.n_characters += truth.chars().count();
    }

    /// Errors per character; above 1 where more was read than there is. None before the first character.
    pub fn rate(&self) -> Option<f64> {
        (self.n_characters > 0).then(|| self.n_errors as f64 / self.n_characters as f64)
    }
}

impl AddAssign for CharacterErrors {
    fn add_assign(&mut self, other: Self) {
        self.n_errors += other.n_errors;
        self.n_characters += other.n_characters;
    }
}

pub(super) fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
