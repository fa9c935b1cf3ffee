//! Layer normalisation of rows.

use super::statistics;
use crate::{
    DType, Kernels, Tape, Tensor, Var,
    tape::{Grads, Op},
};

/// Exactly what the backward reads: `x [R, C]`, `gain [C]`, `stats [R, 2]`.
struct LayerNorm {
    x: Tensor,
    gain: Tensor,
    stats: Tensor,
}

impl Op for LayerNorm {
    /// With `x̂ = (x − μ)·rstd` and `g = dy·gain`: `dx += rstd·(g − mean(g) − x̂·mean(g·x̂))`, `dgain += Σ_rows dy·x̂`,
    /// `dbias += Σ_rows dy`.
    fn backward(&self, kernels: &dyn Kernels, dy: Tensor, grads: &mut Grads<'_>) {
        let (mut dx, mut dgain, mut dbias) = (grads.take(0), grads.take(1), grads.take(2));
        kernels.layer_norm_backward(
            self.x.slice(),
            self.gain.slice(),
            self.stats.slice(),
            dy.slice(),
            dx.slice_mut(),
            dgain.slice_mut(),
            dbias.slice_mut(),
        );
        (0..).zip([dx, dgain, dbias]).for_each(|(i, grad)| grads.give(i, grad));
    }
}

impl Tape<'_> {
    /// `(x − μ)·rstd·gain + bias` of each row, with its mean μ and `rstd = 1/√(variance + eps)`: `x [R, C]`, `gain` and
    /// `bias` `[C]` → `[R, C]`, rounded to `dtype`. Paper: <https://arxiv.org/abs/1607.06450>.
    ///
    /// # Panics
    /// If a last axis differs.
    #[track_caller]
    pub fn layer_norm(&mut self, x: &Var, gain: &Var, bias: &Var, eps: f64, dtype: DType) -> Var {
        let (values, gains, biases) = (x.value(), gain.value(), bias.value());
        let &[r, c] = values.shape() else { panic!("layer_norm: x {:?}", values.shape()) };
        assert!(
            gains.shape() == [c] && biases.shape() == [c],
            "layer_norm: x [{r}, {c}], gain {:?}, bias {:?}",
            gains.shape(),
            biases.shape()
        );
        let mut y = Tensor::unspecified(&[r, c], dtype);
        let mut stats = Tensor::unspecified(&[r, 2], statistics(values.dtype()));
        self.kernels.layer_norm_forward(
            values.slice(),
            gains.slice(),
            biases.slice(),
            eps,
            y.slice_mut(),
            stats.slice_mut(),
        );
        self.push(y, &[x, gain, bias], || LayerNorm { x: values.clone(), gain: gains.clone(), stats })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, normal};

    #[test]
    fn layer_norm_gradients() {
        for (r, c) in [(1, 2), (3, 5), (2, 64), (7, 129)] {
            // eps is large on purpose: near zero a tiny eps bends the curve faster than the step.
            check_gradients(&[normal(&[r, c]), normal(&[c]), normal(&[c])], |tape, v| {
                tape.layer_norm(&v[0], &v[1], &v[2], 1e-2, DType::F64)
            });
        }
    }
}
