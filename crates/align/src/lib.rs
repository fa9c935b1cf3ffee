//! From a predictor to an assistant.
//!
//! [`read_conversations`] reads chats as they are published, [`sft_examples`] turns them into token ids with what the assistant
//! says in them, and [`train::Masked`] learns that; [`read_pairs`] reads preferences, and [`Dpo`] learns them directly;
//! [`BradleyTerry`] makes a [`RewardModel`] of them. [`policy`] learns from rewards of an
//! [`environment`], [`rbrm`] grades answers by rules, and [`standin`] generates synthetic requests.
//!
//! ```
//! let dir = tempfile::tempdir().unwrap();
//! let path = dir.path().join("chats.jsonl");
//! std::fs::write(&path, r#"{"messages":[{"role":"user","content":"2+2?"},{"role":"assistant","content":"4"}]}"#)?;
//! let read = align::read_conversations(&[path], align::OnRow::Refuse)?;
//! let (template, tokenizer) = (data::ChatTemplate::chatml(), data::Tokenizer::bytes());
//! let (said, on_row) = (data::Said::All, align::OnRow::Refuse);
//! let reader = align::Reader { template: &template, tokenizer: &tokenizer, eyes: None, seq_len: 128, said, on_row };
//! let made = align::sft_examples(&read.rows, reader)?;
//! let learned: f32 = made.examples[0].weights.iter().sum();
//! assert_eq!(learned, 2.0); // `4`, and the token that ends the turn
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod conversation;
mod dpo;
pub mod environment;
mod error;
mod near_duplicates;
mod pair_batch;
pub mod policy;
mod preference;
pub mod rbrm;
mod refusal;
mod reward;
mod sft;
pub mod standin;
mod validation;

pub use conversation::{Conversation, Dropped, OnRow, Read, read_conversations, read_prompts};
pub use dpo::{Dpo, DpoSettings};
pub use error::AlignError;
pub use near_duplicates::near_duplicates;
pub use preference::{Pair, PairExample, pair_examples, read_pairs};
pub use refusal::declines;
pub use reward::{BradleyTerry, RewardModel, Statistics};
pub use sft::{Examples, Reader, sft_examples};

pub(crate) use validation::validation;
