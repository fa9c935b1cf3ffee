//! Two checkpoints on the same items.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{ItemScore, interval};

/// How two checkpoints differ in one metric, item by item.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Items that both have.
    pub n: usize,
    /// The mean of the first.
    pub a: f64,
    /// The mean of the second.
    pub b: f64,
    /// `b − a`.
    pub difference: f64,
    /// Lower end of the 95 % interval of the difference, by item or by cluster.
    pub lo95: Option<f64>,
    /// Upper end.
    pub hi95: Option<f64>,
    /// Items in which the first is better.
    pub n_a_better: usize,
    /// Items in which the second is better.
    pub n_b_better: usize,
    /// Two-sided p-value: where items are right or wrong, of McNemar's test with its middle p-value; else of the paired t-test.
    pub p_value: Option<f64>,
    /// The smallest difference that a paired test at 5 % would see in 80 % of such samples, `(1.960 + 0.842)·stderr`. None
    /// where no item differs.
    pub detectable: Option<f64>,
}

/// Pairs the items of two evaluations by their number; those that only one has are left out. None where none is left.
///
/// `clusters` are the names of what belongs together, such as questions about one passage, in the order of `a`; each item
/// is its own where there are none.
pub fn compare(
    a: &[ItemScore],
    b: &[ItemScore],
    metric: &str,
    clusters: Option<&[&str]>,
) -> Option<Comparison> {
    let value = |item: &ItemScore| item.metrics.get(metric).copied();
    let of_b: BTreeMap<usize, f64> = b.iter().filter_map(|item| Some((item.doc_id, value(item)?))).collect();
    let pairs: Vec<(usize, f64, f64)> = a
        .iter()
        .enumerate()
        .filter_map(|(i, item)| Some((i, value(item)?, *of_b.get(&item.doc_id)?)))
        .collect();
    let clusters: Option<Vec<&str>> =
        clusters.map(|clusters| pairs.iter().map(|(i, ..)| clusters[*i]).collect());
    let values: Vec<(f64, f64)> = pairs.into_iter().map(|(_, a, b)| (a, b)).collect();
    of_pairs(&values, clusters.as_deref())
}

fn of_pairs(pairs: &[(f64, f64)], clusters: Option<&[&str]>) -> Option<Comparison> {
    let n = pairs.len();
    if n == 0 {
        return None;
    }
    let differences: Vec<f64> = pairs.iter().map(|(a, b)| b - a).collect();
    let is_binary =
        clusters.is_none() && pairs.iter().all(|(a, b)| [a, b].iter().all(|x| **x == 0.0 || **x == 1.0));
    let mean = match clusters {
        Some(clusters) => interval::clustered_mean(&differences, clusters),
        None if is_binary => interval::paired_shares(&differences),
        None => interval::mean(&differences),
    };
    let count = |is_meant: fn(&(f64, f64)) -> bool| pairs.iter().filter(|pair| is_meant(pair)).count();
    let (n_a_better, n_b_better) = (count(|(a, b)| a > b), count(|(a, b)| b > a));
    let n_free =
        clusters.map_or(n, |clusters| clusters.iter().collect::<std::collections::BTreeSet<_>>().len()) - 1;
    let p_value = if is_binary {
        Some(mcnemar(n_a_better, n_b_better))
    } else {
        // Where nothing varies there is nothing to test.
        mean.stderr.filter(|stderr| *stderr > 0.0).map(|stderr| student((mean.value / stderr).abs(), n_free))
    };
    Some(Comparison {
        n,
        a: pairs.iter().map(|(a, _)| a).sum::<f64>() / n as f64,
        b: pairs.iter().map(|(_, b)| b).sum::<f64>() / n as f64,
        difference: mean.value,
        lo95: mean.lo95,
        hi95: mean.hi95,
        n_a_better,
        n_b_better,
        p_value,
        detectable: mean.stderr.filter(|stderr| *stderr > 0.0).map(|stderr| (1.959_964 + 0.841_621) * stderr),
    })
}

/// McNemar's test of `k` against `m` items in which one side alone is right: the binomial probability of a split at least as
/// uneven, the split itself counted by half (the middle p-value, which keeps its size where the exact test is too cautious).
fn mcnemar(k: usize, m: usize) -> f64 {
    let n = (k + m) as f64;
    let log_choose = |i: f64| libm::lgamma(n + 1.0) - libm::lgamma(i + 1.0) - libm::lgamma(n - i + 1.0);
    let probability = |i: usize| (log_choose(i as f64) - n * std::f64::consts::LN_2).exp();
    let least = k.min(m);
    let tail: f64 = (0..least).map(probability).sum::<f64>() + 0.5 * probability(least);
    (2.0 * tail).min(1.0)
}

/// `P(|T| ≥ t)` of Student's distribution.
fn student(t: f64, n_free: usize) -> f64 {
    let v = n_free as f64;
    if n_free == 0 {
        return 1.0;
    }
    incomplete_beta(v / (v + t * t), v / 2.0, 0.5)
}

/// The regularised incomplete beta function I_x(a, b), by Lentz' method for its continued fraction.
/// Source: <https://dlmf.nist.gov/8.17#E22>.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    // It converges fast on this side alone.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let front = libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * x.ln() + b * (-x).ln_1p();
    let away_from_zero = |x: f64| if x.abs() < 1e-300 { 1e-300 } else { x };
    let (mut c, mut d) = (1.0, 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for m in 1..500 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = fraction;
        for term in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + term * d);
            c = away_from_zero(1.0 + term / c);
            fraction *= c * d;
        }
        if (fraction / before - 1.0).abs() < 1e-15 {
            break;
        }
    }
    front.exp() / a * fraction
}

#[cfg(test)]
mod tests {
    use base::Rng;

    use super::*;
    use crate::exam::testing::item;

    #[test]
    fn p_values_are_those_of_tables() {
        // SciPy 1.16: 2 * stats.t.sf(t, v).
        for (t, v, want) in [
            (2.0, 1, 0.295_167_235_300_866_5),
            (2.228_138_851_986_3, 10, 0.05),
            (1.0, 199, 0.318_523_612_016_917_9),
            (5.0, 30, 2.329_756_1e-5),
        ] {
            let got = student(t, v);
            assert!((got / want - 1.0).abs() < 1e-4, "{t} {v}: {got}");
        }
        // By hand: of 10 splits 2 to 8, 2·(1 + 10 + 45/2)/1024.
        assert!((mcnemar(2, 8) - 67.0 / 1024.0).abs() < 1e-12);
        assert_eq!((mcnemar(5, 5), mcnemar(0, 0)), (1.0, 1.0));
    }

    #[test]
    fn items_are_paired_by_their_number() {
        let of = |values: &[(usize, f64)]| -> Vec<ItemScore> {
            let scored = |&(doc_id, acc): &(usize, f64)| {
                let mut item = item(0, &[-1.0, -2.0]);
                item.doc_id = doc_id;
                item.metrics.insert("acc".into(), acc);
                item
            };
            values.iter().map(scored).collect()
        };
        let (a, b) =
            (of(&[(0, 1.0), (1, 0.0), (2, 0.0), (3, 1.0)]), of(&[(3, 0.0), (2, 1.0), (1, 1.0), (9, 1.0)]));
        let found = compare(&a, &b, "acc", None).unwrap();
        assert_eq!((found.n, found.n_a_better, found.n_b_better), (3, 1, 2));
        assert!((found.difference - 1.0 / 3.0).abs() < 1e-12 && (found.a - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(compare(&a, &b, "acc_norm", None), None);
        let same = compare(&a, &a, "acc", None).unwrap();
        assert_eq!((same.p_value, same.detectable, same.difference), (Some(1.0), None, 0.0));
    }

    /// Over 2,000 simulations without a difference each test is wrong in 4 to 6 %, and its interval misses 0 as often.
    #[test]
    fn the_tests_have_their_size() {
        let mut rng = Rng::named(5, "compare");
        let share = |hits: usize| hits as f64 / 2000.0;
        let (mut by_mcnemar, mut by_t, mut by_cluster) = (0, 0, 0);
        let names: Vec<String> = (0..40).map(|i| i.to_string()).collect();
        for _ in 0..2000 {
            let binary: Vec<(f64, f64)> = (0..300)
                .map(|_| {
                    let skill = 0.2 + 0.6 * rng.uniform();
                    let mut draw = || f64::from(rng.uniform() < skill);
                    (draw(), draw())
                })
                .collect();
            by_mcnemar += usize::from(of_pairs(&binary, None).unwrap().p_value.unwrap() < 0.05);
            let real: Vec<(f64, f64)> = (0..30).map(|_| (rng.normal(), 2.0 * rng.normal())).collect();
            by_t += usize::from(of_pairs(&real, None).unwrap().p_value.unwrap() < 0.05);
            let (mut pairs, mut clusters) = (Vec::new(), Vec::new());
            for name in &names {
                let own = rng.normal();
                for _ in 0..4 {
                    pairs.push((0.0, own + rng.normal()));
                    clusters.push(name.as_str());
                }
            }
            by_cluster += usize::from(of_pairs(&pairs, Some(&clusters)).unwrap().p_value.unwrap() < 0.05);
        }
        let sizes = [by_mcnemar, by_t, by_cluster].map(share);
        assert!(sizes.iter().all(|size| (0.04..=0.06).contains(size)), "{sizes:?}");
    }
}
