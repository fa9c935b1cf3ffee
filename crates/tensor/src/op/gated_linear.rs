//! The gated activation of the feed-forward block and the product after it.

use super::weight_grad;
use crate::{
    Kernels, Tape, Tensor, Var,
    tape::{Grads, Op, weight},
};

/// What the backward reads: rows `[gate | up]` `[R, 2F]` and `w [C, F]`. The activation is computed again.
struct GatedLinear {
    gate_up: Tensor,
    w: Tensor,
}

impl Op for GatedLinear {
    /// With `a = silu(gate)·up`, `σ = 1/(1 + e^−gate)` and `da = dy·w`: `dgate = da·up·σ·(1 + gate·(1 − σ))`,
    /// `dup = da·gate·σ`, `dw += dyᵀ·a`; the gradient of the residual is `dy`.
    fn backward(&self, kernels: &dyn Kernels, dy: Tensor, grads: &mut Grads<'_>) {
        let (r, f) = (self.gate_up.shape()[0], self.w.shape()[1]);
        let mut da = Tensor::unspecified(&[r, f], self.gate_up.dtype());
        kernels.linear_backward_input(dy.slice(), &[weight(&self.w)], da.slice_mut(), r, f);
        let mut d_gate_up = grads.unspecified(0);
        let mut a = Tensor::unspecified(&[r, f], self.gate_up.dtype());
        kernels.swiglu_backward(self.gate_up.slice(), da.slice(), d_gate_up.slice_mut(), a.slice_mut(), f);
        grads.give(0, d_gate_up);
        if grads.wants(1) {
            let mut dw = grads.sum(1);
            kernels.linear_backward_weight(dy.slice(), a.slice(), &mut [weight_grad(&mut dw)], r, f);
            grads.give(1, dw.0);
        }
        grads.give(2, dy);
    }
}

impl Tape<'_> {
    /// `residual + (silu(gate)·up)·wᵀ` with `silu(x) = x/(1 + e^−x)`: rows `[gate | up]` `[R, 2F]`, `w [C, F]`,
    /// `residual [R, C]` → `[R, C]`, of the residual's dtype.
    ///
    /// Costs `2RCF` FLOPs, and twice that backward. Paper: <https://arxiv.org/abs/2002.05202>.
    ///
    /// # Panics
    /// If a shape disagrees.
    #[track_caller]
    pub fn gated_linear(&mut self, gate_up: &Var, w: &Var, residual: &Var, f: usize) -> Var {
        let (rows, from) = (gate_up.value(), residual.value());
        let (&[r, two_f], &[c, f_of_w]) = (rows.shape(), w.value().shape()) else {
            panic!("gated_linear: gate_up {:?}, w {:?}", rows.shape(), w.value().shape())
        };
        assert!(
            two_f == 2 * f && f_of_w == f && from.shape() == [r, c],
            "gated_linear: gate_up [{r}, {two_f}], w [{c}, {f_of_w}], residual {:?}, f {f}",
            from.shape()
        );
        let mut a = Tensor::unspecified(&[r, f], rows.dtype());
        self.kernels.swiglu_forward(rows.slice(), a.slice_mut(), f);
        let mut y = Tensor::unspecified(&[r, c], from.dtype());
        self.kernels.linear_forward(a.slice(), &[w.weight()], Some(from.slice()), y.slice_mut(), r, f);
        let op = || GatedLinear { gate_up: rows.clone(), w: w.value().clone() };
        self.push(y, &[gate_up, w, residual], op)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, normal};

    #[test]
    fn gated_linear_gradients() {
        for (r, f, c) in [(1, 1, 1), (3, 7, 2), (5, 2, 11)] {
            check_gradients(&[normal(&[r, 2 * f]), normal(&[c, f]), normal(&[r, c])], |tape, v| {
                tape.gated_linear(&v[0], &v[1], &v[2], f)
            });
        }
    }

    #[test]
    fn some_inputs_may_be_constant() {
        let (gate_up, residual) = (Var::constant(normal(&[3, 8])), Var::constant(normal(&[3, 5])));
        check_gradients(&[normal(&[5, 4])], |tape, v| tape.gated_linear(&gate_up, &v[0], &residual, 4));
    }
}
