//! Causal attention; see the file of the same name in `reference/`.
//!
//! A task owns one key/value head of one segment. Queries pass in blocks: scores of a block against the keys that
//! its last query sees are one matrix product, softmax runs along rows, and the mix of values is another
//! product. The backward computes the probabilities again from `lse`. Memory: a block of queries times the keys.

use std::cell::RefCell;

use super::{
    exp::exp,
    gemm::{Panels, Strided, gemm_alone, pack_alone, packed_len},
    pool::{Pool, Shared},
    reduce::lane_sum,
};
use crate::{
    isa::for_each_isa,
    kernel::{AttentionShape, Segment},
};

/// Queries that share one product with the keys: four tiles.
const QUERY_BLOCK: usize = 48;

/// What the forward read and returned.
#[derive(Clone, Copy)]
pub(crate) struct Saved<'a> {
    pub(crate) q: &'a [f32],
    pub(crate) k: &'a [f32],
    pub(crate) v: &'a [f32],
    pub(crate) y: &'a [f32],
    pub(crate) lse: &'a [f32],
}

/// A block of queries of one head.
struct QueryBlock {
    head: usize,
    /// First query of the block within its segment.
    first: usize,
    n_queries: usize,
    /// Keys that the last query of the block sees.
    n_visible: usize,
}

#[allow(clippy::too_many_arguments, reason = "sizes and buffers are arguments")]
#[track_caller]
pub(crate) fn forward(
    pool: &Pool,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    segments: &[Segment],
    shape: AttentionShape,
    y: &mut [f32],
    lse: &mut [f32],
) {
    check(&Saved { q, k, v, y, lse }, segments, shape);
    let AttentionShape { n_heads, n_kv_heads, d_head } = shape;
    let (width, kv_width) = (n_heads * d_head, n_kv_heads * d_head);
    let (y, lse) = (Shared::new(y), Shared::new(lse));
    pool.for_each(segments.len() * n_kv_heads, |task| {
        let (segment, kv_head) = (segments[task / n_kv_heads], task % n_kv_heads);
        if segment.n_queries == 0 {
            return;
        }
        let n_keys = segment.n_keys;
        let at_kv = segment.k_start * kv_width + kv_head * d_head;
        let lens = [packed_len(d_head, n_keys), packed_len(n_keys, d_head), QUERY_BLOCK * n_keys];
        with_scratch(lens, |[keys, values, scores]| {
            pack_alone(Strided::transposed(&k[at_kv..], kv_width), d_head, n_keys, keys);
            pack_alone(Strided::rows(&v[at_kv..], kv_width), n_keys, d_head, values);
            let (keys, values) = (Panels { values: keys, depth: d_head }, Panels { values, depth: n_keys });
            for_each_block(&segment, shape, kv_head, |block| {
                let (m, n) = (block.n_queries, block.n_visible);
                let row = segment.q_start + block.first;
                let at = row * width + block.head * d_head;
                // SAFETY: `scores` holds m·n; rows of other segments and columns of other heads belong to
                // other tasks, so nobody else touches these of `y` and `lse`.
                unsafe {
                    let queries = Strided::rows(&q[at..], width);
                    gemm_alone(m, n, d_head, queries, keys, scores.as_mut_ptr(), n, false);
                    for i in 0..m {
                        let visible = segment.n_visible(block.first + i);
                        let row_lse = softmax_row(&mut scores[i * n..][..n], visible, scale(d_head));
                        *lse.pointer((row + i) * n_heads + block.head) = row_lse;
                    }
                    gemm_alone(m, d_head, n, Strided::rows(scores, n), values, y.pointer(at), width, false);
                }
            });
        });
    });
}

#[allow(clippy::too_many_arguments, reason = "sizes and buffers are arguments")]
#[track_caller]
pub(crate) fn backward(
    pool: &Pool,
    saved: Saved,
    dy: &[f32],
    segments: &[Segment],
    shape: AttentionShape,
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
) {
    check(&saved, segments, shape);
    check_disjoint("keys", segments.iter().filter(|s| s.n_queries > 0).map(|s| (s.k_start, s.n_keys)));
    let Saved { q, k, v, y, lse } = saved;
    assert!(
        dy.len() == q.len() && dq.len() == q.len() && dk.len() == k.len() && dv.len() == k.len(),
        "attention: a gradient's length is not its value's"
    );
    let AttentionShape { n_heads, n_kv_heads, d_head } = shape;
    let (width, kv_width) = (n_heads * d_head, n_kv_heads * d_head);
    let (dq, dk, dv) = (Shared::new(dq), Shared::new(dk), Shared::new(dv));
    pool.for_each(segments.len() * n_kv_heads, |task| {
        let (segment, kv_head) = (segments[task / n_kv_heads], task % n_kv_heads);
        if segment.n_queries == 0 {
            return;
        }
        let n_keys = segment.n_keys;
        let at_kv = segment.k_start * kv_width + kv_head * d_head;
        let lens = [
            packed_len(d_head, n_keys),
            packed_len(d_head, n_keys),
            packed_len(n_keys, d_head),
            packed_len(QUERY_BLOCK, d_head),
            QUERY_BLOCK * n_keys,
            QUERY_BLOCK * n_keys,
        ];
        with_scratch(lens, |[keys, values, key_rows, block_rows, p, ds]| {
            pack_alone(Strided::transposed(&k[at_kv..], kv_width), d_head, n_keys, keys);
            pack_alone(Strided::transposed(&v[at_kv..], kv_width), d_head, n_keys, values);
            pack_alone(Strided::rows(&k[at_kv..], kv_width), n_keys, d_head, key_rows);
            let (keys, values) = (Panels { values: keys, depth: d_head }, Panels { values, depth: d_head });
            let key_rows = Panels { values: key_rows, depth: n_keys };
            for_each_block(&segment, shape, kv_head, |block| {
                let (m, n) = (block.n_queries, block.n_visible);
                let row = segment.q_start + block.first;
                let at = row * width + block.head * d_head;
                let (queries, dys) = (Strided::rows(&q[at..], width), Strided::rows(&dy[at..], width));
                let block_rows = &mut block_rows[..packed_len(m, d_head)];
                // SAFETY: `p` and `ds` hold m·n; segments share neither queries nor keys, and columns of other heads
                // belong to other tasks, so nobody else touches these of `dq`, `dk` and `dv`.
                unsafe {
                    gemm_alone(m, n, d_head, queries, keys, p.as_mut_ptr(), n, false);
                    gemm_alone(m, n, d_head, dys, values, ds.as_mut_ptr(), n, false);
                    for i in 0..m {
                        let head = at + i * width;
                        softmax_row_backward(
                            &mut p[i * n..][..n],
                            &mut ds[i * n..][..n],
                            segment.n_visible(block.first + i),
                            scale(d_head),
                            lse[(row + i) * n_heads + block.head],
                            &dy[head..][..d_head],
                            &y[head..][..d_head],
                        );
                    }
                    gemm_alone(m, d_head, n, Strided::rows(ds, n), key_rows, dq.pointer(at), width, true);
                    pack_alone(dys, m, d_head, block_rows);
                    let panels = Panels { values: block_rows, depth: m };
                    gemm_alone(
                        n,
                        d_head,
                        m,
                        Strided::transposed(p, n),
                        panels,
                        dv.pointer(at_kv),
                        kv_width,
                        true,
                    );
                    pack_alone(queries, m, d_head, block_rows);
                    let panels = Panels { values: block_rows, depth: m };
                    gemm_alone(
                        n,
                        d_head,
                        m,
                        Strided::transposed(ds, n),
                        panels,
                        dk.pointer(at_kv),
                        kv_width,
                        true,
                    );
                }
            });
        });
    });
}

#[track_caller]
fn check(saved: &Saved, segments: &[Segment], shape: AttentionShape) {
    let AttentionShape { n_heads, n_kv_heads, d_head } = shape;
    let (rows, kv_rows) = (saved.lse.len() / n_heads, saved.k.len() / (n_kv_heads * d_head));
    assert!(
        n_heads % n_kv_heads == 0
            && saved.q.len() == rows * n_heads * d_head
            && saved.y.len() == saved.q.len()
            && saved.v.len() == saved.k.len(),
        "attention: q {}, k {}, v {}, y {}, lse {}, {shape:?}",
        saved.q.len(),
        saved.k.len(),
        saved.v.len(),
        saved.y.len(),
        saved.lse.len()
    );
    for segment in segments {
        assert!(
            segment.n_queries <= segment.n_keys
                && segment.q_start + segment.n_queries <= rows
                && segment.k_start + segment.n_keys <= kv_rows,
            "attention: {segment:?} of {rows} queries and {kv_rows} keys"
        );
    }
    // Tasks write to the rows of their own segment.
    check_disjoint("queries", segments.iter().map(|s| (s.q_start, s.n_queries)));
}

/// Ranges of rows, each a start and a length, that tasks write at the same time.
#[track_caller]
fn check_disjoint(what: &str, ranges: impl Iterator<Item = (usize, usize)>) {
    let mut ranges: Vec<_> = ranges.filter(|(_, len)| *len > 0).collect();
    ranges.sort_unstable();
    let is_disjoint = ranges.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0);
    assert!(is_disjoint, "attention: segments share {what}");
}

/// Calls `f` for every block of queries of every head that reads `kv_head`.
fn for_each_block(segment: &Segment, shape: AttentionShape, kv_head: usize, mut f: impl FnMut(QueryBlock)) {
    let group = shape.n_heads / shape.n_kv_heads;
    for head in kv_head * group..(kv_head + 1) * group {
        for first in (0..segment.n_queries).step_by(QUERY_BLOCK) {
            let n_queries = QUERY_BLOCK.min(segment.n_queries - first);
            let n_visible = segment.n_visible(first + n_queries - 1);
            f(QueryBlock { head, first, n_queries, n_visible });
        }
    }
}

/// Buffers of the given lengths, of unspecified value, reused from task to task on this thread.
fn with_scratch<const N: usize>(lens: [usize; N], f: impl FnOnce([&mut [f32]; N])) {
    SCRATCH.with_borrow_mut(|scratch| {
        let len = lens.iter().sum();
        if scratch.len() < len {
            scratch.resize(len, 0.0);
        }
        let mut rest = scratch.as_mut_slice();
        f(lens.map(|len| rest.split_off_mut(..len).expect("the lengths sum to the buffer's")));
    });
}

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

fn scale(d_head: usize) -> f32 {
    (1.0 / (d_head as f64).sqrt()) as f32
}

for_each_isa! {
    /// Turns scores into probabilities in place, 0 past `n_visible`; returns the logarithm of the denominator.
    fn softmax_row(scores: &mut [f32], n_visible: usize, scale: f32) -> f32 {
        let (visible, hidden) = scores.split_at_mut(n_visible);
        hidden.fill(0.0);
        let mut max = [f32::NEG_INFINITY; 16];
        for chunk in visible.chunks(16) {
            for (max, score) in max.iter_mut().zip(chunk) {
                *max = max.max(*score);
            }
        }
        let max = max.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b)) * scale;
        for score in visible.iter_mut() {
            *score = exp(score.mul_add(scale, -max));
        }
        let sum = lane_sum(n_visible, |i| visible[i]);
        let inverse = 1.0 / sum;
        for score in visible.iter_mut() {
            *score *= inverse;
        }
        max + libm::logf(sum)
    }
}

for_each_isa! {
    /// In place: scores `p` become probabilities, `dp` becomes `ds = p·(dp − Σ dy·y)·scale`; 0 past `n_visible`.
    fn softmax_row_backward(
        p: &mut [f32],
        dp: &mut [f32],
        n_visible: usize,
        scale: f32,
        lse: f32,
        dy: &[f32],
        y: &[f32],
    ) {
        p[n_visible..].fill(0.0);
        dp[n_visible..].fill(0.0);
        let delta = lane_sum(dy.len(), |i| dy[i] * y[i]);
        for (p, dp) in p[..n_visible].iter_mut().zip(&mut dp[..n_visible]) {
            *p = exp(p.mul_add(scale, -lse));
            *dp = *p * (*dp - delta) * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Cpu, Kernels, Reference, Slice,
        testing::{Guarded, check_close, normal_f32},
    };

    /// Worst seen: 0.2 of this bound. A query that sees one key too many errs by 1e-2.
    const BOUND: f32 = 1e-5;

    fn whole(lens: &[usize]) -> Vec<Segment> {
        let start = |i: usize| lens[..i].iter().sum();
        (0..lens.len()).map(|i| Segment::whole(start(i), lens[i])).collect()
    }

    #[test]
    fn attention_agrees_with_the_reference() {
        let cached = Segment { q_start: 2, n_queries: 3, k_start: 1, n_keys: 40 };
        let cases: [(&[Segment], usize, usize); 6] = [
            (&[], 3, 3),
            (&whole(&[1]), 1, 1),
            (&whole(&[5, 1, 97]), 103, 103),
            (&whole(&[48, 49, 31]), 130, 129),
            (&[cached], 6, 43),
            (&[Segment { n_queries: 0, ..cached }, cached, Segment::whole(5, 0)], 5, 41),
        ];
        for (segments, rows, kv_rows) in cases {
            for (n_heads, n_kv_heads, d_head) in [(1, 1, 1), (6, 2, 5), (3, 3, 33), (4, 1, 16)] {
                let shape = AttentionShape { n_heads, n_kv_heads, d_head };
                let (n, kv_n) = (rows * n_heads * d_head, kv_rows * n_kv_heads * d_head);
                let (q, k, v) = (normal_f32(n, 1), normal_f32(kv_n, 2), normal_f32(kv_n, 3));
                let dy = normal_f32(n, 4);
                let run = |kernels: &dyn Kernels| {
                    let (mut y, mut lse) =
                        (Guarded::new(&vec![0.0; n]), Guarded::new(&vec![0.0; rows * n_heads]));
                    let mut dq = Guarded::new(&normal_f32(n, 5));
                    let (mut dk, mut dv) =
                        (Guarded::new(&normal_f32(kv_n, 6)), Guarded::new(&normal_f32(kv_n, 7)));
                    let (q, k, v, dy) = (Slice::F32(&q), Slice::F32(&k), Slice::F32(&v), Slice::F32(&dy));
                    kernels.attention_forward(q, k, v, segments, shape, y.slice_mut(), lse.slice_mut());
                    let saved = (y.checked().to_vec(), lse.checked().to_vec());
                    kernels.attention_backward(
                        q,
                        k,
                        v,
                        Slice::F32(&saved.0),
                        Slice::F32(&saved.1),
                        dy,
                        segments,
                        shape,
                        dq.slice_mut(),
                        dk.slice_mut(),
                        dv.slice_mut(),
                    );
                    [y, lse, dq, dk, dv].map(|buffer| buffer.checked().to_vec())
                };
                let (got, want) = (run(&Cpu::new(2)), run(&Reference));
                for (name, (got, want)) in ["y", "lse", "dq", "dk", "dv"].iter().zip(got.iter().zip(&want)) {
                    check_close(&format!("{name} {segments:?} {shape:?}"), got, want, BOUND);
                }
            }
        }
    }

    /// A query gives the same bits in a long prompt, alone against cached keys, and at another place in a batch.
    #[test]
    fn a_query_gives_the_same_bits_whatever_runs_with_it() {
        let shape = AttentionShape { n_heads: 4, n_kv_heads: 2, d_head: 24 };
        let (width, kv_width, n) = (96, 48, 131);
        let (q, k, v) = (normal_f32(n * width, 1), normal_f32(n * kv_width, 2), normal_f32(n * kv_width, 3));
        let run = |segments: &[Segment], q: &[f32], k: &[f32], v: &[f32]| {
            let mut y = vec![0.0; q.len()];
            let mut lse = vec![0.0; q.len() / shape.d_head];
            forward(&Pool::new(2), q, k, v, segments, shape, &mut y, &mut lse);
            (y, lse)
        };
        let (y, lse) = run(&whole(&[n]), &q, &k, &v);
        for (i, count) in [(0, 1), (17, 1), (130, 1), (40, 9), (47, 60)] {
            // The queries i .. i + count alone, behind 13 keys and 2 queries of somebody else.
            let seen = i + count;
            let mut keys = normal_f32(13 * kv_width, 8);
            keys.extend(&k[..seen * kv_width]);
            let mut values = normal_f32(13 * kv_width, 9);
            values.extend(&v[..seen * kv_width]);
            let mut queries = normal_f32(2 * width, 10);
            queries.extend(&q[i * width..seen * width]);
            let other = Segment { q_start: 0, n_queries: 2, k_start: 0, n_keys: 13 };
            let ours = Segment { q_start: 2, n_queries: count, k_start: 13, n_keys: seen };
            let (got, got_lse) = run(&[other, ours], &queries, &keys, &values);
            assert_eq!(got[2 * width..], y[i * width..seen * width], "queries {i}..{seen}");
            assert_eq!(got_lse[2 * 4..], lse[i * 4..seen * 4]);
        }
    }
}
