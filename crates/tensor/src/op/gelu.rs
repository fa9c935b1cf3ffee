//! The activation of vision encoders.

use crate::{
    Gelu, Kernels, Tape, Tensor, Var,
    tape::{Grads, Op},
};

/// Exactly what the backward reads.
struct OfGelu {
    x: Tensor,
    gelu: Gelu,
}

impl Op for OfGelu {
    /// `dx = dy·(Φ(x) + x·Φ'(x))`.
    fn backward(&self, kernels: &dyn Kernels, dy: Tensor, grads: &mut Grads<'_>) {
        let mut dx = grads.unspecified(0);
        kernels.gelu_backward(self.gelu, self.x.slice(), dy.slice(), dx.slice_mut());
        grads.give(0, dx);
    }
}

impl Tape<'_> {
    /// `x·Φ(x)` of every element, Φ being the distribution function of the normal distribution or an approximation.
    /// Paper: <https://arxiv.org/abs/1606.08415>.
    pub fn gelu(&mut self, x: &Var, gelu: Gelu) -> Var {
        let mut y = Tensor::unspecified(x.value().shape(), x.value().dtype());
        self.kernels.gelu_forward(gelu, x.value().slice(), y.slice_mut());
        self.push(y, &[x], || OfGelu { x: x.value().clone(), gelu })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, normal};

    #[test]
    fn gelu_gradients() {
        for gelu in [Gelu::Erf, Gelu::Tanh, Gelu::Quick] {
            for (r, c) in [(1, 1), (3, 5), (7, 33)] {
                check_gradients(&[normal(&[r, c])], |tape, v| tape.gelu(&v[0], gelu));
            }
        }
    }
}
