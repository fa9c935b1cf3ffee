//! A shuffle of any length that takes no memory.

use base::{Rng, mix};

/// Rounds of the network: four suffice for a pseudorandom permutation (Luby and Rackoff 1988), if the round
/// function is one; ours is a cheap mixer, and domains may be small.
const ROUNDS: usize = 8;

/// A keyed permutation of `0..n`: a Feistel network over the next even power of two, walked until it lands below n,
/// which takes less than four steps on average.
#[derive(Clone, Debug)]
pub(crate) struct Permutation {
    n: u64,
    half_bits: u32,
    keys: [u64; ROUNDS],
}

impl Permutation {
    /// The permutation of `0..n` that the next numbers of `rng` choose.
    pub(crate) fn new(n: u64, rng: &mut Rng) -> Self {
        let bits = u64::BITS - n.saturating_sub(1).leading_zeros();
        let keys = std::array::from_fn(|_| rng.next_u64());
        Self { n, half_bits: bits.div_ceil(2).max(1), keys }
    }

    /// Where `i` goes.
    ///
    /// # Panics
    /// If `i` is not below n.
    #[track_caller]
    pub(crate) fn at(&self, i: u64) -> u64 {
        assert!(i < self.n, "permutation of {} asked for {i}", self.n);
        let mut at = self.round_trip(i);
        while at >= self.n {
            at = self.round_trip(at);
        }
        at
    }

    fn round_trip(&self, i: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (i >> self.half_bits, i & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (mix(right ^ key) & mask));
        }
        left << self.half_bits | right
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert, proptest};

    use super::*;

    proptest! {
        #[test]
        fn every_number_comes_once(n in 1u64..2_000, seed: u64) {
            let permutation = Permutation::new(n, &mut Rng::new(seed, 0));
            let mut images: Vec<u64> = (0..n).map(|i| permutation.at(i)).collect();
            images.sort_unstable();
            prop_assert!(images.into_iter().eq(0..n));
        }
    }

    #[test]
    fn large_domains_stay_inside() {
        for n in [u64::from(u32::MAX) + 5, 1 << 40, (1 << 62) + 1, u64::MAX] {
            let permutation = Permutation::new(n, &mut Rng::new(1, 0));
            assert!([0, 1, n / 2, n - 1].into_iter().all(|i| permutation.at(i) < n));
        }
    }

    /// Each of the 24 orders of four things comes about equally often.
    #[test]
    fn orders_are_even() {
        let mut counts = std::collections::HashMap::new();
        for seed in 0..24_000 {
            let permutation = Permutation::new(4, &mut Rng::new(seed, 0));
            *counts.entry([0, 1, 2, 3].map(|i| permutation.at(i))).or_insert(0i32) += 1;
        }
        assert_eq!(counts.len(), 24);
        // sd is 31; these are five of them.
        assert!(counts.values().all(|count| (count - 1000).abs() < 155), "{counts:?}");
    }
}
