//! Relaxed accuracy, the score of ChartQA (Masry et al. 2022).

use super::python_float::python_float;

/// How far a number may be from the right one, as a share of that.
pub const RELATIVE_TOLERANCE: f64 = 0.05;

/// Whether an answer is right: a number within 5 % of the right one, or the same text but for its case.
///
/// As pix2struct, Qwen-VL and lmms-eval compute it: `5%` is 0.05, so that "5" is wrong where "5%" is right; a target of 0
/// must be met as text; thousands separators make no number. Scorers that strip `%` and `,` first give more points. The
/// tolerance is relative to the target: with the arguments exchanged, answers near its edge change sides.
///
/// ```
/// use eval::vision::relaxed_match;
/// assert!(relaxed_match("104", "100") && !relaxed_match("106", "100"));
/// assert!(relaxed_match("Red", "red") && !relaxed_match("red.", "red"));
/// ```
pub fn relaxed_match(prediction: &str, target: &str) -> bool {
    match (number(prediction), number(target)) {
        (Some(prediction), Some(target)) if target != 0.0 => {
            (prediction - target).abs() / target.abs() <= RELATIVE_TOLERANCE
        }
        _ => prediction.to_lowercase() == target.to_lowercase(),
    }
}

fn number(text: &str) -> Option<f64> {
    match text.ends_with('%') {
        true => python_float(text.trim_end_matches('%')).map(|percent| percent / 100.0),
        false => python_float(text),
    }
}
