//! How far a policy has moved from its reference.

use serde::{Deserialize, Serialize};

/// `ln π − ln π_ref` of a token that π drew: its mean is KL(π‖π_ref), and it may be negative.
pub fn k1(policy: f64, reference: f64) -> f64 {
    policy - reference
}

/// `π_ref/π − 1 − ln(π_ref/π)`: the same mean, never negative, less spread (Schulman 2020, <http://joschu.net/blog/kl-approx.html>).
pub fn k3(policy: f64, reference: f64) -> f64 {
    let log_ratio = reference - policy;
    log_ratio.exp_m1() - log_ratio
}

/// The weight of the divergence, fixed or moved towards a target (Ziegler et al. 2019, <https://arxiv.org/abs/1909.08593>).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KlTarget {
    /// Nats a sequence.
    pub kl: f64,
    /// Over how many sequences a weight that is off by all of the target is corrected.
    pub horizon: f64,
}

impl KlTarget {
    /// Most that one correction counts.
    const MAX_ERROR: f64 = 0.2;

    /// The next weight after `n` sequences of mean divergence `kl`.
    pub fn next(&self, beta: f64, kl: f64, n: usize) -> f64 {
        let error = (kl / self.kl - 1.0).clamp(-Self::MAX_ERROR, Self::MAX_ERROR);
        beta * (1.0 + error * n as f64 / self.horizon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// π = 0.5, π_ref = 0.25: k1 = ln 2, k3 = 0.5 − 1 + ln 2.
    #[test]
    fn estimators_by_hand() {
        let (policy, reference) = (0.5f64.ln(), 0.25f64.ln());
        assert!((k1(policy, reference) - 2f64.ln()).abs() < 1e-15);
        assert!((k3(policy, reference) - (2f64.ln() - 0.5)).abs() < 1e-15);
        assert_eq!((k1(policy, policy), k3(policy, policy)), (0.0, 0.0));
    }

    #[test]
    fn both_estimate_the_divergence() {
        let (policy, reference) = ([0.7f64, 0.2, 0.1], [0.2f64, 0.5, 0.3]);
        let mean = |k: fn(f64, f64) -> f64| -> f64 {
            policy.iter().zip(&reference).map(|(p, q)| p * k(p.ln(), q.ln())).sum()
        };
        assert!((mean(k1) - mean(k3)).abs() < 1e-12 && mean(k1) > 0.0);
    }

    #[test]
    fn the_weight_follows_the_target() {
        let target = KlTarget { kl: 6.0, horizon: 1000.0 };
        assert!((target.next(0.1, 6.6, 100) - 0.1 * 1.01).abs() < 1e-15);
        assert!((target.next(0.1, 60.0, 100) - 0.1 * 1.02).abs() < 1e-15);
        assert!((target.next(0.1, 0.0, 100) - 0.1 * 0.98).abs() < 1e-15);
    }
}
