//! Causal attention; see the file of the same name in `reference/`.
//!
//! Keys and values are packed once for each head; then queries pass in blocks, and keys within each in blocks at
//! fixed places: scores are a product, the running softmax rescales what was mixed so far, and the mix of
//! values goes on as another product. A query's result depends on its own keys alone. The backward computes the
//! probabilities again from `lse`. Memory: a block of queries times a block of keys for each thread.
//! Paper: <https://arxiv.org/abs/2205.14135>.

use half::bf16;

use super::{
    exp::exp,
    gemm::{Format, Operand, Panels, Product, gemm_alone, pack_alone},
    pool::{Pool, Shared},
    reduce::{lane_sum, max_of, tree_sum},
    round::Element,
};
use crate::{
    Slice,
    arena::Buffer,
    isa::for_each_isa,
    kernel::{AttentionShape, Segment},
};

/// Queries that share a product with the keys: whole tiles of every instruction set.
const QUERY_BLOCK: usize = 48;
/// The same in the backward of long sequences, where the sums over queries would else be short.
const LONG_QUERY_BLOCK: usize = 96;
/// Numbers that the softmax takes at a time.
const LANES: usize = 16;
/// Keys of a block: whole panels. Where blocks begin is part of the result's bits.
const KEY_BLOCK: usize = 256;

/// An element that attention is computed on, as the products see it.
pub(crate) trait Activation: Element {
    const FORMAT: Format;
    fn slice(x: &[Self]) -> Slice<'_>;
}

impl Activation for f32 {
    const FORMAT: Format = Format::F32;

    fn slice(x: &[Self]) -> Slice<'_> {
        Slice::F32(x)
    }
}

impl Activation for bf16 {
    const FORMAT: Format = Format::Bf16;

    fn slice(x: &[Self]) -> Slice<'_> {
        Slice::Bf16(x)
    }
}

/// Heads of rows; see [`crate::kernel::Rows`].
#[derive(Clone, Copy)]
pub(crate) struct TypedRows<'a, E> {
    values: &'a [E],
    stride: usize,
    head_stride: usize,
}

impl<'a, E: Activation> TypedRows<'a, E> {
    /// `strides` from row to row and from head to head.
    pub(crate) fn new(values: &'a [E], (stride, head_stride): (usize, usize)) -> Self {
        Self { values, stride, head_stride }
    }

    /// From this head of this row on.
    fn at(&self, row: usize, head: usize) -> &'a [E] {
        &self.values[(row * self.stride + head * self.head_stride).min(self.values.len())..]
    }

    #[track_caller]
    fn check(&self, what: &str, rows: usize, n_heads: usize, d_head: usize) {
        let last_head = (n_heads - 1) * self.head_stride;
        let end = if rows == 0 { 0 } else { (rows - 1) * self.stride + last_head + d_head };
        assert!(
            end <= self.values.len(),
            "attention: {rows} rows of {what} reach {end} of {}",
            self.values.len()
        );
    }
}

/// Some queries of one head.
#[derive(Clone, Copy)]
struct QueryBlock {
    segment: Segment,
    head: usize,
    /// First query of the block within its segment.
    first: usize,
    n_queries: usize,
}

impl QueryBlock {
    /// Keys that the last query of the block sees.
    fn n_visible(&self) -> usize {
        self.segment.n_visible(self.first + self.n_queries - 1)
    }

    /// Row of the first query.
    fn row(&self) -> usize {
        self.segment.q_start + self.first
    }

    /// How many of the keys `first .. first + n` the query `i` of the block sees.
    fn n_visible_of(&self, i: usize, first: usize, n: usize) -> usize {
        self.segment.n_visible(self.first + i).saturating_sub(first).min(n)
    }
}

/// The blocks of keys that some query of the block sees: where each begins, and how many keys of it are needed.
fn key_blocks(n_visible: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n_visible).step_by(KEY_BLOCK).map(move |first| (first, KEY_BLOCK.min(n_visible - first)))
}

/// Inputs of the forward.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a, E> {
    pub(crate) q: TypedRows<'a, E>,
    pub(crate) k: TypedRows<'a, E>,
    pub(crate) v: TypedRows<'a, E>,
}

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
        // SAFETY: rows of other blocks and columns of other heads belong to other tasks.
        unsafe { forward_block(&inputs, block, keys, values, shape, y, lse) };
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
        for head in kv_head * group..(kv_head + 1) * group {
            attend(QueryBlock { segment, head, first: 0, n_queries: segment.n_queries }, keys, values);
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
        attend(QueryBlock { segment, head, first, n_queries }, &keys[..k_len], &keys[k_len..]);
    });
}

/// # Safety
/// Nobody else touches this block's rows and columns of `y` and `lse`.
unsafe fn forward_block<E: Activation>(
    inputs: &Inputs<E>,
    block: QueryBlock,
    keys: Panels,
    values: Panels,
    shape: AttentionShape,
    y: Shared<E>,
    lse: Shared,
) {
    let AttentionShape { n_heads, d_head, .. } = shape;
    let (m, width) = (block.n_queries, KEY_BLOCK.min(block.n_visible().next_multiple_of(LANES)));
    let q = inputs.q.at(block.row(), block.head);
    let queries = Operand::depth(E::slice(q), inputs.q.stride);
    let mut scores = Buffer::<f32>::unspecified(m * width);
    let mut p = Buffer::<E>::unspecified(m * width);
    let mut mixed = Buffer::<f32>::unspecified(m * d_head);
    let mut running = [Running { max: f32::NEG_INFINITY, sum: 0.0 }; QUERY_BLOCK];
    for (first, n) in key_blocks(block.n_visible()) {
        let product = Product { format: E::FORMAT, m, k: d_head };
        // SAFETY: `scores` holds rows of `width ≥ n`.
        unsafe { gemm_alone(product, queries, keys.columns(first, n), scores.as_mut_ptr(), width, false) };
        for (i, running) in running.iter_mut().enumerate().take(m) {
            softmax_block(
                &mut scores[i * width..][..width],
                block.n_visible_of(i, first, n),
                scale(d_head),
                running,
                &mut mixed[i * d_head..][..d_head],
                &mut p[i * width..][..n.next_multiple_of(LANES)],
            );
        }
        let values = values.skip_words(E::FORMAT.words(first));
        let product = Product { format: E::FORMAT, m, k: E::FORMAT.whole_words(n) };
        // SAFETY: `mixed` holds m rows of d_head.
        unsafe {
            gemm_alone(
                product,
                Operand::depth(E::slice(&p), width),
                values,
                mixed.as_mut_ptr(),
                d_head,
                first > 0,
            );
        }
    }
    for (i, running) in running.iter().enumerate().take(m) {
        let row = block.row() + i;
        // SAFETY: this block's own, by the caller's promise.
        let (y, lse) = unsafe {
            (y.part((row * n_heads + block.head) * d_head, d_head), lse.part(row * n_heads + block.head, 1))
        };
        finish_row(&mixed[i * d_head..][..d_head], running.sum.recip(), y);
        lse[0] = running.max + libm::logf(running.sum);
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

for_each_isa! {
    fn finish_row<E: Element>(mixed: &[f32], inverse: f32, y: &mut [E]) {
        for (y, mixed) in y.iter_mut().zip(mixed) {
            *y = E::store(mixed * inverse);
        }
    }
}

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
    // Not a multiple of 1 KiB: the products over queries read down the columns.
    let wide = KEY_BLOCK.min(n_keys.next_multiple_of(2)) + 16;
    let [mut scores, mut dp] = [(); 2].map(|()| Buffer::<f32>::unspecified(block_len * wide));
    let [mut p, mut ds] = [(); 2].map(|()| Buffer::<E>::unspecified(block_len * wide));
    let [mut q_words, mut dy_words] =
        [(); 2].map(|()| Buffer::<u32>::unspecified(format.packed_len(block_len, d_head)));
    let mut dq = Buffer::<f32>::unspecified(block_len * d_head);
    let group = n_heads / n_kv_heads;
    for head in kv_head * group..(kv_head + 1) * group {
        for first_query in (0..segment.n_queries).step_by(block_len) {
            let m = block_len.min(segment.n_queries - first_query);
            let block = QueryBlock { segment, head, first: first_query, n_queries: m };
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

fn scale(d_head: usize) -> f32 {
    (1.0 / (d_head as f64).sqrt()) as f32
}

#[track_caller]
fn check<E: Activation>(
    inputs: &Inputs<E>,
    segments: &[Segment],
    shape: AttentionShape,
    y_len: usize,
    lse_len: usize,
) {
    let AttentionShape { n_heads, n_kv_heads, .. } = shape;
    let rows = lse_len / n_heads;
    assert!(
        n_heads.is_multiple_of(n_kv_heads) && y_len == rows * shape.q_width() && lse_len == rows * n_heads,
        "attention: y {y_len}, lse {lse_len}, {shape:?}"
    );
    inputs.q.check("queries", rows, n_heads, shape.d_head);
    let kv_rows = segments.iter().map(|s| s.k_start + s.n_keys).max().unwrap_or(0);
    inputs.k.check("keys", kv_rows, n_kv_heads, shape.d_head);
    inputs.v.check("values", kv_rows, n_kv_heads, shape.d_head);
    for segment in segments {
        assert!(
            segment.n_queries <= segment.n_keys && segment.q_start + segment.n_queries <= rows,
            "attention: {segment:?} of {rows} queries"
        );
    }
    // Tasks write to the rows of their own segment.
    let mut ranges: Vec<_> =
        segments.iter().filter(|s| s.n_queries > 0).map(|s| (s.q_start, s.n_queries)).collect();
    ranges.sort_unstable();
    let is_disjoint = ranges.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0);
    assert!(is_disjoint, "attention: segments share queries");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Cpu, Kernels, Reference,
        kernel::Rows,
        testing::{Guarded, check_close, normal_bf16, normal_f32, widen},
    };

    /// Worst seen: 0.2 of this bound. A query that sees one key too many errs by 1e-2.
    const BOUND: f32 = 1e-5;
    /// The same in bf16: results and probabilities are rounded to eight bits.
    const BOUND_BF16: f32 = 1.5e-2;

    fn whole(lens: &[usize]) -> Vec<Segment> {
        let start = |i: usize| lens[..i].iter().sum();
        (0..lens.len()).map(|i| Segment::whole(start(i), lens[i])).collect()
    }

    const SHAPES: [(usize, usize, usize); 5] = [(1, 1, 1), (6, 2, 5), (3, 3, 33), (4, 1, 16), (2, 1, 64)];

    /// `y`, `lse` and the gradient of qkv, widened.
    fn run<E: Activation + crate::testing::Element>(
        kernels: &dyn Kernels,
        qkv: &[E],
        dy: &[E],
        segments: &[Segment],
        shape: AttentionShape,
    ) -> [Vec<f32>; 3]
    where
        Guarded<E>: Buffered,
    {
        let rows = dy.len() / shape.q_width();
        let from = |start: usize| Rows {
            values: E::slice(&qkv[start.min(qkv.len())..]),
            stride: shape.qkv_width(),
            head_stride: shape.d_head,
        };
        let (q, k, v) = (from(0), from(shape.q_width()), from(shape.q_width() + shape.kv_width()));
        let mut y = Guarded::new(&vec![<E as Element>::store(7.0); dy.len()]);
        let mut lse = Guarded::new(&vec![7.0f32; rows * shape.n_heads]);
        let mut dqkv = Guarded::new(&vec![<E as Element>::store(7.0); qkv.len()]);
        kernels.attention_forward(q, k, v, segments, shape, y.view(), lse.slice_mut());
        let (saved_y, saved_lse) = (y.values(), lse.checked().to_vec());
        let typed: Vec<E> = saved_y.iter().map(|y| E::store(*y)).collect();
        let saved_lse_slice = Slice::F32(&saved_lse);
        kernels.attention_backward(
            E::slice(qkv),
            E::slice(&typed),
            saved_lse_slice,
            E::slice(dy),
            segments,
            shape,
            dqkv.view(),
        );
        [saved_y, saved_lse, dqkv.values()]
    }

    /// A guarded buffer of any activations.
    trait Buffered {
        fn view(&mut self) -> crate::SliceMut<'_>;
        fn values(&self) -> Vec<f32>;
    }

    impl Buffered for Guarded<f32> {
        fn view(&mut self) -> crate::SliceMut<'_> {
            self.slice_mut()
        }
        fn values(&self) -> Vec<f32> {
            self.checked().to_vec()
        }
    }

    impl Buffered for Guarded<bf16> {
        fn view(&mut self) -> crate::SliceMut<'_> {
            self.slice_mut()
        }
        fn values(&self) -> Vec<f32> {
            widen(self.checked())
        }
    }

    #[test]
    fn attention_agrees_with_the_reference() {
        let cases: [(Vec<Segment>, usize); 6] = [
            (vec![], 3),
            (whole(&[1]), 1),
            (whole(&[5, 1, 97]), 103),
            (whole(&[48, 49, 31]), 130),
            (vec![Segment::whole(2, 40), Segment::whole(45, 0)], 47),
            (whole(&[257, 2]), 259),
        ];
        for (segments, rows) in cases {
            for (n_heads, n_kv_heads, d_head) in SHAPES {
                let shape = AttentionShape { n_heads, n_kv_heads, d_head };
                let (n, n_y) = (rows * shape.qkv_width(), rows * shape.q_width());
                let what = |part: &str| format!("{part} {segments:?} {shape:?}");
                let (qkv, dy) = (normal_f32(n, 1), normal_f32(n_y, 2));
                let (got, want) = (
                    run(&Cpu::new(2), &qkv, &dy, &segments, shape),
                    run(&Reference, &qkv, &dy, &segments, shape),
                );
                for (name, (got, want)) in ["y", "lse", "dqkv"].iter().zip(got.iter().zip(&want)) {
                    check_close(&what(name), got, want, BOUND);
                }
                let (qkv, dy) = (normal_bf16(n, 1), normal_bf16(n_y, 2));
                let (got, want) = (
                    run(&Cpu::new(2), &qkv, &dy, &segments, shape),
                    run(&Reference, &qkv, &dy, &segments, shape),
                );
                for (name, (got, want)) in ["y", "lse", "dqkv"].iter().zip(got.iter().zip(&want)) {
                    check_close(&what(name), got, want, BOUND_BF16);
                }
            }
        }
    }

    /// Longer than every block of queries and keys, in both directions.
    #[test]
    fn long_attention_agrees_with_the_reference() {
        let shape = AttentionShape { n_heads: 2, n_kv_heads: 1, d_head: 8 };
        let segments = [Segment::whole(0, 901)];
        let (qkv, dy) = (normal_f32(901 * shape.qkv_width(), 1), normal_f32(901 * shape.q_width(), 2));
        let (got, want) =
            (run(&Cpu::new(2), &qkv, &dy, &segments, shape), run(&Reference, &qkv, &dy, &segments, shape));
        for (got, want) in got.iter().zip(&want) {
            check_close("long", got, want, BOUND);
        }
    }

    /// A query gives the same bits in a long prompt, alone against cached keys, and at another place in a batch.
    fn check_bits<E: Activation + PartialEq + std::fmt::Debug>(normal: impl Fn(usize, u64) -> Vec<E>) {
        let shape = AttentionShape { n_heads: 4, n_kv_heads: 2, d_head: 24 };
        let (width, kv_width, n) = (96, 48, 531);
        let (q, k, v) = (normal(n * width, 1), normal(n * kv_width, 2), normal(n * kv_width, 3));
        let run = |n_threads: usize, segments: &[Segment], q: &[E], k: &[E], v: &[E]| {
            let mut y = vec![E::store(0.0); q.len()];
            let mut lse = vec![0.0; q.len() / shape.d_head];
            let rows = |values, width| TypedRows::new(values, (width, shape.d_head));
            let inputs = Inputs { q: rows(q, width), k: rows(k, kv_width), v: rows(v, kv_width) };
            forward(&Pool::new(n_threads), inputs, segments, shape, &mut y, &mut lse);
            (y, lse)
        };
        let (y, lse) = run(1, &whole(&[n]), &q, &k, &v);
        for (i, count) in [(0, 1), (17, 1), (130, 1), (40, 9), (47, 60), (256, 1), (530, 1), (250, 270)] {
            // The queries i .. i + count alone, behind 13 keys and 2 queries of somebody else.
            let seen = i + count;
            let mut keys = normal(13 * kv_width, 8);
            keys.extend(&k[..seen * kv_width]);
            let mut values = normal(13 * kv_width, 9);
            values.extend(&v[..seen * kv_width]);
            let mut queries = normal(2 * width, 10);
            queries.extend(&q[i * width..seen * width]);
            let other = Segment { q_start: 0, n_queries: 2, k_start: 0, n_keys: 13 };
            let ours = Segment { q_start: 2, n_queries: count, k_start: 13, n_keys: seen };
            let (got, got_lse) = run(2, &[other, ours], &queries, &keys, &values);
            assert_eq!(got[2 * width..], y[i * width..seen * width], "queries {i}..{seen}");
            assert_eq!(got_lse[2 * 4..], lse[i * 4..seen * 4]);
        }
    }

    #[test]
    fn a_query_gives_the_same_bits_whatever_runs_with_it() {
        check_bits(normal_f32);
        check_bits(normal_bf16);
    }
}
