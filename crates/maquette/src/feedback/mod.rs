//! A person compares two answers, or writes a better one: in a terminal, or on a page of this machine.

mod page;
mod session;
mod terminal;

pub(crate) use page::serve;
pub(crate) use session::{Drawn, Session, Verdict};
pub(crate) use terminal::ask;
