//! Outputs and the logarithm of each softmax's denominator.

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
            gemm::{Operand, Panels, Product, gemm_alone, pack_alone},
            pool::{Pool, Shared},
            reduce::{max_of, tree_sum},
            round::Element,
        },
    },
};

/// Numbers that the softmax takes at a time.
const LANES: usize = 16;
#[track_caller]
pub(crate) fn forward<E: Activation>(
    pool: &Pool,
    inputs: Inputs<E>,
    segments: &[Segment],
    shape: AttentionShape,
    y: &mut [E],
    lse: &mut [f32],
) {
    let AttentionShape { n_heads, n_kv_heads, d_head } = shape;
    check(&inputs, segments, shape, y.len(), lse.len());
    if segments.iter().map(|s| s.n_queries).sum::<usize>() < lse.len() / n_heads {
        y.fill(E::store(0.0));
        lse.fill(0.0);
    }
    let group = n_heads / n_kv_heads;
    let (y, lse) = (Shared::new(y), Shared::new(lse));
    let pack_lens = |n_keys| [E::FORMAT.packed_len(d_head, n_keys), E::FORMAT.packed_len(n_keys, d_head)];
    let pack_head = |segment: &Segment, kv_head: usize, keys: &mut [u32], values: &mut [u32]| {
        let row = segment.k_start;
        let k = Operand::depth(E::slice(inputs.k.at(row, kv_head)), inputs.k.stride);
        pack_alone(E::FORMAT, k, d_head, segment.n_keys, keys);
        let v = Operand::outer(E::slice(inputs.v.at(row, kv_head)), inputs.v.stride);
        pack_alone(E::FORMAT, v, segment.n_keys, d_head, values);
    };
    let attend = |block: QueryBlock, keys: &[u32], values: &[u32]| {
        let n_keys = block.segment.n_keys;
        let keys = Panels::new(E::FORMAT, keys, d_head, n_keys);
        let values = Panels::new(E::FORMAT, values, n_keys, d_head);
        let pieces = |first: usize, n: usize| {
            let values = values.skip_words(E::FORMAT.words(first));
            std::iter::once(Piece { start: 0, n, keys: keys.columns(first, n), values })
        };
        // SAFETY: rows of other blocks and columns of other heads belong to other tasks.
        unsafe { forward_block(inputs.q, block, pieces, shape, y, Some(lse)) };
    };

    // A segment whose queries are one block needs its keys once: packed and used by one task, they stay in its cache.
    let (short, long): (Vec<Segment>, Vec<Segment>) =
        segments.iter().filter(|s| s.n_queries > 0).partition(|s| s.n_queries <= QUERY_BLOCK);
    pool.for_each(short.len() * n_kv_heads, |task| {
        let (segment, kv_head) = (short[task / n_kv_heads], task % n_kv_heads);
        let [k_len, v_len] = pack_lens(segment.n_keys);
        let mut packed = Buffer::<u32>::unspecified(k_len + v_len);
        let (keys, values) = packed.split_at_mut(k_len);
        pack_head(&segment, kv_head, keys, values);
        // One query, as when text is continued: its heads are the rows of one product.
        let n_heads = if segment.n_queries == 1 { group.min(QUERY_BLOCK) } else { 1 };
        for head in (kv_head * group..(kv_head + 1) * group).step_by(n_heads) {
            let n_heads = n_heads.min((kv_head + 1) * group - head);
            attend(
                QueryBlock { segment, head, n_heads, first: 0, n_queries: segment.n_queries },
                keys,
                values,
            );
        }
    });

    // Else the heads are packed first, and every block of queries is a task of its own.
    let mut starts = vec![0];
    for segment in &long {
        let [k_len, v_len] = pack_lens(segment.n_keys);
        starts.push(starts[starts.len() - 1] + n_kv_heads * (k_len + v_len));
    }
    let mut packed = Buffer::<u32>::unspecified(starts[long.len()]);
    let shared = Shared::new(&mut packed);
    let head_range = |task: usize| {
        let segment = task / n_kv_heads;
        let [k_len, v_len] = pack_lens(long[segment].n_keys);
        (starts[segment] + task % n_kv_heads * (k_len + v_len), k_len, v_len)
    };
    pool.for_each(long.len() * n_kv_heads, |task| {
        let (start, k_len, v_len) = head_range(task);
        // SAFETY: every head has a part of its own.
        let (keys, values) = unsafe { (shared.part(start, k_len), shared.part(start + k_len, v_len)) };
        pack_head(&long[task / n_kv_heads], task % n_kv_heads, keys, values);
    });
    let packed = &*packed;
    // Head by head, so that a thread stays with the keys that it has at hand; the last queries see the most keys and
    // come first, so that the end is shared out evenly.
    let n_blocks = long.iter().map(|s| s.n_queries.div_ceil(QUERY_BLOCK)).max().unwrap_or(0);
    pool.for_each(n_blocks * long.len() * n_heads, |task| {
        let (rest, from_last) = (task / n_blocks, task % n_blocks);
        let (segment, head) = (rest / n_heads, rest % n_heads);
        let (start, k_len, v_len) = head_range(segment * n_kv_heads + head / group);
        let segment = long[segment];
        let Some(block) = segment.n_queries.div_ceil(QUERY_BLOCK).checked_sub(from_last + 1) else { return };
        let first = block * QUERY_BLOCK;
        let n_queries = QUERY_BLOCK.min(segment.n_queries - first);
        let keys = &packed[start..][..k_len + v_len];
        attend(QueryBlock { segment, head, n_heads: 1, first, n_queries }, &keys[..k_len], &keys[k_len..]);
    });
}

/// Keys and values that lie together: some of a block of keys.
pub(super) struct Piece<'a> {
    /// First key, counted from the block's; begins a panel.
    pub(super) start: usize,
    /// Number of keys.
    pub(super) n: usize,
    pub(super) keys: Panels<'a>,
    /// From the first of them on.
    pub(super) values: Panels<'a>,
}

/// `pieces(first, n)` are those of the keys `first .. first + n`, in their order.
///
/// # Safety
/// Nobody else touches this block's rows and columns of `y` and `lse`.
pub(super) unsafe fn forward_block<'a, E: Activation, P: Iterator<Item = Piece<'a>>>(
    q: TypedRows<E>,
    block: QueryBlock,
    pieces: impl Fn(usize, usize) -> P,
    shape: AttentionShape,
    y: Shared<E>,
    lse: Option<Shared>,
) {
    let AttentionShape { n_heads, d_head, .. } = shape;
    let (m, width) =
        (block.n_queries * block.n_heads, KEY_BLOCK.min(block.n_visible().next_multiple_of(LANES)));
    let stride = if block.n_heads > 1 { q.head_stride } else { q.stride };
    let queries = Operand::depth(E::slice(q.at(block.row(), block.head)), stride);
    let mut scores = Buffer::<f32>::unspecified(m * width);
    let mut p = Buffer::<E>::unspecified(m * width);
    let mut mixed = Buffer::<f32>::unspecified(m * d_head);
    let mut running = [Running { max: f32::NEG_INFINITY, sum: 0.0 }; QUERY_BLOCK];
    for (first, n) in key_blocks(block.n_visible()) {
        let product = Product { format: E::FORMAT, m, k: d_head };
        for Piece { start, keys, .. } in pieces(first, n) {
            // SAFETY: `scores` holds rows of `width ≥ n`, and a piece lies within the block.
            unsafe { gemm_alone(product, queries, keys, scores.as_mut_ptr().add(start), width, false) };
        }
        for (i, running) in running.iter_mut().enumerate().take(m) {
            softmax_block(
                &mut scores[i * width..][..width],
                block.n_visible_of(block.query_and_head(i).0, first, n),
                scale(d_head),
                running,
                &mut mixed[i * d_head..][..d_head],
                &mut p[i * width..][..n.next_multiple_of(LANES)],
            );
        }
        for Piece { start, n, values, .. } in pieces(first, n) {
            let product = Product { format: E::FORMAT, m, k: E::FORMAT.whole_words(n) };
            let p = Operand::depth(E::slice(&p[start..]), width);
            // SAFETY: `mixed` holds m rows of d_head.
            unsafe { gemm_alone(product, p, values, mixed.as_mut_ptr(), d_head, first + start > 0) };
        }
    }
    for (i, running) in running.iter().enumerate().take(m) {
        let (query, head) = block.query_and_head(i);
        let row = block.row() + query;
        // SAFETY: this block's own, by the caller's promise.
        let y = unsafe { y.part((row * n_heads + head) * d_head, d_head) };
        finish_row(&mixed[i * d_head..][..d_head], running.sum.recip(), y);
        if let Some(lse) = lse {
            // SAFETY: as above.
            let lse = unsafe { lse.part(row * n_heads + head, 1) };
            lse[0] = running.max + libm::logf(running.sum);
        }
    }
}

/// The softmax of the keys passed so far.
#[derive(Clone, Copy)]
struct Running {
    /// Largest score.
    max: f32,
    /// Σ exp(score − max).
    sum: f32,
}

for_each_isa! {
    /// Turns one block of a query's scores into numerators `p`, 0 past `n_visible`, and brings what was mixed before
    /// to the same maximum. `scores` and `p` are whole vectors long.
    fn softmax_block<E: Element>(
        scores: &mut [f32],
        n_visible: usize,
        scale: f32,
        running: &mut Running,
        mixed: &mut [f32],
        p: &mut [E],
    ) {
        let (visible, hidden) = p.split_at_mut(n_visible.next_multiple_of(LANES));
        hidden.fill(E::store(0.0));
        if n_visible == 0 {
            return;
        }
        // The last vector is filled up with scores whose exponential is 0.
        let scores = &mut scores[..visible.len()];
        scores[n_visible..].fill(f32::NEG_INFINITY);
        let max = (max_of(scores) * scale).max(running.max);
        let mut lanes = [0.0f32; LANES];
        for (p, scores) in visible.as_chunks_mut::<LANES>().0.iter_mut().zip(scores.as_chunks::<LANES>().0) {
            for ((p, score), lane) in p.iter_mut().zip(scores).zip(&mut lanes) {
                let x = exp(score.mul_add(scale, -max));
                *lane += x;
                *p = E::store(x);
            }
        }
        if running.max == max {
            running.sum += tree_sum(lanes);
            return;
        }
        let correction = exp(running.max - max);
        running.sum = running.sum.mul_add(correction, tree_sum(lanes));
        if running.max != f32::NEG_INFINITY {
            for mixed in mixed.iter_mut() {
                *mixed *= correction;
            }
        }
        running.max = max;
    }
}
