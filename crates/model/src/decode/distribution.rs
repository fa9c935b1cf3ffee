//! What the next token is drawn from.

use super::{Sampling, TokenSet};

/// The processed distribution: the tokens that may be drawn, and how likely each is.
///
/// A learner that has the same logits gets the same one, to the bit.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// Token and log-probability up to a constant, by id: the order in which a draw goes through them, so that a setting
    /// that cuts nothing off changes no draw.
    kept: Vec<(u32, f64)>,
    /// Logarithm of the sum of their exponentials.
    log_total: f64,
}

impl Sampling {
    /// The distribution that the token behind `seen` is drawn from, given its `logits [V]` and what is added to those of
    /// some tokens. Ties go to the lower id. Order and repetitions in `seen` are of no account.
    pub fn distribution(&self, logits: &[f32], seen: &[u32], bias: &[(u32, f64)]) -> Distribution {
        if self.temperature == 0.0 && self.repetition_penalty == 1.0 && bias.is_empty() {
            return Distribution::certain(most_likely(logits));
        }
        self.distribution_of(&self.penalised(logits, seen, bias))
    }

    /// As [`Sampling::distribution`], of the tokens in `allowed` alone and without `never`, as if the logits of all others were
    /// −∞, whatever their bias.
    pub fn distribution_within(
        &self,
        logits: &[f32],
        seen: &[u32],
        bias: &[(u32, f64)],
        allowed: Option<&TokenSet>,
        never: Option<u32>,
    ) -> Distribution {
        if allowed.is_none() && never.is_none() {
            return self.distribution(logits, seen, bias);
        }
        let mut logits = self.penalised(logits, seen, bias);
        for (id, logit) in (0..).zip(&mut logits) {
            if Some(id) == never || allowed.is_some_and(|allowed| !allowed.contains(id)) {
                *logit = f64::NEG_INFINITY;
            }
        }
        self.distribution_of(&logits)
    }

    fn distribution_of(&self, logits: &[f64]) -> Distribution {
        if self.temperature == 0.0 {
            return Distribution::certain(most_likely(logits));
        }
        let max = logits.iter().fold(f64::NEG_INFINITY, |a, &b| if b > a { b } else { a });
        let possible = (0..).zip(logits).filter(|(_, logit)| **logit > f64::NEG_INFINITY);
        Distribution::of(
            self.cut(possible.map(|(id, logit)| (id, (logit - max) / self.temperature)).collect()),
        )
    }

    /// As [`Sampling::distribution`], over tokens `kept`, by id, that were drawn from before: under other logits, which
    /// would cut otherwise, the distribution that a policy is compared in.
    ///
    /// # Panics
    /// If none is kept, or one is not below V.
    #[track_caller]
    pub fn distribution_over(
        &self,
        kept: &[u32],
        logits: &[f32],
        seen: &[u32],
        bias: &[(u32, f64)],
    ) -> Distribution {
        assert!(!kept.is_empty(), "a distribution over no token");
        if self.temperature == 0.0 {
            return Distribution::certain(kept[0]);
        }
        let logits = self.penalised(logits, seen, bias);
        let of = |id: u32| logits[id as usize];
        let max = kept.iter().map(|&id| of(id)).fold(f64::NEG_INFINITY, |a, b| if b > a { b } else { a });
        Distribution::of(kept.iter().map(|&id| (id, (of(id) - max) / self.temperature)).collect())
    }

    /// The logits with their biases, those of tokens that were seen made less likely.
    fn penalised(&self, logits: &[f32], seen: &[u32], bias: &[(u32, f64)]) -> Vec<f64> {
        let mut biased: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
        for &(id, bias) in bias {
            biased[id as usize] += bias;
        }
        let penalty = self.repetition_penalty;
        if penalty == 1.0 {
            return biased;
        }
        let mut penalised = biased.clone();
        for &id in seen {
            let logit = biased[id as usize];
            penalised[id as usize] = if logit > 0.0 { logit / penalty } else { logit * penalty };
        }
        penalised
    }

    /// The tokens that `top_k`, `top_p` and `min_p` leave, by id.
    fn cut(&self, mut tokens: Vec<(u32, f64)>) -> Vec<(u32, f64)> {
        if self.top_k == 0 && self.top_p == 1.0 && self.min_p == 0.0 {
            return tokens;
        }
        let n = self.sort_kept(&mut tokens);
        tokens.truncate(n);
        tokens.sort_unstable_by_key(|(id, _)| *id);
        tokens
    }

    /// Puts the tokens that are kept first; how many these are.
    fn sort_kept(&self, tokens: &mut Vec<(u32, f64)>) -> usize {
        let &Self { top_k, top_p, min_p, .. } = self;
        let likelier = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if top_k > 0 && top_k < tokens.len() {
            tokens.select_nth_unstable_by(top_k - 1, likelier);
            tokens.truncate(top_k);
        }
        if top_p == 1.0 && min_p == 0.0 {
            return tokens.len();
        }
        // A sum by id, so that it does not depend on how far the rest was sorted.
        let mass = top_p * if top_p < 1.0 { sum_by_id(tokens) } else { f64::INFINITY };
        // What is left is mostly a small part of the vocabulary: sorted in growing pieces.
        let (mut n_sorted, mut sum) = (0, 0.0);
        while n_sorted < tokens.len() {
            let rest = &mut tokens[n_sorted..];
            let n = (8 * n_sorted).max(64).min(rest.len());
            if n < rest.len() {
                rest.select_nth_unstable_by(n - 1, likelier);
            }
            rest[..n].sort_unstable_by(likelier);
            for (i, &(_, scaled)) in rest[..n].iter().enumerate() {
                let weight = scaled.exp();
                // The most likely has weight 1 and stays.
                if weight < min_p {
                    return n_sorted + i;
                }
                sum += weight;
                if sum >= mass {
                    return n_sorted + i + 1;
                }
            }
            n_sorted += n;
        }
        n_sorted
    }
}

impl Distribution {
    /// One token alone.
    fn certain(id: u32) -> Self {
        Self { kept: vec![(id, 0.0)], log_total: 0.0 }
    }

    fn of(kept: Vec<(u32, f64)>) -> Self {
        let log_total = sum(&kept).ln();
        Self { kept, log_total }
    }

    /// `ln p(id)` in nats; −∞ of what cannot be drawn.
    pub fn logprob(&self, id: u32) -> f32 {
        let scaled = self.kept.iter().find(|(kept, _)| *kept == id);
        scaled.map_or(f32::NEG_INFINITY, |(_, scaled)| (scaled - self.log_total) as f32)
    }

    /// The tokens that may be drawn, with their probabilities.
    pub fn probabilities(&self) -> impl Iterator<Item = (u32, f64)> {
        self.kept.iter().map(|(id, scaled)| (*id, (scaled - self.log_total).exp()))
    }

    /// The tokens that may be drawn, by id.
    pub fn kept(&self) -> Vec<u32> {
        self.kept.iter().map(|(id, _)| *id).collect()
    }

    /// The token that a number in `[0, 1)` chooses.
    pub fn draw(&self, uniform: f64) -> u32 {
        if let [(id, _)] = self.kept[..] {
            return id;
        }
        let mut left = uniform * sum(&self.kept);
        for &(id, scaled) in &self.kept {
            left -= scaled.exp();
            if left < 0.0 {
                return id;
            }
        }
        self.kept.last().map_or(0, |&(id, _)| id)
    }
}

fn sum(tokens: &[(u32, f64)]) -> f64 {
    tokens.iter().map(|(_, scaled)| scaled.exp()).sum()
}

/// The sum of exponentials in the order of ids, which it is the same in whatever order the tokens come.
fn sum_by_id(tokens: &mut [(u32, f64)]) -> f64 {
    if !tokens.is_sorted_by_key(|(id, _)| *id) {
        tokens.sort_unstable_by_key(|(id, _)| *id);
    }
    sum(tokens)
}

/// The first of the largest.
fn most_likely<T: PartialOrd + Copy>(logits: &[T]) -> u32 {
    let Some(&first) = logits.first() else { return 0 };
    // Lanes first: a search for one largest waits for each comparison.
    let mut lanes = [first; 16];
    let (chunks, rest) = logits.as_chunks::<16>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    let max = lanes.iter().chain(rest).fold(first, |max, &x| if x > max { x } else { max });
    logits.iter().position(|x| *x == max).unwrap_or(0) as u32
}

/// The `n` most likely of `logits`, most likely first, ties by id, with their log-probabilities given the logarithm of
/// the softmax's denominator.
pub(super) fn top(logits: &[f32], log_sum_exp: f64, n: usize) -> Vec<(u32, f32)> {
    let n = n.min(logits.len());
    if n == 0 {
        return Vec::new();
    }
    let likelier = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let mut tokens: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
    tokens.select_nth_unstable_by(n - 1, likelier);
    tokens.truncate(n);
    tokens.sort_unstable_by(likelier);
    tokens.into_iter().map(|(id, logit)| (id, logprob(logit, log_sum_exp))).collect()
}

/// `ln p` of a token in nats.
pub(super) fn logprob(logit: f32, log_sum_exp: f64) -> f32 {
    (f64::from(logit) - log_sum_exp) as f32
}

#[cfg(test)]
mod tests {
    use base::Rng;

    use super::*;

    /// Probabilities 0.5, 0.25, 0.15, 0.1 for the ids 2, 0, 3, 1.
    fn logits() -> Vec<f32> {
        [0.25f32, 0.1, 0.5, 0.15].iter().map(|p| p.ln()).collect()
    }

    #[track_caller]
    fn check(settings: Sampling, want: [f64; 4]) {
        let distribution = settings.distribution(&logits(), &[], &[]);
        let mut rng = Rng::named(9, "sampling");
        let mut counts = [0.0; 4];
        for _ in 0..20_000 {
            counts[distribution.draw(rng.uniform()) as usize] += 1.0 / 20_000.0;
        }
        // Standard errors are at most 0.0036.
        assert!(
            counts.iter().zip(want).all(|(got, want)| (got - want).abs() < 0.015),
            "{counts:?}, {want:?}"
        );
        for (id, want) in want.into_iter().enumerate() {
            let got = f64::from(distribution.logprob(id as u32)).exp();
            assert!((got - want).abs() < 1e-6, "p({id}) is {got}, want {want}");
            assert_eq!(distribution.kept().contains(&(id as u32)), want > 0.0);
        }
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
    fn settings_that_cut_nothing_change_no_draw() {
        let draws = |settings: Sampling| -> Vec<u32> {
            let distribution = settings.distribution(&logits(), &[], &[]);
            (0..100).map(|i| distribution.draw(f64::from(i) / 100.0)).collect()
        };
        let plain = draws(Sampling::default());
        assert_eq!(draws(Sampling { top_k: 4, ..Sampling::default() }), plain);
        assert_eq!(draws(Sampling { top_k: 100_000, ..Sampling::default() }), plain);
        assert_eq!(draws(Sampling { top_p: 1.0 - 1e-12, ..Sampling::default() }), plain);
        assert_eq!(draws(Sampling { min_p: 1e-9, ..Sampling::default() }), plain);
    }

    #[test]
    fn repetition_is_penalised() {
        let settings = Sampling { repetition_penalty: 4.0, ..Sampling::greedy() };
        let next = |logits: &[f32], seen: &[u32]| settings.distribution(logits, seen, &[]).draw(0.5);
        assert_eq!(next(&[1.0, 3.0, 2.9], &[]), 1);
        assert_eq!(next(&[1.0, 3.0, 2.9], &[1]), 2);
        assert_eq!(next(&[-3.0, -1.0, -2.0], &[1, 1]), 2); // −1·4 falls behind −2
    }

    #[test]
    fn what_is_not_allowed_is_never_drawn() {
        let settings = Sampling { top_k: 3, ..Sampling::default() };
        let allowed = [0u32, 1].into_iter().collect();
        let distribution = settings.distribution_within(&logits(), &[], &[], Some(&allowed), None);
        assert_eq!(distribution.kept(), [0, 1]);
        let p = |id| f64::from(distribution.logprob(id)).exp();
        assert!((p(0) - 0.25 / 0.35).abs() < 1e-6 && (p(1) - 0.1 / 0.35).abs() < 1e-6);
        assert_eq!((distribution.logprob(2), distribution.draw(0.999_999)), (f32::NEG_INFINITY, 1));
        let greedy =
            Sampling::greedy().distribution_within(&logits(), &[], &[(1, 5.0)], Some(&allowed), None);
        assert_eq!(greedy.draw(0.0), 1);
        // All of them are as none.
        let all = (0..4).collect();
        let within = settings.distribution_within(&logits(), &[], &[], Some(&all), None);
        assert_eq!(within, settings.distribution(&logits(), &[], &[]));
        // One that is never drawn, whatever its bias and whoever allows it.
        for sampling in [Sampling::greedy(), settings] {
            for allowed in [None, Some(&all)] {
                let bias = [(2, 100.0)];
                let never = sampling.distribution_within(&logits(), &[], &bias, allowed, Some(2));
                assert!(!never.kept().contains(&2) && never.draw(0.999_999) != 2);
                let total: f64 = never.probabilities().map(|(_, p)| p).sum();
                assert!((total - 1.0).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_bias_comes_before_the_penalty() {
        let settings = Sampling { repetition_penalty: 2.0, ..Sampling::greedy() };
        let next = |bias: &[(u32, f64)]| settings.distribution(&[1.0, 3.0, 2.0], &[1], bias).draw(0.5);
        assert_eq!(next(&[]), 2); // 3 / 2
        assert_eq!(next(&[(1, 2.0)]), 1); // (3 + 2) / 2
        assert_eq!(next(&[(0, 1.5), (0, 1.0)]), 0);
    }

    /// The pieces in which candidates are sorted change nothing: as a sort of all of them.
    #[test]
    fn cuts_are_those_of_a_whole_sort() {
        let mut rng = Rng::new(4, 0);
        let logits: Vec<f32> =
            (0..3000).map(|_| (4.0 * rng.normal()) as f32).map(|x| (x * 8.0).round() / 8.0).collect();
        for top_k in [0, 1, 70, 2999, 5000] {
            for top_p in [0.0, 1e-9, 0.3, 0.9, 0.9999, 1.0] {
                for min_p in [0.0, 1e-4, 0.2, 1.0] {
                    let settings = Sampling { top_k, top_p, min_p, temperature: 1.7, ..Sampling::default() };
                    let max = logits.iter().fold(f32::MIN, |a, &b| a.max(b));
                    let weight = |id: u32| (f64::from(logits[id as usize] - max) / 1.7).exp();
                    let mut want: Vec<u32> = (0..3000).collect();
                    want.sort_by(|a, b| weight(*b).total_cmp(&weight(*a)).then(a.cmp(b)));
                    want.truncate(if top_k == 0 { 3000 } else { top_k });
                    if top_p < 1.0 {
                        let total: f64 = want.iter().map(|id| weight(*id)).sum();
                        let mut sum = 0.0;
                        let last = want.iter().position(|id| {
                            sum += weight(*id);
                            sum >= top_p * total
                        });
                        want.truncate(last.map_or(want.len(), |last| last + 1));
                    }
                    want.retain(|id| weight(*id) >= min_p);
                    want.sort_unstable();
                    let got = settings.distribution(&logits, &[], &[]);
                    assert_eq!(got.kept(), want, "top_k {top_k}, top_p {top_p}, min_p {min_p}");
                    let over = settings.distribution_over(&want, &logits, &[], &[]);
                    assert!(want.iter().all(|id| got.logprob(*id).to_bits() == over.logprob(*id).to_bits()));
                }
            }
        }
    }

    #[test]
    fn the_most_likely_come_first() {
        let logits = [0.0, 2.0, 1.0, 2.0];
        let log_sum_exp = (1.0 + 2.0 * 2f64.exp() + 1f64.exp()).ln();
        let got = top(&logits, log_sum_exp, 3);
        assert_eq!(got.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 3, 2]);
        assert_eq!(got[0].1, (2.0 - log_sum_exp) as f32);
        assert!(top(&logits, log_sum_exp, 0).is_empty() && top(&logits, log_sum_exp, 9).len() == 4);
    }
}
