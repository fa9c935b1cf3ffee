//! How far two readers of the same answers agree.

use serde::{Deserialize, Serialize};

use crate::interval;

/// Agreement beyond chance: Cohen's kappa.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Answers that both read.
    pub n: usize,
    /// Share that they read alike.
    pub share: f64,
    /// `(share − chance)/(1 − chance)`; none where both say the same one thing of every answer.
    pub kappa: Option<f64>,
    /// Lower end of its 95 % interval.
    pub lo95: Option<f64>,
    /// Upper end.
    pub hi95: Option<f64>,
    /// How often the first said what a row stands for where the second said what a column stands for.
    pub table: Vec<Vec<usize>>,
}

/// Agreement over pairs of categories below `n_categories`. None of no pairs.
///
/// The interval is that of the large-sample variance (Fleiss, Cohen and Everitt 1969). Where all agree, which has none, its
/// lower end is that of Wilson's interval of the share.
///
/// # Panics
/// If a category is not below `n_categories`.
pub fn kappa(pairs: &[(usize, usize)], n_categories: usize) -> Option<Agreement> {
    let n = pairs.len();
    if n == 0 {
        return None;
    }
    let mut table = vec![vec![0_usize; n_categories]; n_categories];
    pairs.iter().for_each(|&(a, b)| table[a][b] += 1);
    let p = |i: usize, j: usize| table[i][j] as f64 / n as f64;
    let all = 0..n_categories;
    let row: Vec<f64> = all.clone().map(|i| all.clone().map(|j| p(i, j)).sum()).collect();
    let column: Vec<f64> = all.clone().map(|j| all.clone().map(|i| p(i, j)).sum()).collect();
    let n_alike: usize = all.clone().map(|i| table[i][i]).sum();
    let share = n_alike as f64 / n as f64;
    let chance: f64 = all.clone().map(|i| row[i] * column[i]).sum();
    if 1.0 - chance < 1e-12 {
        return Some(Agreement { n, share, kappa: None, lo95: None, hi95: None, table });
    }
    let kappa = (share - chance) / (1.0 - chance);
    let (lo95, hi95) = if n_alike == n {
        let lowest = interval::wilson(n_alike, n).map_or(0.0, |[lo, _]| lo);
        ((lowest - chance) / (1.0 - chance), 1.0)
    } else {
        let alike: f64 =
            all.clone().map(|i| p(i, i) * (1.0 - (row[i] + column[i]) * (1.0 - kappa)).powi(2)).sum();
        let apart: f64 = all
            .clone()
            .flat_map(|i| all.clone().filter(move |j| *j != i).map(move |j| (i, j)))
            .map(|(i, j)| p(i, j) * (column[i] + row[j]).powi(2))
            .sum();
        let rest = (kappa - chance * (1.0 - kappa)).powi(2);
        let variance = (alike + (1.0 - kappa).powi(2) * apart - rest) / (n as f64 * (1.0 - chance).powi(2));
        let margin = 1.959_964 * variance.max(0.0).sqrt();
        (kappa - margin, kappa + margin)
    };
    let inside = |x: f64| Some(x.clamp(-1.0, 1.0));
    Some(Agreement { n, share, kappa: Some(kappa), lo95: inside(lo95), hi95: inside(hi95), table })
}

#[cfg(test)]
mod tests {
    use base::Rng;

    use super::*;

    fn pairs(table: &[[usize; 2]; 2]) -> Vec<(usize, usize)> {
        let cells = [(0, 0), (0, 1), (1, 0), (1, 1)];
        cells.iter().flat_map(|&(i, j)| vec![(i, j); table[i][j]]).collect()
    }

    #[test]
    fn kappa_is_that_of_the_literature() {
        // (0.7 - 0.5)/(1 - 0.5); the standard error also by the delta method with numeric derivatives.
        let agreement = kappa(&pairs(&[[20, 5], [10, 15]]), 2).unwrap();
        assert!((agreement.kappa.unwrap() - 0.4).abs() < 1e-12, "{agreement:?}");
        let half = (agreement.hi95.unwrap() - agreement.lo95.unwrap()) / 2.0;
        assert!((half / 1.959_964 - 0.126_996_063).abs() < 1e-6, "{half}");
        assert_eq!(kappa(&[], 2), None);
        assert_eq!(kappa(&pairs(&[[7, 0], [0, 0]]), 2).unwrap().kappa, None);
        let all = kappa(&pairs(&[[5, 0], [0, 5]]), 2).unwrap();
        assert!(all.kappa == Some(1.0) && all.lo95.unwrap() < 0.6 && all.hi95 == Some(1.0), "{all:?}");
    }

    #[test]
    fn the_interval_holds_the_true_value_in_95_of_100() {
        // Two readers who say yes in half of the answers and agree on 80 %: kappa 0.6.
        let mut rng = Rng::named(5, "kappa");
        let mut n_inside = 0;
        for _ in 0..2000 {
            let drawn: Vec<(usize, usize)> = (0..120)
                .map(|_| {
                    let a = rng.below(2) as usize;
                    (a, if rng.below(10) < 8 { a } else { 1 - a })
                })
                .collect();
            let agreement = kappa(&drawn, 2).unwrap();
            n_inside += usize::from(agreement.lo95.unwrap() <= 0.6 && 0.6 <= agreement.hi95.unwrap());
        }
        assert!((1860..=1940).contains(&n_inside), "{n_inside}");
    }
}
