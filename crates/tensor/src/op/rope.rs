//! Rotary position embedding.

use std::sync::Arc;

use crate::{
    AttentionShape, Kernels, Tape, Tensor, Var,
    tape::{Grads, Op},
};

struct Rope {
    positions: Arc<[u32]>,
    cos: Tensor,
    sin: Tensor,
    shape: AttentionShape,
}

impl Op for Rope {
    /// A rotation's transpose is its inverse.
    fn backward(&self, kernels: &dyn Kernels, dy: Tensor, grads: &mut Grads<'_>) {
        let mut d = dy;
        kernels.rope_backward(d.slice_mut(), &self.positions, self.cos.slice(), self.sin.slice(), self.shape);
        grads.give(0, d);
    }
}

impl Tape<'_> {
    /// Turns channel pairs `(i, i + D/2)` of every query and key head of `qkv [R, (H+2K)·D]` by the angle
    /// `positions[r]·θ_i`, whose cosine and sine stand in `cos`, `sin` `[P, D/2]`. Values pass.
    ///
    /// In place if nobody else holds the value. Pairs are half a head apart, as in Llama and Qwen checkpoints of
    /// Hugging Face. Paper: <https://arxiv.org/abs/2104.09864>. Differs: the paper pairs neighbouring channels.
    ///
    /// # Panics
    /// If a position is not below P, or a shape disagrees.
    #[track_caller]
    pub fn rope(
        &mut self,
        qkv: Var,
        positions: &Arc<[u32]>,
        cos: &Tensor,
        sin: &Tensor,
        shape: AttentionShape,
    ) -> Var {
        assert!(
            qkv.value().shape() == [positions.len(), shape.qkv_width()] && 2 * cos.last_dim() == shape.d_head,
            "rope: qkv {:?}, {} positions, cos {:?}, {shape:?}",
            qkv.value().shape(),
            positions.len(),
            cos.shape()
        );
        let mut turned = qkv;
        let x = turned.value_mut().slice_mut();
        self.kernels.rope_forward(x, positions, cos.slice(), sin.slice(), shape);
        self.push(turned.value().clone(), &[&turned], || Rope {
            positions: Arc::clone(positions),
            cos: cos.clone(),
            sin: sin.clone(),
            shape,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Reference,
        testing::{check_gradients, dot, normal},
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
        let shape = AttentionShape { n_heads: 4, n_kv_heads: 2, d_head: 6 };
        let positions: Arc<[u32]> = [8, 0, 5, 1].into();
        check_gradients(&[normal(&[4, shape.qkv_width()])], |tape, v| {
            tape.rope(v[0].clone(), &positions, &cos, &sin, shape)
        });
    }

    /// Scores of turned queries and keys depend on the distance alone: catches a turn over the wrong axis.
    #[test]
    fn scores_depend_on_the_distance_alone() {
        let (cos, sin) = tables(50, 4);
        let shape = AttentionShape { n_heads: 1, n_kv_heads: 1, d_head: 8 };
        let qkv = Var::constant(normal(&[1, 24]));
        let turned = |position: u32| {
            let turned = Tape::inference(&Reference).rope(qkv.clone(), &[position].into(), &cos, &sin, shape);
            let values = turned.value().slice().to_f64();
            assert_eq!(values[16..], qkv.value().slice().to_f64()[16..], "values do not turn");
            [&values[..8], &values[8..16]].map(|head| Tensor::from_f64(&[8], head.to_vec()))
        };
        let score = |i: u32, j: u32| dot(&turned(i)[0], &turned(j)[1]);
        assert!((score(3, 1) - score(45, 43)).abs() < 1e-12);
        assert!((score(3, 1) - score(3, 2)).abs() > 1e-3);
    }

    #[test]
    fn it_turns_in_place_unless_the_value_is_shared() {
        let (cos, sin) = tables(2, 1);
        let shape = AttentionShape { n_heads: 1, n_kv_heads: 1, d_head: 2 };
        let address = |x: &Tensor| x.f32().as_ptr();
        let qkv = Var::constant(Tensor::zeros(&[1, 6], crate::DType::F32));
        let before = address(qkv.value());
        let turned = Tape::inference(&Reference).rope(qkv, &[1].into(), &cos, &sin, shape);
        assert_eq!(address(turned.value()), before);
        let again = Tape::inference(&Reference).rope(turned.clone(), &[1].into(), &cos, &sin, shape);
        assert_ne!(address(again.value()), before);
    }
}
