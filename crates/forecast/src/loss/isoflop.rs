//! The best shape at each compute, read off runs of equal compute without a law.

use serde::{Deserialize, Serialize};

use crate::Table;

/// Runs whose compute differs by less than this share count as equal in compute.
const SAME_COMPUTE: f64 = 0.03;
/// A parabola has three coefficients; one more shape shows whether it fits.
const LEAST_SHAPES: usize = 4;

/// The bottom of one valley of loss over N.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct IsoflopMinimum {
    /// C of the runs.
    pub flops: f64,
    /// N at the bottom.
    pub n_params: f64,
    /// D there, by 6·N·D.
    pub n_tokens: f64,
    /// L there.
    pub loss: f64,
}

/// For each compute at which four shapes or more were trained, the minimum of the parabola in ln N through their
/// losses (<https://arxiv.org/abs/2203.15556>, section 3.2). Valleys whose bottom lies outside of the runs are left out.
pub fn isoflop_minima(table: &Table) -> Vec<IsoflopMinimum> {
    let points = table.points();
    let groups = points.chunk_by(|a, b| b.flops <= a.flops * (1.0 + SAME_COMPUTE));
    groups
        .filter_map(|group| {
            let pairs: Vec<(f64, f64)> =
                group.iter().filter_map(|p| p.shape().map(|(n, _)| (n.ln(), p.loss))).collect();
            let mut sizes: Vec<u64> = pairs.iter().map(|(x, _)| x.to_bits()).collect();
            sizes.sort_unstable();
            sizes.dedup();
            if sizes.len() < LEAST_SHAPES {
                return None;
            }
            let (bottom, loss) = parabola_minimum(&pairs)?;
            let flops = group[group.len() / 2].flops;
            Some(IsoflopMinimum { flops, n_params: bottom.exp(), n_tokens: flops / 6.0 / bottom.exp(), loss })
        })
        .collect()
}

/// Place and value of the minimum of the least-squares parabola, if it opens upwards and its bottom lies among the x.
fn parabola_minimum(pairs: &[(f64, f64)]) -> Option<(f64, f64)> {
    let n = pairs.len() as f64;
    let mean = pairs.iter().map(|(x, _)| x).sum::<f64>() / n;
    let mean_square = pairs.iter().map(|(x, _)| (x - mean).powi(2)).sum::<f64>() / n;
    let mean_cube = pairs.iter().map(|(x, _)| (x - mean).powi(3)).sum::<f64>() / n;
    // Orthogonal polynomials of the sample: 1, u = x − mean, v = u² − (m₃/m₂)·u − m₂.
    let v = |u: f64| u * u - mean_cube / mean_square * u - mean_square;
    let project = |basis: &dyn Fn(f64) -> f64| {
        let squares: f64 = pairs.iter().map(|(x, _)| basis(x - mean).powi(2)).sum();
        pairs.iter().map(|(x, y)| basis(x - mean) * y).sum::<f64>() / squares
    };
    let (height, slope, bend) = (project(&|_| 1.0), project(&|u| u), project(&v));
    if bend.is_nan() || bend <= 0.0 {
        return None;
    }
    let bottom = 0.5 * (mean_cube / mean_square - slope / bend);
    let (lo, hi) =
        pairs.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), (x, _)| (lo.min(*x), hi.max(*x)));
    (lo..=hi).contains(&(mean + bottom)).then(|| (mean + bottom, height + slope * bottom + bend * v(bottom)))
}
