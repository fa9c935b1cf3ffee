//! The crate from outside: folders of files in, batches out.
#![expect(clippy::unwrap_used, reason = "a test may stop at once")]

mod batches;
mod chat_templates;
mod corpus;
mod hostile;
mod images;
mod imported;
mod kinds;
mod on_error;
mod prepare;
mod scene;
mod special_tokens;
mod tokenizer;
mod turns;
