//! A matrix product with a weight, without a bias.

use crate::{
    Kernels, Tape, Tensor, Var,
    tape::{Grads, Op},
};

/// Exactly what the backward reads: `x [.., K]` and `w [N, K]`.
struct Linear {
    x: Tensor,
    w: Tensor,
}

impl Op for Linear {
    /// `dx += dy·w`, `dw += dyᵀ·x`.
    fn backward(&self, kernels: &dyn Kernels, dy: &Tensor, grads: &mut Grads<'_>) {
        let (n, k) = (self.w.shape()[0], self.w.shape()[1]);
        let r = self.x.len() / k;
        grads.accumulate(0, self.x.shape(), |dx| {
            kernels.linear_backward_input(dy.slice(), self.w.slice(), dx, r, n, k);
        });
        grads.accumulate(1, self.w.shape(), |dw| {
            kernels.linear_backward_weight(dy.slice(), self.x.slice(), dw, r, n, k);
        });
    }
}

impl Tape<'_> {
    /// `x [R, K]`, `w [N, K]` → `x·wᵀ [R, N]`. Costs `2RNK` FLOPs, and twice that backward.
    ///
    /// # Panics
    /// If the last axes differ.
    #[track_caller]
    pub fn linear(&mut self, x: &Var, w: &Var) -> Var {
        let (&[r, k], &[n, k_of_w]) = (x.value().shape(), w.value().shape()) else {
            panic!("linear: x {:?}, w {:?}", x.value().shape(), w.value().shape())
        };
        assert!(k == k_of_w, "linear: x [{r}, {k}], w [{n}, {k_of_w}]");
        let mut y = Tensor::zeros(&[r, n], x.value().dtype());
        self.kernels.linear_forward(x.value().slice(), w.weight(), y.slice_mut(), r, n, k);
        self.push(y, &[x, w], || Linear { x: x.value().clone(), w: w.value().clone() })
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check_gradients, normal};

    #[test]
    fn linear_gradients() {
        for (r, k, n) in [(1, 1, 1), (3, 5, 2), (7, 4, 11)] {
            check_gradients(&[normal(&[r, k]), normal(&[n, k])], |tape, v| tape.linear(&v[0], &v[1]));
        }
    }
}
