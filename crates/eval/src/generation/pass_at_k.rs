//! The chance that one of k samples is right.

/// Unbiased estimate of the chance that at least one of `k` samples is right, from `n` samples of which `n_right` were:
/// `1 − C(n − n_right, k) / C(n, k)`. Paper: <https://arxiv.org/abs/2107.03374>, section 2.1.
///
/// ```
/// assert!((eval::pass_at_k(10, 3, 1) - 0.3).abs() < 1e-12);
/// assert_eq!(eval::pass_at_k(4, 1, 4), 1.0);
/// ```
///
/// # Panics
/// If there are more right samples, or more to choose, than samples.
#[track_caller]
pub fn pass_at_k(n: usize, n_right: usize, k: usize) -> f64 {
    assert!(n_right <= n && k <= n, "{n_right} right ones and {k} chosen of {n} samples");
    let n_wrong = n - n_right;
    if n_wrong < k {
        return 1.0;
    }
    // C(n − c, k) / C(n, k) = Π (n_wrong − i) / (n − i), of which every factor is below 1.
    1.0 - (0..k).map(|i| (n_wrong - i) as f64 / (n - i) as f64).product::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against quotients of whole numbers, for every n up to 60 (of which the binomials fit into 128 bits).
    #[test]
    fn it_is_the_quotient_of_binomials() {
        let binomial = |n: u128, k: u128| (0..k).fold(1_u128, |c, i| c * (n - i) / (i + 1));
        for n in 1..=60_usize {
            for n_right in 0..=n {
                for k in 1..=n {
                    let (all, wrong) = (n as u128, (n - n_right) as u128);
                    let total = binomial(all, k as u128);
                    let failed = if k as u128 > wrong { 0 } else { binomial(wrong, k as u128) };
                    let expected = (total - failed) as f64 / total as f64;
                    let got = pass_at_k(n, n_right, k);
                    assert!((got - expected).abs() <= 1e-12, "{n} {n_right} {k}: {got} {expected}");
                }
            }
        }
    }
}
