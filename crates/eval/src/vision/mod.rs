//! How answers about pictures are scored: pure functions of texts.
//!
//! Each equals what lmms-eval 0.7.3 gives on the same outputs. Where public scorers disagree, the file says which and why.

mod anls;
mod chartqa;
mod edit_distance;
mod metric;
mod ocr;
mod python_float;
#[cfg(test)]
mod tests;
mod vqa;

pub use anls::{ANLS_THRESHOLD, anls};
pub use chartqa::{RELATIVE_TOLERANCE, relaxed_match};
pub use edit_distance::edit_distance;
pub use metric::PictureMetric;
pub use ocr::{CharacterErrors, exact_match};
pub use vqa::{VqaRules, vqa_accuracy};
