//! Root-mean-square normalisation.

/// Root-mean-square normalisation of each row: `y = x·rstd·gain`, `rstd = 1/√(mean(x²) + eps)`.
///
/// Shapes: `x`, `y` are `[R, C]`, `gain` is `[C]`, `rstd` is `[R]`; `C ≥ 1`. Overwrites `y` and `rstd`. The
/// backward reads `rstd` and recomputes `x·rstd`. Cost: about `4RC` FLOPs; reads `RC + C` and writes `RC + R`
/// elements, so memory-bound.
/// Paper: <https://arxiv.org/abs/1910.07467>. Differs: the paper has no `eps`; ours is inside the root.
///
/// # Panics
/// If a length disagrees with `R = rstd.len()` and `C = gain.len()`.
#[track_caller]
pub(crate) fn forward(x: &[f64], gain: &[f64], eps: f64, y: &mut [f64], rstd: &mut [f64]) {
    let (r, c) = (rstd.len(), gain.len());
    assert!(
        0 < c && x.len() == r * c && y.len() == r * c,
        "rmsnorm: x {}, y {}, want [{r}, {c}]",
        x.len(),
        y.len()
    );
    for ((x, y), rstd) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)).zip(rstd) {
        let mean_sq = x.iter().map(|x| x * x).sum::<f64>() / c as f64;
        let scale = (mean_sq + eps).sqrt().recip();
        *rstd = scale;
        for ((y, x), gain) in y.iter_mut().zip(x).zip(gain) {
            *y = x * scale * gain;
        }
    }
}

/// With `x̂ = x·rstd` and `g = dy·gain`: `dx += rstd·(g − x̂·mean(g·x̂))`, `dgain += Σ_rows dy·x̂`.
///
/// Shapes as in [`forward`]; accumulates into `dx` and `dgain`.
///
/// # Panics
/// If a length disagrees.
#[track_caller]
pub(crate) fn backward(x: &[f64], gain: &[f64], rstd: &[f64], dy: &[f64], dx: &mut [f64], dgain: &mut [f64]) {
    let (r, c) = (rstd.len(), gain.len());
    assert!(
        x.len() == r * c && dy.len() == r * c && dx.len() == r * c && dgain.len() == c,
        "rmsnorm: x {}, dy {}, dx {}, dgain {}, want [{r}, {c}]",
        x.len(),
        dy.len(),
        dx.len(),
        dgain.len()
    );
    for (row, rstd) in rstd.iter().enumerate() {
        let at = |i: usize| row * c + i;
        let normed = |i: usize| x[at(i)] * rstd;
        let g = |i: usize| dy[at(i)] * gain[i];
        let mean = (0..c).map(|i| g(i) * normed(i)).sum::<f64>() / c as f64;
        for i in 0..c {
            dx[at(i)] += rstd * (g(i) - normed(i) * mean);
            dgain[i] += dy[at(i)] * normed(i);
        }
    }
}
