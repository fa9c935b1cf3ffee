//! Gradients of queries, keys and values, with the probabilities computed again.

use super::{
    Activation, Inputs, KEY_BLOCK, QUERY_BLOCK, QueryBlock, TypedRows, check, finish_row, key_blocks, scale,
};
use crate::{
    arena::Buffer,
    isa::for_each_isa,
    kernel::{
        AttentionShape, Segment,
        cpu::{
            exp::exp,
            gemm::{Operand, Panels, Product, gemm_alone, pack_alone, row_stride},
            pool::{Pool, Shared},
            reduce::lane_sum,
            round::Element,
        },
    },
};

/// The same in the backward of long sequences, where the sums over queries would else be short.
const LONG_QUERY_BLOCK: usize = 96;
/// What the forward read and returned.
#[derive(Clone, Copy)]
pub(crate) struct Saved<'a, E> {
    pub(crate) qkv: &'a [E],
    pub(crate) y: &'a [E],
    pub(crate) lse: &'a [f32],
}

impl<'a, E: Activation> Saved<'a, E> {
    fn inputs(&self, shape: AttentionShape) -> Inputs<'a, E> {
        let strides = (shape.qkv_width(), shape.d_head);
        let rows = |from: usize| TypedRows::new(&self.qkv[from.min(self.qkv.len())..], strides);
        Inputs { q: rows(0), k: rows(shape.q_width()), v: rows(shape.q_width() + shape.kv_width()) }
    }
}

#[track_caller]
pub(crate) fn backward<E: Activation>(
    pool: &Pool,
    saved: Saved<E>,
    dy: &[E],
    segments: &[Segment],
    shape: AttentionShape,
    dqkv: &mut [E],
) {
    let n_rows = saved.lse.len() / shape.n_heads;
    let inputs = saved.inputs(shape);
    check(&inputs, segments, shape, saved.y.len(), saved.lse.len());
    assert!(
        saved.qkv.len() == n_rows * shape.qkv_width()
            && dqkv.len() == saved.qkv.len()
            && dy.len() == saved.y.len(),
        "attention: a gradient's length is not its value's"
    );
    assert!(
        segments.iter().all(|s| s.n_queries == s.n_keys && s.q_start == s.k_start),
        "attention: gradients do not flow through cached keys"
    );
    if segments.iter().map(|s| s.n_queries).sum::<usize>() < n_rows {
        dqkv.fill(E::store(0.0));
    }
    let dqkv = Shared::new(dqkv);
    pool.for_each(segments.len() * shape.n_kv_heads, |task| {
        let (segment, kv_head) = (segments[task / shape.n_kv_heads], task % shape.n_kv_heads);
        if segment.n_queries > 0 {
            // SAFETY: rows of other segments and columns of other heads belong to other tasks.
            unsafe { backward_head(&saved, &inputs, dy, segment, kv_head, shape, dqkv) };
        }
    });
}

/// All queries of the heads that share one key/value head of one segment.
///
/// # Safety
/// Nobody else touches the rows and columns of `dqkv` that belong to them.
unsafe fn backward_head<E: Activation>(
    saved: &Saved<E>,
    inputs: &Inputs<E>,
    dy: &[E],
    segment: Segment,
    kv_head: usize,
    shape: AttentionShape,
    dqkv: Shared<E>,
) {
    let AttentionShape { n_heads, n_kv_heads, d_head } = shape;
    let (format, n_keys, width) = (E::FORMAT, segment.n_keys, shape.qkv_width());
    let (row, col) = (segment.k_start, kv_head * d_head);
    let pack = |operand: Operand, k: usize, n: usize| {
        let mut words = Buffer::<u32>::unspecified(format.packed_len(k, n));
        pack_alone(format, operand, k, n, &mut words);
        words
    };
    let [k, v] = [&inputs.k, &inputs.v].map(|rows| E::slice(rows.at(row, kv_head)));
    let keys = pack(Operand::depth(k, width), d_head, n_keys);
    let values = pack(Operand::depth(v, width), d_head, n_keys);
    let key_rows = pack(Operand::outer(k, width), n_keys, d_head);
    let keys = Panels::new(format, &keys, d_head, n_keys);
    let values = Panels::new(format, &values, d_head, n_keys);
    let key_rows = Panels::new(format, &key_rows, n_keys, d_head);
    let mut dk = Buffer::<f32>::zeros(n_keys * d_head);
    let mut dv = Buffer::<f32>::zeros(n_keys * d_head);

    let block_len = if n_keys >= 8 * LONG_QUERY_BLOCK { LONG_QUERY_BLOCK } else { QUERY_BLOCK };
    let wide = row_stride(KEY_BLOCK.min(n_keys.next_multiple_of(2)));
    let [mut scores, mut dp] = [(); 2].map(|()| Buffer::<f32>::unspecified(block_len * wide));
    let [mut p, mut ds] = [(); 2].map(|()| Buffer::<E>::unspecified(block_len * wide));
    let [mut q_words, mut dy_words] =
        [(); 2].map(|()| Buffer::<u32>::unspecified(format.packed_len(block_len, d_head)));
    let mut dq = Buffer::<f32>::unspecified(block_len * d_head);
    let group = n_heads / n_kv_heads;
    for head in kv_head * group..(kv_head + 1) * group {
        for first_query in (0..segment.n_queries).step_by(block_len) {
            let m = block_len.min(segment.n_queries - first_query);
            let block = QueryBlock { segment, head, n_heads: 1, first: first_query, n_queries: m };
            let at_y = (block.row() * n_heads + head) * d_head;
            let (q, dy) = (E::slice(inputs.q.at(block.row(), head)), &dy[at_y..]);
            let words = format.packed_len(m, d_head);
            pack_alone(format, Operand::outer(q, width), m, d_head, &mut q_words[..words]);
            pack_alone(
                format,
                Operand::outer(E::slice(dy), n_heads * d_head),
                m,
                d_head,
                &mut dy_words[..words],
            );
            let q_panels = Panels::new(format, &q_words, m, d_head);
            let dy_panels = Panels::new(format, &dy_words, m, d_head);
            let mut rows = [RowOfBackward { lse: 0.0, delta: 0.0 }; LONG_QUERY_BLOCK];
            for (i, of_row) in rows.iter_mut().enumerate().take(m) {
                let at = at_y + i * n_heads * d_head;
                of_row.lse = saved.lse[(block.row() + i) * n_heads + head];
                of_row.delta = dot(&saved.y[at..][..d_head], &dy[i * n_heads * d_head..][..d_head]);
            }
            for (first, n) in key_blocks(block.n_visible()) {
                let over_d = Product { format, m, k: d_head };
                let (q, dy) = (Operand::depth(q, width), Operand::depth(E::slice(dy), n_heads * d_head));
                // SAFETY: `scores` and `dp` hold m rows of `wide ≥ n`.
                unsafe {
                    gemm_alone(over_d, q, keys.columns(first, n), scores.as_mut_ptr(), wide, false);
                    gemm_alone(over_d, dy, values.columns(first, n), dp.as_mut_ptr(), wide, false);
                }
                for (i, of_row) in rows.iter().enumerate().take(m) {
                    let at = i * wide;
                    softmax_block_backward(
                        &scores[at..][..n],
                        &dp[at..][..n],
                        block.n_visible_of(i, first, n),
                        scale(d_head),
                        *of_row,
                        &mut p[at..][..E::FORMAT.whole_words(n)],
                        &mut ds[at..][..E::FORMAT.whole_words(n)],
                    );
                }
                let over_keys = Product { format, m, k: E::FORMAT.whole_words(n) };
                let over_queries = Product { format, m: n, k: m };
                let key_rows = key_rows.skip_words(format.words(first));
                let (p, ds) = (E::slice(&p), E::slice(&ds));
                let at = first * d_head;
                // SAFETY: `dq` holds m rows of d_head, `dk` and `dv` n_keys of them.
                unsafe {
                    gemm_alone(
                        over_keys,
                        Operand::depth(ds, wide),
                        key_rows,
                        dq.as_mut_ptr(),
                        d_head,
                        first > 0,
                    );
                    gemm_alone(
                        over_queries,
                        Operand::outer(p, wide),
                        dy_panels,
                        dv[at..].as_mut_ptr(),
                        d_head,
                        true,
                    );
                    gemm_alone(
                        over_queries,
                        Operand::outer(ds, wide),
                        q_panels,
                        dk[at..].as_mut_ptr(),
                        d_head,
                        true,
                    );
                }
            }
            for i in 0..m {
                // SAFETY: this head's own columns, by the caller's promise.
                let out = unsafe { dqkv.part((block.row() + i) * width + head * d_head, d_head) };
                finish_row(&dq[i * d_head..][..d_head], 1.0, out);
            }
        }
    }
    for (sums, first) in [(&dk, shape.q_width()), (&dv, shape.q_width() + shape.kv_width())] {
        for i in 0..n_keys {
            // SAFETY: as above.
            let out = unsafe { dqkv.part((row + i) * width + first + col, d_head) };
            finish_row(&sums[i * d_head..][..d_head], 1.0, out);
        }
    }
}

/// What the backward knows of a query before it sees keys.
#[derive(Clone, Copy)]
struct RowOfBackward {
    lse: f32,
    /// Σ dy·y.
    delta: f32,
}

for_each_isa! {
    /// `p = exp(scale·score − lse)` and `ds = p·(dp − δ)·scale`; 0 past `n_visible`.
    fn softmax_block_backward<E: Element>(
        scores: &[f32],
        dp: &[f32],
        n_visible: usize,
        scale: f32,
        of_row: RowOfBackward,
        p: &mut [E],
        ds: &mut [E],
    ) {
        p[n_visible..].fill(E::store(0.0));
        ds[n_visible..].fill(E::store(0.0));
        let outputs = p[..n_visible].iter_mut().zip(&mut ds[..n_visible]);
        for ((score, dp), (p, ds)) in scores.iter().zip(dp).zip(outputs) {
            let x = exp(score.mul_add(scale, -of_row.lse));
            *p = E::store(x);
            *ds = E::store(x * (dp - of_row.delta) * scale);
        }
    }
}

for_each_isa! {
    fn dot<E: Element>(a: &[E], b: &[E]) -> f32 {
        let b = &b[..a.len()];
        lane_sum(a.len(), |i| a[i].load() * b[i].load())
    }
}
