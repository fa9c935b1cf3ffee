//! Root-mean-square normalisation of query and key heads.

use super::statistics;
use crate::{
    AttentionShape, Kernels, Tape, Tensor, Var,
    tape::{Grads, Op},
};

/// Exactly what the backward reads: `x [R, (H+2K)·D]`, gains `[D]`, `rstd [R, H+K]`.
struct HeadNorm {
    x: Tensor,
    q_gain: Tensor,
    k_gain: Tensor,
    rstd: Tensor,
    shape: AttentionShape,
}

impl Op for HeadNorm {
    /// In every query and key head with `x̂ = x·rstd` and `g = dy·gain`: `dx = rstd·(g − x̂·mean(g·x̂))`,
    /// `dgain += Σ dy·x̂`. The gradient of values passes.
    fn backward(&self, kernels: &dyn Kernels, dy: Tensor, grads: &mut Grads<'_>) {
        let mut d = dy;
        let (mut dq_gain, mut dk_gain) = (grads.take(1), grads.take(2));
        kernels.head_norm_backward(
            self.x.slice(),
            self.q_gain.slice(),
            self.k_gain.slice(),
            self.rstd.slice(),
            self.shape,
            d.slice_mut(),
            dq_gain.slice_mut(),
            dk_gain.slice_mut(),
        );
        grads.give(0, d);
        grads.give(1, dq_gain);
        grads.give(2, dk_gain);
    }
}

impl Tape<'_> {
    /// RMSNorm of every query and key head of `qkv [R, (H+2K)·D]` by itself, with the gains `q_gain` and `k_gain`
    /// `[D]`; values pass. The shape and the dtype stay. Paper: <https://arxiv.org/abs/2010.04245>.
    ///
    /// # Panics
    /// If a shape disagrees.
    #[track_caller]
    pub fn head_norm(
        &mut self,
        qkv: &Var,
        q_gain: &Var,
        k_gain: &Var,
        eps: f64,
        shape: AttentionShape,
    ) -> Var {
        let (x, q_gains, k_gains) = (qkv.value(), q_gain.value(), k_gain.value());
        assert!(
            x.last_dim() == shape.qkv_width()
                && q_gains.len() == shape.d_head
                && k_gains.len() == shape.d_head,
            "head_norm: qkv {:?}, gains {:?} and {:?}, {shape:?}",
            x.shape(),
            q_gains.shape(),
            k_gains.shape()
        );
        let n_normed = shape.n_heads + shape.n_kv_heads;
        let mut y = Tensor::unspecified(x.shape(), x.dtype());
        let mut rstd = Tensor::unspecified(&[x.shape()[0], n_normed], statistics(x.dtype()));
        self.kernels.head_norm_forward(
            x.slice(),
            q_gains.slice(),
            k_gains.slice(),
            eps,
            shape,
            y.slice_mut(),
            rstd.slice_mut(),
        );
        self.push(y, &[qkv, q_gain, k_gain], || HeadNorm {
            x: x.clone(),
            q_gain: q_gains.clone(),
            k_gain: k_gains.clone(),
            rstd,
            shape,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, normal};

    #[test]
    fn head_norm_gradients() {
        for (r, n_heads, n_kv_heads, d_head) in [(1, 1, 1, 1), (3, 6, 2, 5), (2, 3, 3, 64)] {
            let shape = AttentionShape { n_heads, n_kv_heads, d_head };
            let gain =
                |stream| Tensor::normal(&[d_head], 1.0, crate::DType::F64, &mut base::Rng::new(3, stream));
            // eps is large on purpose: near zero a tiny eps bends the curve faster than the step.
            check_gradients(&[normal(&[r, shape.qkv_width()]), gain(0), gain(1)], |tape, v| {
                tape.head_norm(&v[0], &v[1], &v[2], 1e-2, shape)
            });
        }
    }

    #[test]
    fn queries_and_keys_may_share_a_gain() {
        let shape = AttentionShape { n_heads: 4, n_kv_heads: 2, d_head: 3 };
        check_gradients(&[normal(&[2, shape.qkv_width()]), normal(&[3])], |tape, v| {
            tape.head_norm(&v[0], &v[1], &v[1], 1e-2, shape)
        });
    }
}
