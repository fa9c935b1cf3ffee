//! A matrix product with a weight, without a bias; onto the residual stream if there is one.

use super::weight_grad;
use crate::{
    DType, Kernels, Tape, Tensor, Var,
    kernel::{Weight, WeightGrad},
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

/// Exactly what the backward reads: `x [R, K]` and weights `[Nᵢ, K]`.
struct Stacked {
    x: Tensor,
    weights: Vec<Tensor>,
}

impl Op for Stacked {
    /// `dx = dy·[w₀; w₁; …]`, `dwᵢ += dyᵢᵀ·x`.
    fn backward(&self, kernels: &dyn Kernels, dy: Tensor, grads: &mut Grads<'_>) {
        let (r, k) = (self.x.shape()[0], self.x.shape()[1]);
        let weights = 1..=self.weights.len();
        if weights.clone().any(|i| grads.wants(i)) {
            let mut dws: Vec<(Tensor, bool)> = weights.clone().map(|i| grads.sum(i)).collect();
            let mut views: Vec<WeightGrad> = dws.iter_mut().map(weight_grad).collect();
            kernels.linear_backward_weight(dy.slice(), self.x.slice(), &mut views, r, k);
            weights.zip(dws).for_each(|(i, dw)| grads.give(i, dw.0));
        }
        if grads.wants(0) {
            let mut dx = grads.unspecified(0);
            let weights: Vec<Weight> = self.weights.iter().map(weight).collect();
            kernels.linear_backward_input(dy.slice(), &weights, dx.slice_mut(), r, k);
            grads.give(0, dx);
        }
    }
}

impl Tape<'_> {
    /// `x·[w₀; w₁; …]ᵀ`: `x [R, K]`, weights `[Nᵢ, K]` → `[R, ΣN]`, the columns of each weight side by side, in one
    /// product; multiplied in the dtype of `x`, which the result has too.
    ///
    /// # Panics
    /// If a last axis differs.
    #[track_caller]
    pub fn linear_stacked(&mut self, x: &Var, weights: &[&Var]) -> Var {
        let n: usize = weights.iter().map(|w| sizes(x, w)[1]).sum();
        let (r, k) = (x.value().shape()[0], x.value().last_dim());
        let mut y = Tensor::unspecified(&[r, n], x.value().dtype());
        let views: Vec<Weight> = weights.iter().map(|w| w.weight()).collect();
        self.kernels.linear_forward(x.value().slice(), &views, None, y.slice_mut(), r, k);
        let inputs = [&[x], weights].concat();
        self.push(y, &inputs, || Stacked {
            x: x.value().clone(),
            weights: weights.iter().map(|w| w.value().clone()).collect(),
        })
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
    fn stacked_gradients() {
        for (r, k, ns) in [(1, 1, &[1][..]), (3, 5, &[2, 4]), (7, 4, &[11, 3, 5])] {
            let mut inputs = vec![normal(&[r, k])];
            inputs.extend(ns.iter().map(|n| normal(&[*n, k])));
            check_gradients(&inputs, |tape, v| {
                tape.linear_stacked(&v[0], &v[1..].iter().collect::<Vec<_>>())
            });
        }
        let frozen = Var::constant(normal(&[2, 5]));
        check_gradients(&[normal(&[3, 5]), normal(&[4, 5])], |tape, v| {
            tape.linear_stacked(&v[0], &[&frozen, &v[1]])
        });
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
