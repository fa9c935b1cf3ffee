//! Root-mean-square normalisation, of rows or of heads.

use crate::{
    Kernels, Tape, Tensor, Var,
    tape::{Grads, Op},
};

/// Exactly what the backward reads: `x [.., C]`, `gain [C]`, `rstd [..]`.
struct RmsNorm {
    x: Tensor,
    gain: Tensor,
    rstd: Tensor,
}

impl Op for RmsNorm {
    /// With `x̂ = x·rstd` and `g = dy·gain`: `dx = rstd·(g − x̂·mean(g·x̂))`, `dgain = Σ_rows dy·x̂`.
    fn backward(&self, kernels: &dyn Kernels, dy: &Tensor, grads: &mut Grads<'_>) {
        let mut dx = grads.take(0, self.x.shape());
        let mut dgain = grads.take(1, self.gain.shape());
        kernels.rmsnorm_backward(
            self.x.slice(),
            self.gain.slice(),
            self.rstd.slice(),
            dy.slice(),
            dx.slice_mut(),
            dgain.slice_mut(),
        );
        grads.put(0, dx);
        grads.put(1, dgain);
    }
}

impl Tape<'_> {
    /// RMSNorm over groups of `gain.len()` channels: `x [R, C]` and `gain [C]` norm rows; with `gain [D]` and
    /// `C = H·D` every head is normed by itself, with the same gain. The shape stays.
    ///
    /// # Panics
    /// If the last axis is not a multiple of the gain's length.
    #[track_caller]
    pub fn rmsnorm(&mut self, x: &Var, gain: &Var, eps: f64) -> Var {
        let (value, c) = (x.value(), gain.value().len());
        assert!(
            value.last_dim().is_multiple_of(c),
            "rmsnorm: x {:?}, gain {:?}",
            value.shape(),
            gain.value().shape()
        );
        let mut y = Tensor::zeros(value.shape(), value.dtype());
        let mut rstd = Tensor::zeros(&[value.len() / c], value.dtype());
        self.kernels.rmsnorm_forward(
            value.slice(),
            gain.value().slice(),
            eps,
            y.slice_mut(),
            rstd.slice_mut(),
        );
        self.push(y, &[x, gain], || RmsNorm { x: value.clone(), gain: gain.value().clone(), rstd })
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check_gradients, normal};

    #[test]
    fn rmsnorm_gradients() {
        for (r, heads, c) in [(1, 1, 1), (3, 1, 5), (2, 3, 64), (7, 1, 129)] {
            // eps is large on purpose: near zero a tiny eps bends the curve faster than the step.
            check_gradients(&[normal(&[r, heads * c]), normal(&[c])], |tape, v| {
                tape.rmsnorm(&v[0], &v[1], 1e-2)
            });
        }
    }
}
