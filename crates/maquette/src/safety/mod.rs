//! Stages of a model asked the same, and what came of it.

mod asked;
mod stage;
mod table;
mod text;

pub(crate) use asked::Asked;
pub(crate) use stage::{Stage, answers};
pub(crate) use table::{Change, Number, SafetyTable, Share, ratio};
pub(crate) use text::{TextLosses, read_text};
