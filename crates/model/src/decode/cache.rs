//! Keys and values of every layer, in pages.

use tensor::{AttentionShape, DType, Kernels, KvPage};

use crate::ModelConfig;

/// Keys and values of what a model has read: pages of [`tensor::PAGE_LEN`] positions, for every layer. Which page
/// belongs to whom is not known here.
#[derive(Debug)]
pub struct KvCache {
    pages: Vec<KvPage>,
    /// Words of a page that one layer takes.
    words_per_layer: usize,
    n_layers: usize,
}

impl KvCache {
    /// No page yet, for a model that computes in `dtype` with these kernels.
    pub fn new(config: &ModelConfig, dtype: DType, kernels: &dyn Kernels) -> Self {
        let shape =
            AttentionShape { n_heads: config.n_heads, n_kv_heads: config.n_kv_heads, d_head: config.d_head };
        let words_per_layer = kernels.kv_words(shape, dtype);
        Self { pages: Vec::new(), words_per_layer, n_layers: config.n_layers }
    }

    /// Makes sure that the pages `0 .. n` are there.
    pub fn grow_to(&mut self, n: usize) {
        let n_words = self.n_layers * self.words_per_layer;
        self.pages.resize_with(n.max(self.pages.len()), || KvPage::new(n_words));
    }

    /// Copies what page `from` holds to page `to`.
    ///
    /// # Panics
    /// If they are the same page, or one is not there.
    #[track_caller]
    pub fn copy(&mut self, from: usize, to: usize) {
        assert!(from != to, "page {from} is copied to itself");
        let [from, to] = self.pages.get_disjoint_mut([from, to]).expect("both pages are there");
        to.copy_from(from);
    }

    /// Bytes of all pages.
    pub fn n_bytes(&self) -> usize {
        self.pages.iter().map(KvPage::n_bytes).sum()
    }

    /// All pages, and the word of each at which a layer begins.
    pub(crate) fn layer(&mut self, layer: usize) -> (&mut [KvPage], usize) {
        (&mut self.pages, layer * self.words_per_layer)
    }
}
