//! Stages of a model asked the same, and what came of it.

mod asked;
mod stage;
mod table;
mod text;
mod truthful;

pub(crate) use asked::Asked;
pub(crate) use stage::{Stage, answers, prompts};
pub(crate) use table::{Change, Number, SafetyTable, Share, ratio};
pub(crate) use text::{TextLosses, read_text};
pub(crate) use truthful::{Truthful, Truths};
