//! Root-mean-square normalisation of rows.

use super::statistics;
use crate::{
    DType, Kernels, Tape, Tensor, Var,
    tape::{Grads, Op},
};

/// Exactly what the backward reads: `x [R, C]`, `gain [C]`, `rstd [R]`.
struct RmsNorm {
    x: Tensor,
    gain: Tensor,
    rstd: Tensor,
}

impl Op for RmsNorm {
    fn backward(&self, kernels: &dyn Kernels, dy: Tensor, grads: &mut Grads<'_>) {
        add_gradients(kernels, &self.x, &self.gain, &self.rstd, &dy, grads);
    }
}

/// With `x̂ = x·rstd` and `g = dy·gain`: `dx += rstd·(g − x̂·mean(g·x̂))` of input 0, `dgain += Σ_rows dy·x̂` of
/// input 1.
pub(super) fn add_gradients(
    kernels: &dyn Kernels,
    x: &Tensor,
    gain: &Tensor,
    rstd: &Tensor,
    dy: &Tensor,
    grads: &mut Grads<'_>,
) {
    let (mut dx, mut dgain) = (grads.take(0), grads.take(1));
    kernels.rmsnorm_backward(
        x.slice(),
        gain.slice(),
        rstd.slice(),
        dy.slice(),
        dx.slice_mut(),
        dgain.slice_mut(),
    );
    grads.give(0, dx);
    grads.give(1, dgain);
}

/// `x·rstd·gain [R, C]` in `dtype`, and `rstd [R]`.
#[track_caller]
pub(super) fn normed(
    kernels: &dyn Kernels,
    x: &Tensor,
    gain: &Tensor,
    eps: f64,
    dtype: DType,
) -> (Tensor, Tensor) {
    let (&[r, c], &[c_of_gain]) = (x.shape(), gain.shape()) else {
        panic!("rmsnorm: x {:?}, gain {:?}", x.shape(), gain.shape())
    };
    assert!(c == c_of_gain, "rmsnorm: x [{r}, {c}], gain [{c_of_gain}]");
    let mut y = Tensor::unspecified(&[r, c], dtype);
    let mut rstd = Tensor::unspecified(&[r], statistics(x.dtype()));
    kernels.rmsnorm_forward(x.slice(), gain.slice(), eps, y.slice_mut(), rstd.slice_mut());
    (y, rstd)
}

impl Tape<'_> {
    /// `x·rstd·gain` of each row, with `rstd = 1/√(mean(x²) + eps)`: `x [R, C]`, `gain [C]` → `[R, C]`, rounded to
    /// `dtype`. Paper: <https://arxiv.org/abs/1910.07467>.
    ///
    /// # Panics
    /// If the last axis is not the gain's.
    #[track_caller]
    pub fn rmsnorm(&mut self, x: &Var, gain: &Var, eps: f64, dtype: DType) -> Var {
        let (y, rstd) = normed(self.kernels, x.value(), gain.value(), eps, dtype);
        self.push(y, &[x, gain], || RmsNorm { x: x.value().clone(), gain: gain.value().clone(), rstd })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, normal};

    #[test]
    fn rmsnorm_gradients() {
        for (r, c) in [(1, 1), (3, 5), (2, 64), (7, 129)] {
            // eps is large on purpose: near zero a tiny eps bends the curve faster than the step.
            check_gradients(&[normal(&[r, c]), normal(&[c])], |tape, v| {
                tape.rmsnorm(&v[0], &v[1], 1e-2, DType::F64)
            });
        }
    }
}
