//! Causal attention with grouped queries, inside document boundaries.

use std::sync::Arc;

use crate::{
    Kernels, Tape, Tensor, Var,
    kernel::{AttentionShape, Segment},
    tape::{Grads, Op},
};

/// Exactly what the backward reads; the probabilities are computed again from `lse`.
struct Attention {
    q: Tensor,
    k: Tensor,
    v: Tensor,
    y: Tensor,
    lse: Tensor,
    segments: Arc<[Segment]>,
    shape: AttentionShape,
}

impl Op for Attention {
    /// With `p` the probabilities and `δ = Σ dy·y`: `dv = pᵀ·dy`, `ds = p·(dy·vᵀ − δ)/√D`, `dq = ds·k`,
    /// `dk = dsᵀ·q`. Paper: <https://arxiv.org/abs/2205.14135>, algorithm 4.
    fn backward(&self, kernels: &dyn Kernels, dy: &Tensor, grads: &mut Grads<'_>) {
        let mut dq = grads.take(0, self.q.shape());
        let mut dk = grads.take(1, self.k.shape());
        let mut dv = grads.take(2, self.v.shape());
        kernels.attention_backward(
            self.q.slice(),
            self.k.slice(),
            self.v.slice(),
            self.y.slice(),
            self.lse.slice(),
            dy.slice(),
            &self.segments,
            self.shape,
            dq.slice_mut(),
            dk.slice_mut(),
            dv.slice_mut(),
        );
        grads.put(0, dq);
        grads.put(1, dk);
        grads.put(2, dv);
    }
}

impl Tape<'_> {
    /// `q [R, H·D]`, `k`, `v [S, K·D]` → `[R, H·D]`: each query attends to the keys of its own segment up to its
    /// own position, scaled by `1/√D`. Head `h` reads key/value head `h / (H/K)`.
    ///
    /// Memory grows with T, never with T·T. Costs `2·H·D` FLOPs twice for every visible pair.
    /// Papers: <https://arxiv.org/abs/1706.03762>, <https://arxiv.org/abs/2305.13245>.
    ///
    /// # Panics
    /// If a shape disagrees or a segment reaches past the rows.
    #[track_caller]
    pub fn attention(
        &mut self,
        q: &Var,
        k: &Var,
        v: &Var,
        segments: &Arc<[Segment]>,
        shape: AttentionShape,
    ) -> Var {
        let r = q.value().shape()[0];
        let mut y = Tensor::zeros(q.value().shape(), q.value().dtype());
        let mut lse = Tensor::zeros(&[r, shape.n_heads], q.value().dtype());
        self.kernels.attention_forward(
            q.value().slice(),
            k.value().slice(),
            v.value().slice(),
            segments,
            shape,
            y.slice_mut(),
            lse.slice_mut(),
        );
        self.push(y.clone(), &[q, k, v], || Attention {
            q: q.value().clone(),
            k: k.value().clone(),
            v: v.value().clone(),
            y,
            lse,
            segments: Arc::clone(segments),
            shape,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, normal};

    #[test]
    fn attention_gradients() {
        let shape = AttentionShape { n_heads: 6, n_kv_heads: 2, d_head: 5 };
        // Two documents, with rows between them that belong to none.
        let segments: Arc<[Segment]> = [Segment::whole(0, 4), Segment::whole(6, 7)].into();
        let inputs = [normal(&[13, 30]), normal(&[13, 10]), normal(&[13, 10])];
        check_gradients(&inputs, |tape, v| tape.attention(&v[0], &v[1], &v[2], &segments, shape));
    }

    /// More keys than queries: what a cached prompt looks like.
    #[test]
    fn attention_gradients_with_earlier_keys() {
        let shape = AttentionShape { n_heads: 3, n_kv_heads: 3, d_head: 4 };
        let segments: Arc<[Segment]> = [Segment { q_start: 0, n_queries: 2, k_start: 1, n_keys: 8 }].into();
        let inputs = [normal(&[2, 12]), normal(&[9, 12]), normal(&[9, 12])];
        check_gradients(&inputs, |tape, v| tape.attention(&v[0], &v[1], &v[2], &segments, shape));
    }
}
