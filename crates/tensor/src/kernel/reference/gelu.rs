//! The activation of vision encoders.

use crate::kernel::Gelu;

/// `√(2/π)`.
const SCALE: f64 = 0.797_884_560_802_865_4;
/// Of the cubic term.
const CUBIC: f64 = 0.044_715;
/// Of the logistic function.
const QUICK: f64 = 1.702;

/// `y = x·Φ(x)`, with `Φ(x) = ½·(1 + erf(x/√2))`, or its approximations `½·(1 + tanh(√(2/π)·(x + 0.044715·x³)))` and
/// `1/(1 + e^(−1.702·x))`.
///
/// Overwrites `y`. Memory-bound. Paper: <https://arxiv.org/abs/1606.08415>.
///
/// # Panics
/// If a length disagrees.
#[track_caller]
pub(crate) fn forward(gelu: Gelu, x: &[f64], y: &mut [f64]) {
    assert!(x.len() == y.len(), "gelu: x {}, y {}", x.len(), y.len());
    for (y, &x) in y.iter_mut().zip(x) {
        *y = x * cdf(gelu, x);
    }
}

/// `dx = dy·(Φ(x) + x·Φ'(x))`, overwritten.
///
/// # Panics
/// If a length disagrees.
#[track_caller]
pub(crate) fn backward(gelu: Gelu, x: &[f64], dy: &[f64], dx: &mut [f64]) {
    assert!(
        x.len() == dy.len() && x.len() == dx.len(),
        "gelu: x {}, dy {}, dx {}",
        x.len(),
        dy.len(),
        dx.len()
    );
    for ((dx, &x), dy) in dx.iter_mut().zip(x).zip(dy) {
        let phi = cdf(gelu, x);
        let slope = match gelu {
            Gelu::Erf => (-x * x / 2.0).exp() * SCALE / 2.0,
            Gelu::Tanh => phi * (1.0 - phi) * 2.0 * SCALE * (1.0 + 3.0 * CUBIC * x * x),
            Gelu::Quick => phi * (1.0 - phi) * QUICK,
        };
        *dx = dy * (phi + x * slope);
    }
}

fn cdf(gelu: Gelu, x: f64) -> f64 {
    match gelu {
        Gelu::Erf => 0.5 * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)),
        Gelu::Tanh => 0.5 * (1.0 + (SCALE * (x + CUBIC * x * x * x)).tanh()),
        Gelu::Quick => 1.0 / (1.0 + (-QUICK * x).exp()),
    }
}
