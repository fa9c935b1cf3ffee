//! Causal attention with grouped queries, inside document boundaries.

use std::sync::Arc;

use super::statistics;
use crate::{
    Kernels, Tape, Tensor, Var,
    kernel::{AttentionShape, Rows, Segment},
    tape::{Grads, Op},
};

/// Exactly what the backward reads; the probabilities are computed again from `lse`.
struct Attention {
    qkv: Tensor,
    y: Tensor,
    lse: Tensor,
    segments: Arc<[Segment]>,
    shape: AttentionShape,
}

impl Op for Attention {
    /// With `p` the probabilities and `δ = Σ dy·y`: `dv = pᵀ·dy`, `ds = p·(dy·vᵀ − δ)/√D`, `dq = ds·k`,
    /// `dk = dsᵀ·q`. Paper: <https://arxiv.org/abs/2205.14135>, algorithm 4.
    fn backward(&self, kernels: &dyn Kernels, dy: Tensor, grads: &mut Grads<'_>) {
        let mut dqkv = grads.unspecified(0);
        kernels.attention_backward(
            self.qkv.slice(),
            self.y.slice(),
            self.lse.slice(),
            dy.slice(),
            &self.segments,
            self.shape,
            dqkv.slice_mut(),
        );
        grads.give(0, dqkv);
    }
}

impl Tape<'_> {
    /// `qkv [R, (H+2K)·D]` → `[R, H·D]`: each query attends to the keys of its own segment up to its own position,
    /// scaled by `1/√D`. Head `h` reads key/value head `h / (H/K)`. Rows of no segment become 0.
    ///
    /// Memory grows with T, never with T·T. Costs `2·H·D` FLOPs twice for every visible pair.
    /// Papers: <https://arxiv.org/abs/1706.03762>, <https://arxiv.org/abs/2305.13245>.
    ///
    /// # Panics
    /// If a shape disagrees, or a segment is not whole or reaches past the rows.
    #[track_caller]
    pub fn attention(&mut self, qkv: &Var, segments: &Arc<[Segment]>, shape: AttentionShape) -> Var {
        let rows = check(qkv, shape);
        for segment in segments.iter() {
            let whole = Segment::whole(segment.q_start, segment.n_queries);
            assert!(*segment == whole, "attention: {segment:?} has keys elsewhere: they need a cache");
        }
        let (stride, head_stride) = (shape.qkv_width(), shape.d_head);
        let part = |start| Rows { values: rows.slice().from(start), stride, head_stride };
        let (k, v) = (part(shape.q_width()), part(shape.q_width() + shape.kv_width()));
        let (y, lse) = mixed(self.kernels, part(0), k, v, segments, shape, rows);
        self.push(y.clone(), &[qkv], || Attention {
            qkv: rows.clone(),
            y,
            lse,
            segments: Arc::clone(segments),
            shape,
        })
    }

    /// As [`Tape::attention`], with the queries of `qkv` and the keys and values of a cache, `k` and `v` `[slots, K,
    /// capacity, D]`; a segment begins at the row of D numbers where its slot's first head does.
    ///
    /// # Panics
    /// If the tape records (no gradient flows through a cache), a shape disagrees, or a segment reaches past the
    /// rows.
    #[track_caller]
    pub fn attention_cached(
        &mut self,
        qkv: &Var,
        k: &Tensor,
        v: &Tensor,
        segments: &[Segment],
        shape: AttentionShape,
    ) -> Var {
        assert!(!self.is_recording(), "no gradient flows through a cache");
        let rows = check(qkv, shape);
        let &[_, n_kv_heads, capacity, d_head] = k.shape() else { panic!("attention: k {:?}", k.shape()) };
        assert!(
            (n_kv_heads, d_head) == (shape.n_kv_heads, shape.d_head) && k.shape() == v.shape(),
            "attention: k {:?}, v {:?}, {shape:?}",
            k.shape(),
            v.shape()
        );
        let q = Rows { values: rows.slice(), stride: shape.qkv_width(), head_stride: shape.d_head };
        let (stride, head_stride) = (shape.d_head, capacity * shape.d_head);
        let [k, v] = [k, v].map(|cache| Rows { values: cache.slice(), stride, head_stride });
        Var::constant(mixed(self.kernels, q, k, v, segments, shape, rows).0)
    }
}

/// The mix of values `[R, H·D]`, of the dtype of `qkv`, and `lse [R, H]`.
fn mixed(
    kernels: &dyn Kernels,
    q: Rows,
    k: Rows,
    v: Rows,
    segments: &[Segment],
    shape: AttentionShape,
    qkv: &Tensor,
) -> (Tensor, Tensor) {
    let r = qkv.shape()[0];
    let mut y = Tensor::unspecified(&[r, shape.q_width()], qkv.dtype());
    let mut lse = Tensor::unspecified(&[r, shape.n_heads], statistics(qkv.dtype()));
    kernels.attention_forward(q, k, v, segments, shape, y.slice_mut(), lse.slice_mut());
    (y, lse)
}

#[track_caller]
fn check(qkv: &Var, shape: AttentionShape) -> &Tensor {
    let rows = qkv.value();
    assert!(
        rows.shape().len() == 2 && rows.last_dim() == shape.qkv_width(),
        "attention: qkv {:?}, {shape:?}",
        rows.shape()
    );
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Reference,
        testing::{check_gradients, normal},
    };

    #[test]
    fn attention_gradients() {
        for (n_heads, n_kv_heads, d_head) in [(6, 2, 5), (3, 3, 4), (1, 1, 1)] {
            let shape = AttentionShape { n_heads, n_kv_heads, d_head };
            // Two documents, with rows between and after them that belong to none.
            let segments: Arc<[Segment]> = [Segment::whole(0, 4), Segment::whole(6, 7)].into();
            check_gradients(&[normal(&[14, shape.qkv_width()])], |tape, v| {
                tape.attention(&v[0], &segments, shape)
            });
        }
    }

    /// A prompt in the cache, the rest as queries: the same rows as all at once.
    #[test]
    fn a_cache_gives_the_same_rows() {
        let shape = AttentionShape { n_heads: 4, n_kv_heads: 2, d_head: 3 };
        let (r, n_cached) = (7, 5);
        let qkv = normal(&[r, shape.qkv_width()]);
        let rows = qkv.slice().to_f64();
        // The second of two slots, with room for one more token than it holds.
        let (slot_rows, capacity) = (shape.n_kv_heads * (r + 1), r + 1);
        let column = |from: usize| {
            let mut cache = vec![9.0; 2 * slot_rows * shape.d_head];
            for (i, row) in rows.chunks_exact(shape.qkv_width()).enumerate() {
                for (h, head) in row[from..][..shape.kv_width()].chunks_exact(shape.d_head).enumerate() {
                    let to = (slot_rows + h * capacity + i) * shape.d_head;
                    cache[to..to + shape.d_head].copy_from_slice(head);
                }
            }
            Tensor::from_f64(&[2, shape.n_kv_heads, capacity, shape.d_head], cache)
        };
        let (k, v) = (column(shape.q_width()), column(shape.q_width() + shape.kv_width()));
        let last = rows[n_cached * shape.qkv_width()..].to_vec();
        let last = Var::constant(Tensor::from_f64(&[r - n_cached, shape.qkv_width()], last));
        let segment = Segment { q_start: 0, n_queries: r - n_cached, k_start: slot_rows, n_keys: r };

        let mut tape = Tape::inference(&Reference);
        let whole = tape.attention(&Var::constant(qkv), &[Segment::whole(0, r)].into(), shape);
        let cached = tape.attention_cached(&last, &k, &v, &[segment], shape);
        let expected = &whole.value().slice().to_f64()[n_cached * shape.q_width()..];
        assert_eq!(cached.value().slice().to_f64(), expected);
    }

    #[test]
    #[should_panic(expected = "no gradient flows through a cache")]
    fn a_cache_has_no_gradient() {
        let shape = AttentionShape { n_heads: 1, n_kv_heads: 1, d_head: 2 };
        let mut tape = Tape::recording(&Reference);
        let qkv = tape.param(&normal(&[1, 6]), 0);
        let cache = normal(&[1, 1, 1, 2]);
        tape.attention_cached(&qkv, &cache, &cache, &[Segment::whole(0, 1)], shape);
    }
}
