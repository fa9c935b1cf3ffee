//! A matrix product with a weight, without a bias; onto the residual stream if there is one.

use super::weight_grad;
use crate::{
    DType, Kernels, Tape, Tensor, Var,
    tape::{Grads, Op, weight},
};

/// Exactly what the backward reads: `x [R, K]` and `w [N, K]`.
struct Linear {
    x: Tensor,
    w: Tensor,
    has_residual: bool,
}

impl Op for Linear {
    /// `dx = dy·w`, `dw += dyᵀ·x`; the gradient of the residual is `dy`.
    fn backward(&self, kernels: &dyn Kernels, dy: Tensor, grads: &mut Grads<'_>) {
        let (r, k) = (self.x.shape()[0], self.x.shape()[1]);
        if grads.wants(0) {
            let mut dx = grads.unspecified(0);
            kernels.linear_backward_input(dy.slice(), &[weight(&self.w)], dx.slice_mut(), r, k);
            grads.give(0, dx);
        }
        if grads.wants(1) {
            let mut dw = grads.sum(1);
            kernels.linear_backward_weight(dy.slice(), self.x.slice(), &mut [weight_grad(&mut dw)], r, k);
            grads.give(1, dw.0);
        }
        if self.has_residual {
            grads.give(2, dy);
        }
    }
}

impl Tape<'_> {
    /// `x [R, K]`, `w [N, K]` → `x·wᵀ [R, N]`, multiplied in the dtype of `x` and rounded to `dtype`.
    /// Costs `2RNK` FLOPs, and twice that backward.
    ///
    /// # Panics
    /// If the last axes differ.
    #[track_caller]
    pub fn linear(&mut self, x: &Var, w: &Var, dtype: DType) -> Var {
        let [r, n, k] = sizes(x, w);
        let mut y = Tensor::unspecified(&[r, n], dtype);
        self.kernels.linear_forward(x.value().slice(), &[w.weight()], None, y.slice_mut(), r, k);
        let op = || Linear { x: x.value().clone(), w: w.value().clone(), has_residual: false };
        self.push(y, &[x, w], op)
    }

    /// `residual + x·wᵀ`: as [`Tape::linear`], added to `residual [R, N]` in its dtype.
    ///
    /// # Panics
    /// If a shape disagrees.
    #[track_caller]
    pub fn linear_residual(&mut self, x: &Var, w: &Var, residual: &Var) -> Var {
        let [r, n, k] = sizes(x, w);
        let from = residual.value();
        assert!(from.shape() == [r, n], "linear: x [{r}, {k}], w [{n}, {k}], residual {:?}", from.shape());
        let mut y = Tensor::unspecified(&[r, n], from.dtype());
        let residual_values = Some(from.slice());
        self.kernels.linear_forward(x.value().slice(), &[w.weight()], residual_values, y.slice_mut(), r, k);
        let op = || Linear { x: x.value().clone(), w: w.value().clone(), has_residual: true };
        self.push(y, &[x, w, residual], op)
    }
}

/// R, N and K.
#[track_caller]
fn sizes(x: &Var, w: &Var) -> [usize; 3] {
    let (&[r, k], &[n, k_of_w]) = (x.value().shape(), w.value().shape()) else {
        panic!("linear: x {:?}, w {:?}", x.value().shape(), w.value().shape())
    };
    assert!(k == k_of_w, "linear: x [{r}, {k}], w [{n}, {k_of_w}]");
    [r, n, k]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, normal};

    #[test]
    fn linear_gradients() {
        for (r, k, n) in [(1, 1, 1), (3, 5, 2), (7, 4, 11)] {
            check_gradients(&[normal(&[r, k]), normal(&[n, k])], |tape, v| {
                tape.linear(&v[0], &v[1], DType::F64)
            });
        }
    }

    #[test]
    fn linear_residual_gradients() {
        for (r, k, n) in [(1, 1, 1), (3, 5, 2), (7, 4, 11)] {
            check_gradients(&[normal(&[r, k]), normal(&[n, k]), normal(&[r, n])], |tape, v| {
                tape.linear_residual(&v[0], &v[1], &v[2])
            });
        }
    }

    #[test]
    fn one_value_may_be_input_and_residual() {
        check_gradients(&[normal(&[3, 5]), normal(&[5, 5])], |tape, v| {
            tape.linear_residual(&v[0], &v[1], &v[0])
        });
    }

    /// Both ops give to the same gradient: the second share must not replace the first.
    #[test]
    fn one_value_may_go_into_two_ops() {
        check_gradients(&[normal(&[3, 5]), normal(&[5, 5])], |tape, v| {
            let x = tape.linear(&v[0], &v[1], DType::F64);
            let y = tape.linear(&x, &v[1], DType::F64);
            tape.linear_residual(&y, &v[1], &x)
        });
    }
}
