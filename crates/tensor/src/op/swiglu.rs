//! The gated activation of the feed-forward block.

use crate::{
    Kernels, Tape, Tensor, Var,
    tape::{Grads, Op},
};

/// Exactly what the backward reads.
struct SwiGlu {
    gate: Tensor,
    up: Tensor,
}

impl Op for SwiGlu {
    /// With `σ = 1/(1 + e^−gate)`: `dgate = dy·up·σ·(1 + gate·(1 − σ))`, `dup = dy·gate·σ`.
    fn backward(&self, kernels: &dyn Kernels, dy: &Tensor, grads: &mut Grads<'_>) {
        let mut dgate = grads.take(0, self.gate.shape());
        let mut dup = grads.take(1, self.up.shape());
        kernels.swiglu_backward(
            self.gate.slice(),
            self.up.slice(),
            dy.slice(),
            dgate.slice_mut(),
            dup.slice_mut(),
        );
        grads.put(0, dgate);
        grads.put(1, dup);
    }
}

impl Tape<'_> {
    /// `silu(gate)·up`, of equal shapes, with `silu(x) = x/(1 + e^−x)`.
    /// Paper: <https://arxiv.org/abs/2002.05202>.
    ///
    /// # Panics
    /// If the shapes differ.
    #[track_caller]
    pub fn swiglu(&mut self, gate: &Var, up: &Var) -> Var {
        let shape = gate.value().shape();
        assert!(shape == up.value().shape(), "swiglu: gate {shape:?}, up {:?}", up.value().shape());
        let mut y = Tensor::zeros(shape, gate.value().dtype());
        self.kernels.swiglu_forward(gate.value().slice(), up.value().slice(), y.slice_mut());
        self.push(y, &[gate, up], || SwiGlu { gate: gate.value().clone(), up: up.value().clone() })
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check_gradients, normal};

    #[test]
    fn swiglu_gradients() {
        check_gradients(&[normal(&[3, 7]), normal(&[3, 7])], |tape, v| tape.swiglu(&v[0], &v[1]));
    }
}
