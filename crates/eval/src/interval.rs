//! Means and shares with their 95 % intervals.

/// A mean with its noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The mean.
    pub value: f64,
    /// `s/√n` with the sample's standard deviation; none of one value.
    pub stderr: Option<f64>,
    /// Lower end of Student's 95 % interval.
    pub lo95: Option<f64>,
    /// Upper end.
    pub hi95: Option<f64>,
}

/// The mean of values, which may be any numbers.
pub fn mean(values: &[f64]) -> Mean {
    let n = values.len() as f64;
    let value = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|x| (x - value).powi(2)).sum();
    let stderr = (values.len() > 1).then(|| (squares / (n * (n - 1.0))).sqrt());
    with_margin(value, stderr, values.len().saturating_sub(1))
}

/// The mean of differences between shares, pair by pair: each is −1, 0 or 1. Where all are the same, which has no spread, the
/// interval is that of none of so many in the other direction: few pairs that do not differ prove little.
pub fn paired_shares(differences: &[f64]) -> Mean {
    let found = mean(differences);
    match (found.stderr, wilson(0, differences.len())) {
        (Some(0.0), Some([_, margin])) => Mean {
            lo95: Some((found.value - margin).max(-1.0)),
            hi95: Some((found.value + margin).min(1.0)),
            ..found
        },
        _ => found,
    }
}

/// The mean of values of which those of one cluster are alike, such as questions about one passage: the standard error is
/// that of sums by cluster, `√(G/(G−1) · Σ_g (Σ_i (x − mean))²) / n` for G clusters.
///
/// # Panics
/// If there are not as many clusters as values.
#[track_caller]
pub fn clustered_mean(values: &[f64], clusters: &[&str]) -> Mean {
    assert!(values.len() == clusters.len(), "{} values, {} clusters", values.len(), clusters.len());
    let n = values.len() as f64;
    let value = values.iter().sum::<f64>() / n;
    let mut sums = std::collections::BTreeMap::<&str, f64>::new();
    for (x, cluster) in values.iter().zip(clusters) {
        *sums.entry(cluster).or_default() += x - value;
    }
    let g = sums.len() as f64;
    let squares: f64 = sums.values().map(|sum| sum * sum).sum();
    let stderr = (sums.len() > 1).then(|| (g / (g - 1.0) * squares).sqrt() / n);
    with_margin(value, stderr, sums.len().saturating_sub(1))
}

fn with_margin(value: f64, stderr: Option<f64>, n_free: usize) -> Mean {
    let margin = stderr.map(|stderr| t95(n_free) * stderr);
    Mean { value, stderr, lo95: margin.map(|m| value - m), hi95: margin.map(|m| value + m) }
}

/// Wilson's 95 % interval of a share; none of nothing. It keeps its coverage near 0 and 1, and lies within them.
pub fn wilson(n_right: usize, n: usize) -> Option<[f64; 2]> {
    let (z, n, k) = (Z95, n as f64, n_right as f64);
    let (share, z2) = (k / n, z * z);
    let middle = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let margin = z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    // Rounding must not leave the share itself outside.
    (n > 0.0).then(|| [(middle - margin).max(0.0).min(share), (middle + margin).min(1.0).max(share)])
}

/// The 97.5 % point of the normal distribution.
pub(crate) const Z95: f64 = 1.959_963_984_540_054;

/// The 97.5 % point of Student's distribution; infinite without a degree of freedom.
pub(crate) fn t95(n_free: usize) -> f64 {
    #[rustfmt::skip]
    const SMALL: [f64; 9] = [
        12.706_205, 4.302_653, 3.182_446, 2.776_445, 2.570_582, 2.446_912, 2.364_624, 2.306_004, 2.262_157,
    ];
    match n_free {
        0 => f64::INFINITY,
        1..=9 => SMALL[n_free - 1],
        _ => {
            // Cornish and Fisher's series; from 10 degrees on it is right to 0.0005.
            let (z, v) = (Z95, n_free as f64);
            let g1 = (z.powi(3) + z) / 4.0;
            let g2 = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
            let g3 = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
            z + g1 / v + g2 / (v * v) + g3 / (v * v * v)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_of_students_distribution() {
        for (n_free, expected) in [(1, 12.7062), (4, 2.7764), (5, 2.5706), (10, 2.2281), (100, 1.98397)] {
            assert!((t95(n_free) - expected).abs() < 5e-4, "{n_free} {}", t95(n_free));
        }
    }

    #[test]
    fn pairs_that_do_not_differ_prove_little() {
        let few = paired_shares(&[0.0; 5]);
        let many = paired_shares(&[0.0; 2000]);
        assert!(few.hi95 > Some(0.3) && few.lo95 < Some(-0.3) && many.hi95 < Some(0.002), "{few:?} {many:?}");
        let all = paired_shares(&[1.0; 5]);
        assert!(all.lo95 < Some(0.7) && all.hi95 == Some(1.0), "{all:?}");
        assert_eq!(paired_shares(&[0.0]).hi95, None);
        let some = [1.0, 0.0, -1.0, 1.0];
        assert_eq!(paired_shares(&some), mean(&some));
    }

    #[test]
    fn clusters_of_one_are_no_clusters_and_copies_add_nothing() {
        let values = [0.0, 1.0, 1.0, 0.5, 0.25];
        let plain = mean(&values);
        let clustered = clustered_mean(&values, &["a", "b", "c", "d", "e"]);
        assert!((plain.stderr.unwrap() - clustered.stderr.unwrap()).abs() < 1e-12);
        let twice: Vec<f64> = values.iter().flat_map(|x| [*x; 2]).collect();
        let copied = clustered_mean(&twice, &["a", "a", "b", "b", "c", "c", "d", "d", "e", "e"]);
        assert!((plain.stderr.unwrap() - copied.stderr.unwrap()).abs() < 1e-12);
        assert_eq!(copied.lo95, clustered.lo95);
        assert_eq!(mean(&[1.0]).stderr, None);
    }

    /// In 2,000 simulations each, 95 % intervals hold what they were drawn from in 93 to 97 %.
    #[test]
    fn intervals_hold_what_they_promise() {
        let mut rng = base::Rng::new(7, 0);
        for (share, n) in [(0.5, 50), (0.25, 200), (0.9, 100)] {
            let n_held = (0..2000).filter(|_| {
                let n_right = (0..n).filter(|_| rng.uniform() < share).count();
                let [lo, hi] = wilson(n_right, n).unwrap();
                lo <= share && share <= hi
            });
            let coverage = n_held.count() as f64 / 2000.0;
            assert!((0.93..=0.97).contains(&coverage), "{share} {n}: {coverage}");
        }
        let names: Vec<String> = (0..40).map(|i| i.to_string()).collect();
        let (mut n_held, mut n_naive) = (0, 0);
        for _ in 0..2000 {
            let mut values = Vec::new();
            let mut clusters = Vec::new();
            for name in &names {
                let own = rng.normal();
                for _ in 0..5 {
                    values.push(own + rng.normal());
                    clusters.push(name.as_str());
                }
            }
            let holds = |mean: Mean| mean.lo95.unwrap() <= 0.0 && 0.0 <= mean.hi95.unwrap();
            n_held += usize::from(holds(clustered_mean(&values, &clusters)));
            n_naive += usize::from(holds(mean(&values)));
        }
        let coverage = f64::from(n_held as u32) / 2000.0;
        assert!((0.93..=0.97).contains(&coverage), "{coverage}");
        assert!(n_naive < 1700, "{n_naive}");
    }
}
