//! Documents in, training batches out; knows no tensors.
//!
//! A [`DataConfig`] names sources of text. [`Documents`] reads, filters, de-duplicates and splits them;
//! [`Tokenizer::train`] learns a vocabulary from them, [`prepare`] writes their tokens as shards with a manifest,
//! [`Prepared::open`] checks and maps these, and [`BatchStream`] and [`ValidationSet`] pack them into rows. The same
//! inputs give the same bytes at every step, for any number of threads; a [`Cursor`] continues a stream exactly where
//! it stood. Beside that way: [`ChatTemplate`] turns conversations into token ids, [`tasks`] are problems with exact
//! answers, to be mixed into the text and to test with; [`image`] decodes pictures and
//! prepares them for an encoder, [`interleaved`] reads documents of text and pictures, [`pictures`] draws some with
//! questions whose answers are known.
//!
//! ```
//! # let dir = tempfile::tempdir().unwrap();
//! # let (corpus, out) = (dir.path().join("corpus.txt"), dir.path().join("data"));
//! std::fs::write(&corpus, "All work and no play makes a dull boy.\n".repeat(100)).unwrap();
//! let mut config = data::DataConfig::new(vec![data::SourceConfig::new(corpus.display().to_string())]);
//! config.validation = data::ValidationConfig::Tail { fraction: 0.1 };
//!
//! let tokenizer = data::Tokenizer::bytes();
//! data::prepare(&config, &tokenizer, &out, &mut |_| std::ops::ControlFlow::Continue(())).unwrap();
//! let prepared = std::sync::Arc::new(data::Prepared::open(&out, &tokenizer).unwrap());
//! let mut stream = data::BatchStream::new(prepared, 64, 1).unwrap();
//! let batch = stream.next_batch(4);
//! assert_eq!((batch.ids.len(), batch.targets.len()), (4 * 64, 4 * 64));
//! ```
#![forbid(unsafe_code)]

mod batch;
mod chat;
mod config;
mod corpus;
mod error;
mod file;
pub mod image;
pub mod interleaved;
mod manifest;
mod permutation;
pub mod pictures;
mod pieces;
mod place;
mod prepare;
mod prepared;
mod progress;
mod reader;
mod settle;
mod shard;
mod skipped;
mod source;
mod stream;
pub mod tasks;
mod template;
#[cfg(test)]
mod testing;
mod text_file;
mod tokenizer;
mod validation;

pub use batch::{Batch, ImageRef, Segment};
pub use chat::{ChatTemplate, Continued, Message, Said, Turns};
pub use config::{DataConfig, FilterConfig, InvalidUtf8, OnError, ValidationConfig};
pub use corpus::{CorpusFile, Document, Documents, Dropped, Split};
pub use error::{Damage, DataError};
pub use manifest::{Entry, FileEntry, Manifest, PassedOver, ShardEntry, SourceEntry};
pub use place::{relative_to, without_detours};
pub use prepare::prepare;
pub use prepared::Prepared;
pub use progress::Progress;
pub use reader::{JsonRow, json_rows};
pub use reader::{Row, rows, rows_of_columns};
pub use settle::{Settled, settle};
pub use shard::TokenShard;
pub use skipped::Skipped;
pub use source::{Listing, SourceConfig, shown};
pub use stream::{BatchStream, Cursor};
pub use template::Template;
pub use text_file::text_of;
pub use tokenizer::{
    Certain, Special, SpecialNames, SpecialTokens, StopTexts, StreamDecoder, Tokenizer, TokenizerConfig,
    TokenizerKind, TokenizerParts,
};
pub use validation::ValidationSet;
