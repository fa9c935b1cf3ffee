//! One step of Muon.

use crate::kernel::Muon;

/// Momentum, orthogonalised: with `g = scale·grad`, `m = μm + (1−μ)g`, `u = (1−μ)g + μm` (Nesterov) and
/// `O = NewtonSchulz(u)`: `param = param·(1 − lr·wd) − lr·√max(1, rows/cols)·O`.
///
/// `NewtonSchulz` divides by the Frobenius norm, then repeats `X = aX + (bA + cA²)X` with `A = XXᵀ` five times, on
/// the wide orientation of the matrix: singular values end near 1.
/// `grad`, `param`, `momentum` are `[rows, cols]`; overwrites `param` and `momentum`. Costs about
/// `10·min²·(2·max + min)` FLOPs, with min and max of `rows`, `cols`.
/// Source: <https://kellerjordan.github.io/posts/muon/>.
///
/// # Panics
/// If a length disagrees.
#[track_caller]
pub(crate) fn step(
    settings: &Muon,
    scale: f64,
    grad: &[f64],
    param: &mut [f64],
    momentum: &mut [f64],
    rows: usize,
    cols: usize,
) {
    let n = rows * cols;
    assert!(grad.len() == n && param.len() == n && momentum.len() == n, "muon: lengths differ from {n}");
    let mu = settings.momentum;
    let mut update = vec![0.0; n];
    for i in 0..n {
        let g = scale * grad[i];
        momentum[i] = mu * momentum[i] + (1.0 - mu) * g;
        update[i] = (1.0 - mu) * g + mu * momentum[i];
    }
    let update = if rows > cols {
        transposed(&orthogonalised(&transposed(&update, rows, cols), cols, rows), cols, rows)
    } else {
        orthogonalised(&update, rows, cols)
    };
    for (param, update) in param.iter_mut().zip(&update) {
        let kept = *param * (1.0 - settings.lr * settings.weight_decay);
        *param = kept - settings.update_scale(rows, cols) * update;
    }
}

/// Newton–Schulz on `x [m, n]` with `m ≤ n`.
fn orthogonalised(x: &[f64], m: usize, n: usize) -> Vec<f64> {
    let [a, b, c] = Muon::NEWTON_SCHULZ;
    let norm = x.iter().map(|x| x * x).sum::<f64>().sqrt().max(Muon::EPS);
    let mut x: Vec<f64> = x.iter().map(|x| x / norm).collect();
    for _ in 0..Muon::STEPS {
        let gram = product(&x, &transposed(&x, m, n), m, n, m);
        let gram_sq = product(&gram, &gram, m, m, m);
        let poly: Vec<f64> = gram.iter().zip(&gram_sq).map(|(g, g_sq)| b * g + c * g_sq).collect();
        let turned = product(&poly, &x, m, m, n);
        for (x, turned) in x.iter_mut().zip(&turned) {
            *x = a * *x + turned;
        }
    }
    x
}

/// `a [m, k] · b [k, n]`.
fn product(a: &[f64], b: &[f64], m: usize, k: usize, n: usize) -> Vec<f64> {
    (0..m * n).map(|at| (0..k).map(|p| a[at / n * k + p] * b[p * n + at % n]).sum()).collect()
}

fn transposed(x: &[f64], rows: usize, cols: usize) -> Vec<f64> {
    (0..rows * cols).map(|at| x[at % rows * cols + at / rows]).collect()
}
