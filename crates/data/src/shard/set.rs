//! Shards that follow one another.

use super::TokenShard;

/// Several shards read as one; documents are numbered through.
#[derive(Debug, Default)]
pub(crate) struct ShardSet {
    shards: Vec<TokenShard>,
    /// Number of documents before each shard, and in all.
    first_document: Vec<u64>,
}

impl ShardSet {
    pub(crate) fn new(shards: Vec<TokenShard>) -> Self {
        let mut first_document = vec![0];
        first_document.extend(shards.iter().scan(0, |n, shard| {
            *n += shard.n_documents();
            Some(*n)
        }));
        Self { shards, first_document }
    }

    pub(crate) fn shards(&self) -> &[TokenShard] {
        &self.shards
    }

    pub(crate) fn n_documents(&self) -> u64 {
        self.first_document.last().copied().unwrap_or(0)
    }

    pub(crate) fn n_tokens(&self) -> u64 {
        self.shards.iter().map(TokenShard::n_tokens).sum()
    }

    pub(crate) fn n_text_bytes(&self) -> u64 {
        self.shards.iter().map(TokenShard::n_text_bytes).sum()
    }

    pub(crate) fn n_inputs(&self, document: u64) -> u64 {
        let (shard, document) = self.find(document);
        shard.n_inputs(document)
    }

    pub(crate) fn read(&self, document: u64, start: u64, n: usize, ids: &mut Vec<u32>) {
        let (shard, document) = self.find(document);
        shard.read(document, start, n, ids);
    }

    fn find(&self, document: u64) -> (&TokenShard, u64) {
        let shard = self.first_document.partition_point(|&first| first <= document) - 1;
        (&self.shards[shard], document - self.first_document[shard])
    }
}
