//! Normed rows times several weights: what every block of a transformer begins with.

use super::{rmsnorm, weight_grad};
use crate::{
    DType, Kernels, Tape, Tensor, Var,
    kernel::{Weight, WeightGrad},
    tape::{Grads, Op, weight},
};

/// What the backward reads: `x [R, K]`, `gain [K]`, weights `[Nᵢ, K]`. Normed rows are computed again: a pass over
/// `x` is cheap beside the products.
struct NormLinear {
    x: Tensor,
    gain: Tensor,
    eps: f64,
    weights: Vec<Tensor>,
    dtype: DType,
}

/// Of the inputs, where the weights begin.
const FIRST_WEIGHT: usize = 2;

impl Op for NormLinear {
    /// `dwᵢ += dyᵢᵀ·normed`, `dnormed = dy·[w₀; w₁; …]`, and then as RMSNorm's.
    fn backward(&self, kernels: &dyn Kernels, dy: Tensor, grads: &mut Grads<'_>) {
        let (r, k) = (self.x.shape()[0], self.x.shape()[1]);
        let (mut normed, rstd) = rmsnorm::normed(kernels, &self.x, &self.gain, self.eps, self.dtype);
        let weights = FIRST_WEIGHT..FIRST_WEIGHT + self.weights.len();
        if weights.clone().any(|i| grads.wants(i)) {
            let mut dws: Vec<(Tensor, bool)> = weights.clone().map(|i| grads.sum(i)).collect();
            let mut views: Vec<WeightGrad> = dws.iter_mut().map(weight_grad).collect();
            kernels.linear_backward_weight(dy.slice(), normed.slice(), &mut views, r, k);
            weights.zip(dws).for_each(|(i, dw)| grads.give(i, dw.0));
        }
        if grads.wants(0) || grads.wants(1) {
            // The normed rows are of no more use: their gradient takes their place.
            let weights: Vec<Weight> = self.weights.iter().map(weight).collect();
            kernels.linear_backward_input(dy.slice(), &weights, normed.slice_mut(), r, k);
            rmsnorm::add_gradients(kernels, &self.x, &self.gain, &rstd, &normed, grads);
        }
    }
}

impl Tape<'_> {
    /// `rmsnorm(x)·[w₀; w₁; …]ᵀ`: `x [R, K]`, `gain [K]`, weights `[Nᵢ, K]` → `[R, ΣN]`, the columns of each weight
    /// side by side. Normed rows and the result are rounded to `dtype`.
    ///
    /// Costs `2R·ΣN·K` FLOPs, and twice that backward. Paper: <https://arxiv.org/abs/1910.07467>.
    ///
    /// # Panics
    /// If a last axis differs.
    #[track_caller]
    pub fn norm_linear(&mut self, x: &Var, gain: &Var, eps: f64, weights: &[&Var], dtype: DType) -> Var {
        let (normed, _) = rmsnorm::normed(self.kernels, x.value(), gain.value(), eps, dtype);
        let (r, k) = (normed.shape()[0], normed.shape()[1]);
        for w in weights {
            let shape = w.value().shape();
            assert!(shape.len() == 2 && shape[1] == k, "norm_linear: x [{r}, {k}], w {shape:?}");
        }
        let views: Vec<Weight> = weights.iter().map(|w| w.weight()).collect();
        let mut y = Tensor::unspecified(&[r, views.iter().map(|w| w.n).sum()], dtype);
        self.kernels.linear_forward(normed.slice(), &views, None, y.slice_mut(), r, k);
        let inputs = [&[x, gain], weights].concat();
        self.push(y, &inputs, || NormLinear {
            x: x.value().clone(),
            gain: gain.value().clone(),
            eps,
            weights: weights.iter().map(|w| w.value().clone()).collect(),
            dtype,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Reference,
        testing::{check_gradients, normal},
    };

    #[test]
    fn norm_linear_gradients() {
        for (r, k, ns) in [(1, 1, &[1][..]), (3, 5, &[2]), (7, 4, &[11, 3, 5]), (2, 33, &[1, 13])] {
            let mut inputs = vec![normal(&[r, k]), normal(&[k])];
            inputs.extend(ns.iter().map(|n| normal(&[*n, k])));
            check_gradients(&inputs, |tape, v| {
                let weights: Vec<&Var> = v[FIRST_WEIGHT..].iter().collect();
                tape.norm_linear(&v[0], &v[1], 1e-2, &weights, DType::F64)
            });
        }
    }

    #[test]
    fn one_weight_may_be_given_twice() {
        check_gradients(&[normal(&[3, 5]), normal(&[5]), normal(&[2, 5])], |tape, v| {
            tape.norm_linear(&v[0], &v[1], 1e-2, &[&v[2], &v[2]], DType::F64)
        });
    }

    /// As in fine-tuning: the columns of a frozen weight still carry the gradient to `x`.
    #[test]
    fn some_inputs_may_be_constant() {
        let frozen = [normal(&[5]), normal(&[2, 5])].map(Var::constant);
        check_gradients(&[normal(&[3, 5]), normal(&[4, 5])], |tape, v| {
            tape.norm_linear(&v[0], &frozen[0], 1e-2, &[&frozen[1], &v[1]], DType::F64)
        });
        check_gradients(&[normal(&[4, 5])], |tape, v| {
            let x = Var::constant(normal(&[3, 5]));
            tape.norm_linear(&x, &frozen[0], 1e-2, &[&v[0], &frozen[1]], DType::F64)
        });
    }

    #[test]
    fn it_is_a_norm_and_then_products() {
        let [x, gain, w0, w1] =
            [&[3, 5][..], &[5], &[2, 5], &[4, 5]].map(|shape| Var::constant(normal(shape)));
        let mut tape = Tape::inference(&Reference);
        let y = tape.norm_linear(&x, &gain, 1e-6, &[&w0, &w1], DType::F64).value().slice().to_f64();
        let normed = tape.rmsnorm(&x, &gain, 1e-6, DType::F64);
        let parts = [&w0, &w1].map(|w| tape.linear(&normed, w, DType::F64).value().slice().to_f64());
        for (row, y) in y.chunks_exact(2 + 4).enumerate() {
            assert_eq!(y[..2], parts[0][row * 2..][..2]);
            assert_eq!(y[2..], parts[1][row * 4..][..4]);
        }
    }
}
