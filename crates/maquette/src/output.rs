//! Lines on stdout and stderr. A reader that went away or a full disk there is no reason to panic, nor to lose a run.

use std::{
    fmt::Display,
    io::{ErrorKind, Write as _},
};

use anyhow::Context as _;

/// The reader of stdout closed it: it has seen enough.
#[derive(Debug, thiserror::Error)]
#[error("stdout was closed")]
pub(crate) struct Closed;

/// Writes a line of data to stdout.
pub(crate) fn line(text: impl Display) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
        written => written.context("cannot write to stdout\nhint: free some space where it leads"),
    }
}

/// Writes a line of talk to stderr, if anyone listens.
pub(crate) fn talk(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
