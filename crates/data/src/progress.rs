//! How far a pass over a corpus is.

/// What a pass over a corpus has done so far; the callback that receives it may stop the pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes on disk that were read.
    pub n_bytes_read: u64,
    /// Bytes on disk of all files.
    pub n_bytes_total: u64,
    /// Documents kept.
    pub n_documents: u64,
    /// Tokens written; 0 while a tokenizer is trained.
    pub n_tokens: u64,
}
