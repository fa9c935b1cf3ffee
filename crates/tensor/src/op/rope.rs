//! Rotary position embedding.

use std::sync::Arc;

use crate::{
    Kernels, Tape, Tensor, Var,
    tape::{Grads, Op},
};

struct Rope {
    positions: Arc<[u32]>,
    cos: Tensor,
    sin: Tensor,
    shape: Vec<usize>,
    d_head: usize,
}

impl Op for Rope {
    /// A rotation's transpose is its inverse.
    fn backward(&self, kernels: &dyn Kernels, dy: &Tensor, grads: &mut Grads<'_>) {
        grads.accumulate(0, &self.shape, |dx| {
            kernels.rope_backward(
                dy.slice(),
                &self.positions,
                self.cos.slice(),
                self.sin.slice(),
                dx,
                self.d_head,
            );
        });
    }
}

impl Tape<'_> {
    /// Turns channel pairs `(i, i + D/2)` of every head of `x [R, H·D]` by the angle `positions[r]·θ_i`, whose
    /// cosine and sine stand in `cos`, `sin` `[P, D/2]`.
    ///
    /// Pairs are half a head apart, as in Llama and Qwen checkpoints of Hugging Face.
    /// Paper: <https://arxiv.org/abs/2104.09864>. Differs: the paper pairs neighbouring channels.
    ///
    /// # Panics
    /// If a position is not below P, or a shape disagrees.
    #[track_caller]
    pub fn rope(&mut self, x: &Var, positions: &Arc<[u32]>, cos: &Tensor, sin: &Tensor) -> Var {
        let (value, d_head) = (x.value(), 2 * cos.last_dim());
        assert!(
            value.shape()[0] == positions.len() && value.last_dim().is_multiple_of(d_head),
            "rope: x {:?}, {} positions, d_head {d_head}",
            value.shape(),
            positions.len()
        );
        let mut y = Tensor::zeros(value.shape(), value.dtype());
        self.kernels.rope_forward(value.slice(), positions, cos.slice(), sin.slice(), y.slice_mut(), d_head);
        self.push(y, &[x], || Rope {
            positions: Arc::clone(positions),
            cos: cos.clone(),
            sin: sin.clone(),
            shape: value.shape().to_vec(),
            d_head,
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

    fn tables(n_positions: usize, half: usize) -> (Tensor, Tensor) {
        let angle = |i: usize| (i / half) as f64 * 10f64.powf(-((i % half) as f64) / half as f64);
        let table = |f: fn(f64) -> f64| {
            Tensor::from_f64(&[n_positions, half], (0..n_positions * half).map(|i| f(angle(i))).collect())
        };
        (table(f64::cos), table(f64::sin))
    }

    #[test]
    fn rope_gradients() {
        let (cos, sin) = tables(9, 3);
        let positions: Arc<[u32]> = [8, 0, 5, 1].into();
        check_gradients(&[normal(&[4, 2 * 6])], |tape, v| tape.rope(&v[0], &positions, &cos, &sin));
    }

    /// Scores of turned queries and keys depend on the distance alone: catches a turn over the wrong axis.
    #[test]
    fn scores_depend_on_the_distance_alone() {
        let (cos, sin) = tables(50, 4);
        let (q, k) = (Var::constant(normal(&[1, 8])), Var::constant(normal(&[1, 8])));
        let score = |i: u32, j: u32| {
            let mut tape = Tape::inference(&Reference);
            let a = tape.rope(&q, &[i].into(), &cos, &sin);
            let b = tape.rope(&k, &[j].into(), &cos, &sin);
            crate::testing::dot(a.value(), b.value())
        };
        assert!((score(3, 1) - score(45, 43)).abs() < 1e-12);
        assert!((score(3, 1) - score(3, 2)).abs() > 1e-3);
    }
}
