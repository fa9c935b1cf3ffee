//! Attention with grouped queries, inside document boundaries.

use std::sync::Arc;

use super::statistics;
use crate::{
    Kernels, KvPage, PagedSegments, Tape, Tensor, Var,
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
    /// `qkv [R, (H+2K)·D]` → `[R, H·D]`: each query attends to the keys of its own segment, in a causal one up to its
    /// own position, scaled by `1/√D`. Head `h` reads key/value head `h / (H/K)`. Rows of no segment become 0.
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
            assert!(segment.is_whole(), "attention: {segment:?} has keys elsewhere: they need pages");
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

    /// As [`Tape::attention`], with keys and values in pages: those of the rows of `qkv` are written there first. The
    /// op's own [`Kernels::kv_words`] of every page begin at word `at`.
    ///
    /// # Panics
    /// If the tape records (no gradient flows through pages), a shape disagrees, or a page is missing or too small.
    #[track_caller]
    pub fn attention_paged(
        &mut self,
        qkv: &Var,
        pages: &mut [KvPage],
        at: usize,
        segments: &PagedSegments,
        shape: AttentionShape,
    ) -> Var {
        assert!(!self.is_recording(), "no gradient flows through pages");
        let rows = check(qkv, shape);
        let mut y = Tensor::unspecified(&[rows.shape()[0], shape.q_width()], rows.dtype());
        self.kernels.attention_paged(rows.slice(), pages, at, segments, shape, y.slice_mut());
        Var::constant(y)
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
        DType, PAGE_LEN, PagedSegment, Reference,
        testing::{check_gradients, normal},
    };

    #[test]
    fn attention_gradients() {
        for (n_heads, n_kv_heads, d_head) in [(6, 2, 5), (3, 3, 4), (1, 1, 1)] {
            let shape = AttentionShape { n_heads, n_kv_heads, d_head };
            // Two documents, with rows between and after them that belong to none.
            for second in [Segment::whole(6, 7), Segment::full(6, 7)] {
                let segments: Arc<[Segment]> = [Segment::whole(0, 4), second].into();
                check_gradients(&[normal(&[14, shape.qkv_width()])], |tape, v| {
                    tape.attention(&v[0], &segments, shape)
                });
            }
        }
    }

    /// A prompt in pages, the rest as queries, two ops in the same pages: the same rows as all at once.
    #[test]
    fn pages_give_the_same_rows() {
        let shape = AttentionShape { n_heads: 4, n_kv_heads: 2, d_head: 3 };
        let (r, n_before) = (PAGE_LEN + 7, PAGE_LEN + 5);
        let words = Reference.kv_words(shape, DType::F64);
        let mut pages: Vec<KvPage> = (0..3).map(|_| KvPage::new(2 * words)).collect();
        let inputs = [normal(&[r, shape.qkv_width()]), normal(&[r, shape.qkv_width()]).reshaped(&[r, 24])];
        for part in [0..n_before, n_before..r] {
            let (n_queries, n_keys) = (part.len(), part.end);
            let pages_of = if n_keys > PAGE_LEN { vec![2, 0] } else { vec![2] };
            let segment = PagedSegment { q_start: 0, n_queries, n_keys, pages: pages_of };
            let segments = PagedSegments::new(vec![segment]);
            for (op, qkv) in inputs.iter().enumerate() {
                let whole = Tape::inference(&Reference).attention(
                    &Var::constant(qkv.clone()),
                    &[Segment::whole(0, r)].into(),
                    shape,
                );
                let rows = qkv.slice().to_f64()[part.start * 24..part.end * 24].to_vec();
                let rows = Var::constant(Tensor::from_f64(&[n_queries, 24], rows));
                let mut tape = Tape::inference(&Reference);
                let got = tape.attention_paged(&rows, &mut pages, op * words, &segments, shape);
                let want = &whole.value().slice().to_f64()[part.start * 12..part.end * 12];
                assert_eq!(got.value().slice().to_f64(), want, "op {op}, rows {part:?}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "no gradient flows through pages")]
    fn pages_have_no_gradient() {
        let shape = AttentionShape { n_heads: 1, n_kv_heads: 1, d_head: 2 };
        let mut tape = Tape::recording(&Reference);
        let qkv = tape.param(&normal(&[1, 6]), 0);
        tape.attention_paged(&qkv, &mut [], 0, &PagedSegments::default(), shape);
    }
}
