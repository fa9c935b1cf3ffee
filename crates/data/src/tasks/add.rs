//! `add: 37+48 => 85`

use base::Rng;

/// Two numbers of `n_digits` digits, without leading zeros, and their sum.
pub(super) fn draw(n_digits: usize, rng: &mut Rng) -> (String, String) {
    let end = 10u64.pow(n_digits as u32);
    let start = if n_digits == 1 { 0 } else { end / 10 };
    let [a, b] = [(); 2].map(|()| start + rng.below(end - start));
    (format!("{a}+{b}"), (a + b).to_string())
}
