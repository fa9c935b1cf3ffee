//! Average normalised Levenshtein similarity, the score of DocVQA (Biten et al. 2019).

use super::{edit_distance, ocr::spaced};

/// Below this an answer counts as wrong altogether.
pub const ANLS_THRESHOLD: f64 = 0.5;

/// The similarity of an answer with the nearest of the right ones, from 0 to 1; the mean over questions is the score.
///
/// Case and amounts of white space do not count. The distance is divided by the longer length *before* white space is
/// normalised, as the evaluation of the RRC challenge and lmms-eval do; implementations that divide by the normalised length
/// differ on answers with surrounding white space.
///
/// ```
/// assert_eq!(eval::vision::anls("Nov 12", &["Nov 13", "November 13"]), 1.0 - 1.0 / 6.0);
/// assert_eq!(eval::vision::anls("no idea", &["Nov 13"]), 0.0);
/// ```
///
/// # Panics
/// Without any right answer.
pub fn anls(prediction: &str, answers: &[&str]) -> f64 {
    assert!(!answers.is_empty(), "anls: no right answer to compare with");
    let upper_len = |text: &str| text.to_uppercase().chars().count();
    let distance = |answer: &str| {
        let n_errors = edit_distance(&spaced(&answer.to_lowercase()), &spaced(&prediction.to_lowercase()));
        match upper_len(answer).max(upper_len(prediction)) {
            0 => 0.0,
            len => n_errors as f64 / len as f64,
        }
    };
    let similarity = 1.0 - answers.iter().map(|answer| distance(answer)).fold(f64::INFINITY, f64::min);
    if similarity < ANLS_THRESHOLD { 0.0 } else { similarity }
}
