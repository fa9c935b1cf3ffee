//! How far two maps put the same patches first.

/// Spearman's rank correlation: Pearson's, of the ranks, equal values sharing the mean of theirs. None where one of the two is
/// the same everywhere.
///
/// ```
/// assert_eq!(eval::attribution::rank_correlation(&[1.0, 5.0, 9.0], &[-2.0, 0.0, 70.0]), Some(1.0));
/// assert_eq!(eval::attribution::rank_correlation(&[1.0, 5.0], &[3.0, 3.0]), None);
/// ```
///
/// # Panics
/// If there are not as many of one as of the other.
#[track_caller]
pub fn rank_correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    assert!(a.len() == b.len(), "{} and {} values", a.len(), b.len());
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 + 1.0) / 2.0;
    let product =
        |x: &[f64], y: &[f64]| -> f64 { x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum() };
    let scale = (product(&a, &a) * product(&b, &b)).sqrt();
    (scale > 0.0).then(|| (product(&a, &b) / scale).clamp(-1.0, 1.0))
}

/// The rank of each value, from 1 on.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|i, j| values[*i].total_cmp(&values[*j]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    while first < order.len() {
        let n = order[first..].iter().take_while(|i| values[**i] == values[order[first]]).count().max(1);
        // The mean of first + 1 to first + n.
        let rank = first as f64 + (n as f64 + 1.0) / 2.0;
        order[first..first + n].iter().for_each(|i| ranks[*i] = rank);
        first += n;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second pair as `scipy.stats.spearmanr` gives it.
    #[test]
    fn ranks_alone_count_and_ties_share_theirs() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
        let (a, b) = ([1.0, 2.0, 2.0, 4.0, 5.0], [2.0, 1.0, 4.0, 4.0, 9.0]);
        let got = rank_correlation(&a, &b).unwrap();
        assert!((got - 0.763_157_894_736_842).abs() < 1e-12, "{got}");
        assert_eq!(rank_correlation(&[1.0, 2.0, 3.0], &[9.0, 4.0, 1.0]), Some(-1.0));
        assert_eq!(rank_correlation(&[], &[]), None);
        assert_eq!(rank_correlation(&[f64::NAN, 1.0], &[2.0, 1.0]), Some(1.0), "ends in any case");
    }
}
