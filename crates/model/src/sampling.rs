//! From logits to the next token.

use base::Rng;
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
    /// Keeps the fewest most likely tokens whose probabilities sum to at least this.
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
    name: &'static str,
    expected: &'static str,
    found: f64,
    hint: &'static str,
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
        check("top_p", top, top > 0.0 && top <= 1.0, "above 0 and at most 1", "1 switches it off")?;
        check("min_p", min, (0.0..=1.0).contains(&min), "from 0 to 1", "0 switches it off")
    }
}

/// Draws tokens for one sequence. The draws depend on its seed alone, not on what else is decoded.
#[derive(Clone, Debug)]
pub struct Sampler {
    settings: Sampling,
    rng: Rng,
}

impl Sampler {
    /// A sampler with valid settings.
    ///
    /// # Errors
    /// If a setting is outside its range.
    pub fn new(settings: Sampling, seed: u64) -> Result<Self, SamplingError> {
        settings.validate()?;
        Ok(Self { settings, rng: Rng::named(seed, "sampling") })
    }

    /// The next token given `logits [V]` and the tokens `seen` so far. Ties go to the lower id.
    pub fn next(&mut self, logits: &[f32], seen: &[u32]) -> u32 {
        let penalty = self.settings.repetition_penalty;
        if self.settings.temperature == 0.0 && penalty == 1.0 {
            return most_likely(logits);
        }
        let mut logits: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
        if penalty != 1.0 {
            let mut seen = seen.to_vec();
            seen.sort_unstable();
            seen.dedup();
            for id in seen {
                let logit = &mut logits[id as usize];
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
        if self.settings.temperature == 0.0 {
            return most_likely(&logits);
        }
        let candidates = self.candidates(&logits);
        let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut left = self.rng.uniform() * total;
        for &(id, weight) in &candidates {
            left -= weight;
            if left < 0.0 {
                return id;
            }
        }
        candidates.last().map_or(0, |&(id, _)| id)
    }

    /// The tokens that may be drawn, most likely first, each with its probability up to a factor.
    fn candidates(&self, logits: &[f64]) -> Vec<(u32, f64)> {
        let Sampling { temperature, top_k, top_p, min_p, .. } = self.settings;
        let max = logits.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
        let weight = |logit: f64| ((logit - max) / temperature).exp();
        let mut candidates: Vec<(u32, f64)> =
            logits.iter().enumerate().map(|(id, &logit)| (id as u32, weight(logit))).collect();
        if top_k == 0 && top_p == 1.0 && min_p == 0.0 {
            return candidates;
        }
        candidates.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if top_k > 0 {
            candidates.truncate(top_k);
        }
        if top_p < 1.0 {
            let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
            let mut sum = 0.0;
            let kept = candidates.iter().position(|(_, weight)| {
                sum += weight;
                sum >= top_p * total
            });
            candidates.truncate(kept.map_or(candidates.len(), |last| last + 1));
        }
        // The most likely has weight 1.
        candidates.retain(|&(_, weight)| weight >= min_p);
        candidates
    }
}

/// The first of the largest.
fn most_likely<T: PartialOrd + Copy>(logits: &[T]) -> u32 {
    let mut best = 0;
    for (id, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = id;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probabilities 0.5, 0.25, 0.15, 0.1 for the ids 2, 0, 3, 1.
    fn logits() -> Vec<f32> {
        [0.25f32, 0.1, 0.5, 0.15].iter().map(|p| p.ln()).collect()
    }

    fn shares(settings: Sampling) -> [f64; 4] {
        let mut sampler = Sampler::new(settings, 9).unwrap();
        let mut counts = [0.0; 4];
        for _ in 0..20_000 {
            counts[sampler.next(&logits(), &[]) as usize] += 1.0 / 20_000.0;
        }
        counts
    }

    #[track_caller]
    fn check(settings: Sampling, want: [f64; 4]) {
        let got = shares(settings);
        // Standard errors are at most 0.0036.
        assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 0.015), "{got:?}, want {want:?}");
    }

    #[test]
    fn draws_follow_the_settings() {
        check(Sampling::default(), [0.25, 0.1, 0.5, 0.15]);
        check(Sampling::greedy(), [0.0, 0.0, 1.0, 0.0]);
        check(Sampling { top_k: 2, ..Sampling::default() }, [1.0 / 3.0, 0.0, 2.0 / 3.0, 0.0]);
        check(Sampling { top_p: 0.6, ..Sampling::default() }, [1.0 / 3.0, 0.0, 2.0 / 3.0, 0.0]);
        check(Sampling { min_p: 0.25, ..Sampling::default() }, [0.25 / 0.9, 0.0, 0.5 / 0.9, 0.15 / 0.9]);
        let squares = 0.25f64.powi(2) + 0.01 + 0.25 + 0.15f64.powi(2);
        let want = [0.0625, 0.01, 0.25, 0.0225].map(|x| x / squares);
        check(Sampling { temperature: 0.5, ..Sampling::default() }, want);
    }

    #[test]
    fn repetition_is_penalised() {
        let settings = Sampling { repetition_penalty: 4.0, ..Sampling::greedy() };
        let mut sampler = Sampler::new(settings, 0).unwrap();
        assert_eq!(sampler.next(&[1.0, 3.0, 2.9], &[]), 1);
        assert_eq!(sampler.next(&[1.0, 3.0, 2.9], &[1]), 2);
        assert_eq!(sampler.next(&[-3.0, -1.0, -2.0], &[1, 1]), 2); // −1·4 falls behind −2
    }

    #[test]
    fn settings_outside_their_range_are_refused_by_name() {
        let message = |settings: Sampling| settings.validate().unwrap_err().to_string();
        let wrong = message(Sampling { temperature: -1.0, ..Sampling::default() });
        assert_eq!(wrong, "`temperature` must be 0 or more, found -1\nhint: 0 takes the most likely token");
        assert!(message(Sampling { top_p: 0.0, ..Sampling::default() }).contains("`top_p`"));
        assert!(message(Sampling { min_p: f64::NAN, ..Sampling::default() }).contains("`min_p`"));
        assert!(message(Sampling { repetition_penalty: 0.0, ..Sampling::default() }).contains("`repetition"));
    }
}
