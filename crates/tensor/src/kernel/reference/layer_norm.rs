//! Layer normalisation.

/// Normalisation of each row to mean 0 and variance 1: `y = (x − μ)·rstd·gain + bias`, `rstd = 1/√(mean((x − μ)²) + eps)`.
///
/// Shapes: `x`, `y` are `[R, C]`, `gain` and `bias` `[C]`, `stats` is `[R, 2]`: μ and rstd; `C ≥ 1`. Overwrites `y` and
/// `stats`, which the backward reads. Memory-bound. Paper: <https://arxiv.org/abs/1607.06450>.
///
/// # Panics
/// If a length disagrees.
#[track_caller]
pub(crate) fn forward(x: &[f64], gain: &[f64], bias: &[f64], eps: f64, y: &mut [f64], stats: &mut [f64]) {
    let (r, c) = (stats.len() / 2, gain.len());
    assert!(
        0 < c && bias.len() == c && x.len() == r * c && y.len() == r * c && stats.len() == 2 * r,
        "layer_norm: x {}, y {}, bias {}, want [{r}, {c}]",
        x.len(),
        y.len(),
        bias.len()
    );
    for ((x, y), stats) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)).zip(stats.chunks_exact_mut(2)) {
        let mean = x.iter().sum::<f64>() / c as f64;
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / c as f64;
        let rstd = (variance + eps).sqrt().recip();
        stats.copy_from_slice(&[mean, rstd]);
        for (i, y) in y.iter_mut().enumerate() {
            *y = (x[i] - mean) * rstd * gain[i] + bias[i];
        }
    }
}

/// With `x̂ = (x − μ)·rstd` and `g = dy·gain`: `dx += rstd·(g − mean(g) − x̂·mean(g·x̂))`, `dgain += Σ_rows dy·x̂`,
/// `dbias += Σ_rows dy`.
///
/// Shapes as in [`forward`]; accumulates into all three.
///
/// # Panics
/// If a length disagrees.
#[track_caller]
pub(crate) fn backward(
    x: &[f64],
    gain: &[f64],
    stats: &[f64],
    dy: &[f64],
    dx: &mut [f64],
    dgain: &mut [f64],
    dbias: &mut [f64],
) {
    let (r, c) = (stats.len() / 2, gain.len());
    assert!(
        x.len() == r * c && dy.len() == r * c && dx.len() == r * c && dgain.len() == c && dbias.len() == c,
        "layer_norm: x {}, dy {}, dx {}, dgain {}, dbias {}, want [{r}, {c}]",
        x.len(),
        dy.len(),
        dx.len(),
        dgain.len(),
        dbias.len()
    );
    for (row, stats) in stats.chunks_exact(2).enumerate() {
        let at = |i: usize| row * c + i;
        let normed = |i: usize| (x[at(i)] - stats[0]) * stats[1];
        let g = |i: usize| dy[at(i)] * gain[i];
        let mean = (0..c).map(g).sum::<f64>() / c as f64;
        let mean_normed = (0..c).map(|i| g(i) * normed(i)).sum::<f64>() / c as f64;
        for i in 0..c {
            dx[at(i)] += stats[1] * (g(i) - mean - normed(i) * mean_normed);
            dgain[i] += dy[at(i)] * normed(i);
            dbias[i] += dy[at(i)];
        }
    }
}
