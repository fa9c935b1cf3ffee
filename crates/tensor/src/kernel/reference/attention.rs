//! Attention with grouped queries, inside document boundaries.

use crate::kernel::{AttentionShape, KvPage, PAGE_LEN, PagedSegments, Rows, Segment};

/// Heads of rows, in f64.
pub(crate) struct WideRows {
    values: Vec<f64>,
    stride: usize,
    head_stride: usize,
}

impl From<Rows<'_>> for WideRows {
    fn from(rows: Rows) -> Self {
        Self { values: rows.values.to_f64(), stride: rows.stride, head_stride: rows.head_stride }
    }
}

impl WideRows {
    /// Head `h` of row `row`: `[D]`.
    #[track_caller]
    fn head(&self, row: usize, h: usize, d_head: usize) -> &[f64] {
        &self.values[row * self.stride + h * self.head_stride..][..d_head]
    }
}

/// `y = softmax(q·kᵀ/√D)·v` over the keys that each query sees, and `lse = ln Σ exp(q·kᵀ/√D)`.
///
/// `q` has rows of H heads, `k` and `v` have rows of K; `y` is `[R, H·D]`, `lse` is `[R, H]`. Overwrites both; rows
/// of no segment become 0. Head `h` reads key/value head `h / (H/K)`. Costs `2·H·D` FLOPs twice for every visible
/// pair. Papers: <https://arxiv.org/abs/1706.03762>, <https://arxiv.org/abs/2305.13245>.
///
/// # Panics
/// If a length disagrees or a segment reaches past the rows.
#[track_caller]
pub(crate) fn forward(
    q: &WideRows,
    k: &WideRows,
    v: &WideRows,
    segments: &[Segment],
    shape: AttentionShape,
    y: &mut [f64],
    lse: &mut [f64],
) {
    let AttentionShape { n_heads, n_kv_heads, d_head } = shape;
    assert!(y.len() == lse.len() * d_head, "attention: y {}, lse {}, d_head {d_head}", y.len(), lse.len());
    y.fill(0.0);
    lse.fill(0.0);
    for_each_query(segments, shape, |segment, i, h| {
        let (row, kv_head) = (segment.q_start + i, h / (n_heads / n_kv_heads));
        let key = |j: usize| k.head(segment.k_start + j, kv_head, d_head);
        let value = |j: usize| v.head(segment.k_start + j, kv_head, d_head);
        let n = segment.n_visible(i);
        let query = q.head(row, h, d_head);
        let scores: Vec<f64> = (0..n).map(|j| dot(query, key(j)) * scale(d_head)).collect();
        let max = scores.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
        let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
        lse[row * n_heads + h] = max + sum.ln();
        let y = &mut y[(row * n_heads + h) * d_head..][..d_head];
        for (d, y) in y.iter_mut().enumerate() {
            *y = (0..n).map(|j| (scores[j] - max).exp() / sum * value(j)[d]).sum();
        }
    });
}

/// Words of a page: keys, then values, `[K, PAGE_LEN, D]` each, an f64 in two words.
pub(crate) fn kv_words(shape: AttentionShape) -> usize {
    2 * 2 * PAGE_LEN * shape.kv_width()
}

/// Writes the keys and values of `qkv [R, (H+2K)·D]` to the pages, from word `at` of each on, then computes [`forward`]
/// with all that the segments' pages hold.
///
/// # Panics
/// If a length disagrees.
#[track_caller]
pub(crate) fn paged(
    qkv: &[f64],
    pages: &mut [KvPage],
    at: usize,
    segments: &PagedSegments,
    shape: AttentionShape,
    y: &mut [f64],
) {
    let (d_head, width) = (shape.d_head, shape.kv_width());
    assert!(qkv.len() == segments.n_rows() * shape.qkv_width(), "attention: qkv {}, {shape:?}", qkv.len());
    // The first word of channel `c` of all heads' keys and values.
    let word_of = |slot: usize, c: usize| {
        let (head, d) = (c / d_head, c % d_head);
        at + 2 * ((head * PAGE_LEN + slot) * d_head + d)
    };
    let (mut keys, mut values, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for segment in segments.iter() {
        let n_before = segment.n_keys - segment.n_queries;
        whole.push(Segment {
            q_start: segment.q_start,
            n_queries: segment.n_queries,
            k_start: keys.len() / width,
            n_keys: segment.n_keys,
            is_causal: true,
        });
        for position in 0..segment.n_keys {
            let (page, slot) = (&mut pages[segment.pages[position / PAGE_LEN]], position % PAGE_LEN);
            if let Some(i) = position.checked_sub(n_before) {
                let row = &qkv[(segment.q_start + i) * shape.qkv_width()..][shape.q_width()..][..2 * width];
                for (c, x) in row.iter().enumerate() {
                    let (bits, word) = (x.to_bits(), word_of(slot, c));
                    page.words[word] = bits as u32;
                    page.words[word + 1] = (bits >> 32) as u32;
                }
            }
            let number = |c: usize| {
                let word = word_of(slot, c);
                f64::from_bits(u64::from(page.words[word]) | u64::from(page.words[word + 1]) << 32)
            };
            keys.extend((0..width).map(number));
            values.extend((width..2 * width).map(number));
        }
    }
    let rows = |values: Vec<f64>, stride| WideRows { values, stride, head_stride: d_head };
    let q = rows(qkv.to_vec(), shape.qkv_width());
    let mut lse = vec![0.0; segments.n_rows() * shape.n_heads];
    forward(&q, &rows(keys, width), &rows(values, width), &whole, shape, y, &mut lse);
}

/// With `p = exp(q·kᵀ/√D − lse)` and `δ = Σ dy·y`: `dv = pᵀ·dy`, `ds = p·(dy·vᵀ − δ)/√D`, `dq = ds·k`,
/// `dk = dsᵀ·q`.
///
/// `qkv`, `dqkv` `[R, (H+2K)·D]`, `y`, `dy` `[R, H·D]`, `lse [R, H]`. Overwrites `dqkv`; rows of no segment become
/// 0. Costs 2.5 times the forward. Paper: <https://arxiv.org/abs/2205.14135>, algorithm 4.
///
/// # Panics
/// If a length disagrees, a segment reaches past the rows, or its keys are other rows than its queries.
#[track_caller]
pub(crate) fn backward(
    qkv: &[f64],
    y: &[f64],
    lse: &[f64],
    dy: &[f64],
    segments: &[Segment],
    shape: AttentionShape,
    dqkv: &mut [f64],
) {
    let AttentionShape { n_heads, n_kv_heads, d_head } = shape;
    let r = lse.len() / n_heads;
    assert!(
        qkv.len() == r * shape.qkv_width() && dqkv.len() == qkv.len() && y.len() == r * shape.q_width(),
        "attention: qkv {}, dqkv {}, y {}, want {r} rows of {shape:?}",
        qkv.len(),
        dqkv.len(),
        y.len()
    );
    assert!(dy.len() == y.len(), "attention: y {}, dy {}", y.len(), dy.len());
    dqkv.fill(0.0);
    for_each_query(segments, shape, |segment, i, h| {
        assert!(segment.is_whole(), "attention: {segment:?}");
        let (row, kv_head) = (segment.q_start + i, h / (n_heads / n_kv_heads));
        let at_q = row * shape.qkv_width() + h * d_head;
        let at_y = (row * n_heads + h) * d_head;
        let (query, dy) = (&qkv[at_q..][..d_head], &dy[at_y..][..d_head]);
        let delta = dot(dy, &y[at_y..][..d_head]);
        for j in 0..segment.n_visible(i) {
            let at_k = (segment.k_start + j) * shape.qkv_width() + shape.q_width() + kv_head * d_head;
            let at_v = at_k + shape.kv_width();
            let (key, value) = (&qkv[at_k..][..d_head], &qkv[at_v..][..d_head]);
            let p = (dot(query, key) * scale(d_head) - lse[row * n_heads + h]).exp();
            let ds = p * (dot(dy, value) - delta) * scale(d_head);
            for d in 0..d_head {
                dqkv[at_q + d] += ds * key[d];
                dqkv[at_k + d] += ds * query[d];
                dqkv[at_v + d] += p * dy[d];
            }
        }
    });
}

fn for_each_query(segments: &[Segment], shape: AttentionShape, mut f: impl FnMut(&Segment, usize, usize)) {
    for segment in segments {
        for i in 0..segment.n_queries {
            for h in 0..shape.n_heads {
                f(segment, i, h);
            }
        }
    }
}

fn scale(d_head: usize) -> f64 {
    (d_head as f64).sqrt().recip()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
