//! Attention; see the file of the same name in `reference/`.
//!
//! Keys and values are packed once for each head; then queries pass in blocks, and keys within each in blocks at
//! fixed places: scores are a product, the running softmax rescales what was mixed so far, and the mix of
//! values goes on as another product. A query's result depends on its own keys alone. The backward computes the
//! probabilities again from `lse`. Memory: a block of queries times a block of keys for each thread.
//! Paper: <https://arxiv.org/abs/2205.14135>.

mod backward;
mod forward;
mod paged;

use half::bf16;

use super::{gemm::Format, round::Element};
use crate::{
    Slice,
    isa::for_each_isa,
    kernel::{AttentionShape, Segment},
};

pub(crate) use backward::{Saved, backward};
pub(crate) use forward::forward;
pub(crate) use paged::{kv_words, paged};

/// Queries that share a product with the keys: whole tiles of every instruction set.
const QUERY_BLOCK: usize = 48;
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

/// Rows that share a product with the keys: some queries of one head, or one query of several heads that have their keys
/// in common.
#[derive(Clone, Copy)]
struct QueryBlock {
    segment: Segment,
    /// The first head.
    head: usize,
    /// More than one only where there is one query.
    n_heads: usize,
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

    /// Query within the block and head of the product's row `i`.
    fn query_and_head(&self, i: usize) -> (usize, usize) {
        if self.n_heads > 1 { (0, self.head + i) } else { (i, self.head) }
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

for_each_isa! {
    fn finish_row<E: Element>(mixed: &[f32], inverse: f32, y: &mut [E]) {
        for (y, mixed) in y.iter_mut().zip(mixed) {
            *y = E::store(mixed * inverse);
        }
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
        kernel::{Rows, cpu::pool::Pool},
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
        let cases: [(Vec<Segment>, usize); 8] = [
            (vec![], 3),
            (whole(&[1]), 1),
            (whole(&[5, 1, 97]), 103),
            (whole(&[48, 49, 31]), 130),
            (vec![Segment::whole(2, 40), Segment::whole(45, 0)], 47),
            (whole(&[257, 2]), 259),
            (vec![Segment::full(1, 5), Segment::whole(6, 50), Segment::full(56, 49)], 106),
            (vec![Segment::full(0, 300)], 300),
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
            let other = Segment { n_queries: 2, ..Segment::whole(0, 13) };
            let ours = Segment { q_start: 2, n_queries: count, ..Segment::whole(13, seen) };
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
