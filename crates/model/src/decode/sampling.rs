//! How the next token is chosen.

use serde::{Deserialize, Serialize};

/// How the next token is chosen. Settings apply in the order of the fields, as in Hugging Face's `generate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// Divides positive and multiplies negative logits of tokens that were already seen; 1 leaves them.
    /// Paper: <https://arxiv.org/abs/1909.05858>.
    pub repetition_penalty: f64,
    /// Divides all logits; 0 takes the most likely token.
    pub temperature: f64,
    /// Keeps the k most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the fewest most likely tokens whose probabilities sum to at least this; the most likely always stays.
    /// Paper: <https://arxiv.org/abs/1904.09751>.
    pub top_p: f64,
    /// Keeps tokens at least this times as likely as the most likely. Paper: <https://arxiv.org/abs/2407.01082>.
    pub min_p: f64,
}

impl Default for Sampling {
    /// The model's own distribution.
    fn default() -> Self {
        Self { repetition_penalty: 1.0, temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0 }
    }
}

/// A setting outside its range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{name}` must be {expected}, found {found}\nhint: {hint}")]
pub struct SamplingError {
    /// Which.
    pub name: &'static str,
    /// Its range.
    pub expected: &'static str,
    /// Its value.
    pub found: f64,
    /// What to do.
    pub hint: &'static str,
}

impl Sampling {
    /// Takes the most likely token each time.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// Names the first setting that is outside its own.
    pub fn validate(&self) -> Result<(), SamplingError> {
        let check = |name, value: f64, is_valid: bool, expected, hint| {
            if is_valid { Ok(()) } else { Err(SamplingError { name, expected, found: value, hint }) }
        };
        let p = self.repetition_penalty;
        check("repetition_penalty", p, p > 0.0 && p.is_finite(), "positive", "1 switches it off")?;
        let t = self.temperature;
        check("temperature", t, t >= 0.0 && t.is_finite(), "0 or more", "0 takes the most likely token")?;
        let (top, min) = (self.top_p, self.min_p);
        check("top_p", top, (0.0..=1.0).contains(&top), "from 0 to 1", "1 switches it off")?;
        check("min_p", min, (0.0..=1.0).contains(&min), "from 0 to 1", "0 switches it off")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_outside_their_range_are_refused_by_name() {
        let message = |settings: Sampling| settings.validate().unwrap_err().to_string();
        let wrong = message(Sampling { temperature: -1.0, ..Sampling::default() });
        assert_eq!(wrong, "`temperature` must be 0 or more, found -1\nhint: 0 takes the most likely token");
        assert!(message(Sampling { top_p: -0.1, ..Sampling::default() }).contains("`top_p`"));
        Sampling { top_p: 0.0, ..Sampling::default() }.validate().unwrap();
        assert!(message(Sampling { min_p: f64::NAN, ..Sampling::default() }).contains("`min_p`"));
        assert!(message(Sampling { repetition_penalty: 0.0, ..Sampling::default() }).contains("`repetition"));
    }
}
