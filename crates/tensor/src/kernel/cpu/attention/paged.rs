//! Attention over keys and values in pages.
//!
//! A page holds, for each key/value head, its keys as panels of a product over the width of a head, then its values as
//! panels of a product over positions: as [`super::forward`] packs whole sequences. Products go on from page to page
//! where a whole sequence's would simply go on, so both give the same bits.

use super::{
    Activation, QUERY_BLOCK, QueryBlock, TypedRows,
    forward::{Piece, forward_block},
};
use crate::{
    KvPage, PAGE_LEN, PagedSegment, PagedSegments,
    kernel::{
        AttentionShape, Segment,
        cpu::{
            gemm::{Format, Panels, place_column, place_row},
            pool::{Pool, Shared},
        },
    },
};

/// Words of the keys and of the values of one head in a page.
fn head_words(format: Format, d_head: usize) -> (usize, usize) {
    (format.packed_len(d_head, PAGE_LEN), format.packed_len(PAGE_LEN, d_head))
}

/// Words of a page that one attention op uses.
pub(crate) fn kv_words(format: Format, shape: AttentionShape) -> usize {
    let (keys, values) = head_words(format, shape.d_head);
    shape.n_kv_heads * (keys + values)
}

/// See `Kernels::attention_paged`.
#[track_caller]
pub(crate) fn paged<E: Activation>(
    pool: &Pool,
    qkv: &[E],
    pages: &mut [KvPage],
    at: usize,
    segments: &PagedSegments,
    shape: AttentionShape,
    y: &mut [E],
) {
    let AttentionShape { n_heads, n_kv_heads, d_head } = shape;
    let (rows, n_words) = (segments.n_rows(), kv_words(E::FORMAT, shape));
    assert!(
        n_heads.is_multiple_of(n_kv_heads)
            && qkv.len() == rows * shape.qkv_width()
            && y.len() == rows * shape.q_width()
            && segments.n_pages() <= pages.len(),
        "attention: qkv {}, y {}, {rows} rows, {} of {} pages, {shape:?}",
        qkv.len(),
        y.len(),
        segments.n_pages(),
        pages.len()
    );
    let pages: Vec<Shared<u32>> =
        pages[..segments.n_pages()].iter_mut().map(|page| Shared::new(&mut page.words)).collect();
    let (pages, y) = (&pages[..], Shared::new(y));
    let queries = TypedRows::new(qkv, (shape.qkv_width(), d_head));
    let group = n_heads / n_kv_heads;
    let head_at = |kv_head: usize| at + kv_head * (n_words / n_kv_heads);
    let write = |segment: &PagedSegment, kv_head: usize| {
        // SAFETY: no other segment uses the pages that this one writes to, and no other task writes to this head.
        unsafe { write_head(queries, segment, kv_head, head_at(kv_head), pages, shape) };
    };
    let attend = |segment: &PagedSegment, head: usize, n_heads: usize, first: usize, n_queries: usize| {
        let &PagedSegment { q_start, n_keys, .. } = segment;
        let whole = Segment { q_start, n_queries: segment.n_queries, k_start: 0, n_keys, is_causal: true };
        let head_at = head_at(head / group);
        let pieces = |first: usize, n: usize| {
            (0..n).step_by(PAGE_LEN).map(move |start| {
                let page = &pages[segment.pages[(first + start) / PAGE_LEN]];
                let (k_words, v_words) = head_words(E::FORMAT, d_head);
                // SAFETY: this head of this page was written before, and nobody writes to it now.
                let (keys, values) =
                    unsafe { (page.read(head_at, k_words), page.read(head_at + k_words, v_words)) };
                let n = PAGE_LEN.min(n - start);
                Piece {
                    start,
                    n,
                    keys: Panels::new(E::FORMAT, keys, d_head, PAGE_LEN).columns(0, n),
                    values: Panels::new(E::FORMAT, values, PAGE_LEN, d_head),
                }
            })
        };
        let block = QueryBlock { segment: whole, head, n_heads, first, n_queries };
        // SAFETY: rows of other blocks and columns of other heads belong to other tasks.
        unsafe { forward_block(queries, block, pieces, shape, y, None) };
    };

    // The keys of one block of queries are used by one task, which writes those that are new, too.
    let (short, long): (Vec<&PagedSegment>, Vec<&PagedSegment>) =
        segments.iter().partition(|s| s.n_queries <= QUERY_BLOCK);
    pool.for_each(short.len() * n_kv_heads, |task| {
        let (segment, kv_head) = (short[task / n_kv_heads], task % n_kv_heads);
        write(segment, kv_head);
        // One query, as when text is continued: its heads are the rows of one product.
        let n_heads = if segment.n_queries == 1 { group.min(QUERY_BLOCK) } else { 1 };
        for head in (kv_head * group..(kv_head + 1) * group).step_by(n_heads) {
            attend(segment, head, n_heads.min((kv_head + 1) * group - head), 0, segment.n_queries);
        }
    });
    pool.for_each(long.len() * n_kv_heads, |task| write(long[task / n_kv_heads], task % n_kv_heads));
    let n_blocks = long.iter().map(|s| s.n_queries.div_ceil(QUERY_BLOCK)).max().unwrap_or(0);
    pool.for_each(n_blocks * long.len() * n_heads, |task| {
        let (rest, from_last) = (task / n_blocks, task % n_blocks);
        let (segment, head) = (long[rest / n_heads], rest % n_heads);
        let Some(block) = segment.n_queries.div_ceil(QUERY_BLOCK).checked_sub(from_last + 1) else { return };
        let first = block * QUERY_BLOCK;
        attend(segment, head, 1, first, QUERY_BLOCK.min(segment.n_queries - first));
    });
}

/// Writes one head's keys and values of a segment's queries.
///
/// # Safety
/// Nobody else uses this head of the pages that are written to.
unsafe fn write_head<E: Activation>(
    rows: TypedRows<E>,
    segment: &PagedSegment,
    kv_head: usize,
    at: usize,
    pages: &[Shared<u32>],
    shape: AttentionShape,
) {
    let AttentionShape { n_heads, n_kv_heads, d_head } = shape;
    let (k_words, v_words) = head_words(E::FORMAT, d_head);
    for i in 0..segment.n_queries {
        let (row, position) = (segment.q_start + i, segment.n_keys - segment.n_queries + i);
        let page = &pages[segment.pages[position / PAGE_LEN]];
        // SAFETY: by the caller's promise.
        let (keys, values) = unsafe { (page.part(at, k_words), page.part(at + k_words, v_words)) };
        let key = &rows.at(row, n_heads + kv_head)[..d_head];
        let value = &rows.at(row, n_heads + n_kv_heads + kv_head)[..d_head];
        place_column(E::slice(key), position % PAGE_LEN, keys, E::FORMAT.words(d_head));
        place_row(E::slice(value), position % PAGE_LEN, values, E::FORMAT.words(PAGE_LEN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::cpu::attention::{Inputs, forward},
        testing::{normal_bf16, normal_f32},
    };

    /// Two sequences with their first page in common, read in pieces, against whole sequences.
    fn check_bits<E: Activation + PartialEq + std::fmt::Debug>(normal: impl Fn(usize, u64) -> Vec<E>) {
        let shape = AttentionShape { n_heads: 6, n_kv_heads: 2, d_head: 24 };
        let (width, n) = (shape.qkv_width(), 531);
        let texts: Vec<Vec<E>> = (0..2)
            .map(|i| [normal(PAGE_LEN * width, 7), normal((n - PAGE_LEN) * width, i)].concat())
            .collect();
        let whole: Vec<Vec<E>> = texts
            .iter()
            .map(|qkv| {
                let mut y = vec![E::store(0.0); n * shape.q_width()];
                let mut lse = vec![0.0; n * shape.n_heads];
                let rows = |start: usize| TypedRows::new(&qkv[start..], (width, shape.d_head));
                let (k_start, v_start) = (shape.q_width(), shape.q_width() + shape.kv_width());
                let inputs = Inputs { q: rows(0), k: rows(k_start), v: rows(v_start) };
                forward(&Pool::new(1), inputs, &[Segment::whole(0, n)], shape, &mut y, &mut lse);
                y
            })
            .collect();
        let words = kv_words(E::FORMAT, shape);
        for pieces in [&[1][..], &[1, 5, 64, 13, 2], &[17, 200, 1, 49], &[n]] {
            let mut pages: Vec<KvPage> = (0..18).map(|_| KvPage::new(words + 5)).collect();
            // The first reads the page in common, then both go on at a time.
            let pages_of = |text: usize, n_keys: usize| -> Vec<usize> {
                (0..n_keys.div_ceil(PAGE_LEN))
                    .map(|i| if i == 0 { 4 } else { 4 + 13 * (2 * i + text) })
                    .map(|i| i % 18)
                    .collect()
            };
            let mut at = [0, PAGE_LEN];
            for step in 0.. {
                let (mut segments, mut rows, mut want) = (Vec::new(), Vec::new(), Vec::new());
                for text in 0..2 {
                    let until = if step == 0 { PAGE_LEN } else { n };
                    let len = if step == 0 { PAGE_LEN } else { pieces[(step + text) % pieces.len()] };
                    let part = at[text]..(at[text] + len).min(until);
                    if part.is_empty() {
                        continue;
                    }
                    let q_start = rows.len() / width;
                    let pages = pages_of(text, part.end);
                    segments.push(PagedSegment { q_start, n_queries: part.len(), n_keys: part.end, pages });
                    rows.extend(&texts[text][part.start * width..part.end * width]);
                    want.extend(&whole[text][part.start * shape.q_width()..part.end * shape.q_width()]);
                    at[text] = part.end;
                }
                if segments.is_empty() {
                    break;
                }
                let mut y = vec![E::store(7.0); want.len()];
                let segments = PagedSegments::new(segments);
                paged(&Pool::new(2), &rows, &mut pages, 5, &segments, shape, &mut y);
                assert_eq!(y, want, "step {step} of pieces {pieces:?}");
            }
        }
    }

    #[test]
    fn pages_change_no_bit() {
        check_bits(normal_f32);
        check_bits(normal_bf16);
    }
}
