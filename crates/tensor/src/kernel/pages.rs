//! Keys and values of rows that were read before, in pages.

use crate::arena::Buffer;

/// Positions whose keys and values one page holds. Blocks of keys are whole pages, so that where pages begin changes no
/// bit of a result.
pub const PAGE_LEN: usize = 64;

/// Keys and values of up to [`PAGE_LEN`] positions, in the order in which the kernels read them.
///
/// Several attention ops may share a page: each uses [`crate::Kernels::kv_words`] words of it.
#[derive(Debug)]
pub struct KvPage {
    pub(crate) words: Buffer<u32>,
}

impl KvPage {
    /// A page of `n_words` words.
    pub fn new(n_words: usize) -> Self {
        Self { words: Buffer::zeros(n_words) }
    }

    /// Takes over what another page of the same size holds.
    ///
    /// # Panics
    /// If the sizes differ.
    #[track_caller]
    pub fn copy_from(&mut self, other: &Self) {
        self.words.copy_from_slice(&other.words);
    }

    /// Bytes that it takes.
    pub fn n_bytes(&self) -> usize {
        size_of_val(&self.words[..])
    }
}

/// One causal sequence among the rows of an attention op whose keys and values lie in pages.
///
/// Its queries are the last `n_queries` of `n_keys` positions. Their own keys and values are written to the pages
/// first; those before them were written by earlier calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagedSegment {
    /// Row of the first query.
    pub q_start: usize,
    /// Number of queries.
    pub n_queries: usize,
    /// Number of keys and values, those of the queries among them.
    pub n_keys: usize,
    /// The pages of its positions, in their order.
    pub pages: Vec<usize>,
}

impl PagedSegment {
    /// The pages that the keys and values of its queries are written to.
    fn written(&self) -> &[usize] {
        &self.pages[(self.n_keys - self.n_queries) / PAGE_LEN..]
    }
}

/// Segments of one forward pass that read and write pages, checked: no segment writes to a page that another one uses.
#[derive(Clone, Debug, Default)]
pub struct PagedSegments {
    segments: Vec<PagedSegment>,
    n_rows: usize,
    n_pages: usize,
}

impl PagedSegments {
    /// Segments whose queries follow one another from row 0 on.
    ///
    /// # Panics
    /// If they do not, if one has no query or fewer keys than queries, if its pages are not as many as its keys
    /// take, or if one writes to a page of another.
    #[track_caller]
    pub fn new(segments: Vec<PagedSegment>) -> Self {
        let n_pages = segments.iter().flat_map(|s| &s.pages).max().map_or(0, |last| last + 1);
        let (mut n_rows, mut is_written) = (0, vec![false; n_pages]);
        for segment in &segments {
            let &PagedSegment { q_start, n_queries, n_keys, ref pages } = segment;
            assert!(
                q_start == n_rows && n_queries > 0,
                "{n_queries} queries from row {q_start} on, want {n_rows}"
            );
            assert!(
                n_queries <= n_keys && pages.len() == n_keys.div_ceil(PAGE_LEN),
                "{n_queries} queries, {n_keys} keys in {} pages",
                pages.len()
            );
            n_rows += n_queries;
            for &page in segment.written() {
                assert!(!is_written[page], "two segments write to page {page}");
                is_written[page] = true;
            }
        }
        for segment in &segments {
            let n_read = segment.pages.len() - segment.written().len();
            for &page in &segment.pages[..n_read] {
                assert!(!is_written[page], "page {page} is written to while another segment reads it");
            }
        }
        Self { segments, n_rows, n_pages }
    }

    /// Number of queries.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// One more than the last page.
    pub fn n_pages(&self) -> usize {
        self.n_pages
    }
}

impl std::ops::Deref for PagedSegments {
    type Target = [PagedSegment];

    fn deref(&self) -> &[PagedSegment] {
        &self.segments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(q_start: usize, n_queries: usize, n_keys: usize, pages: &[usize]) -> PagedSegment {
        PagedSegment { q_start, n_queries, n_keys, pages: pages.to_vec() }
    }

    #[test]
    fn segments_may_read_the_same_pages() {
        let segments = PagedSegments::new(vec![
            segment(0, 1, PAGE_LEN + 1, &[4, 2]),
            segment(1, 2, PAGE_LEN + 5, &[4, 0]),
        ]);
        assert_eq!((segments.n_rows(), segments.n_pages(), segments.len()), (3, 5, 2));
    }

    #[test]
    #[should_panic(expected = "two segments write to page 2")]
    fn two_segments_do_not_write_to_one_page() {
        PagedSegments::new(vec![segment(0, 1, 5, &[2]), segment(1, 1, 6, &[2])]);
    }

    #[test]
    #[should_panic(expected = "page 2 is written to while another segment reads it")]
    fn a_page_that_is_read_is_not_written_to() {
        PagedSegments::new(vec![segment(0, 1, PAGE_LEN + 1, &[2, 3]), segment(1, 1, 6, &[2])]);
    }
}
