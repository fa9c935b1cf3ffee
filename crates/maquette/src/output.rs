//! Lines on stdout and stderr. A reader that went away or a full disk there is no reason to panic, nor to lose a run.
//!
//! What a terminal would obey is shown, not sent (see [`terminal`]): always on stderr and in words for people; in data on
//! stdout where stdout is a terminal. Into a pipe or a file data go as they are.

use std::{
    borrow::Cow,
    fmt::Display,
    io::{self, ErrorKind, IsTerminal as _, Write as _},
    path::Path,
};

use serde::Serialize;

use crate::terminal;

/// How pictures that are written here name the program, so that they may be replaced: a comment of PNG.
pub(crate) const WRITER: (&str, &str) = ("Software", "maquette");

/// The reader of stdout closed it: it has seen enough.
#[derive(Debug, thiserror::Error)]
#[error("stdout was closed")]
pub(crate) struct Closed;

/// Stdout cannot be written: nothing that is printed after it will be seen either.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to stdout\nhint: free some space where it leads")]
pub(crate) struct Unwritable(#[source] io::Error);

/// Writes a line of data to stdout.
pub(crate) fn line(text: impl Display) -> anyhow::Result<()> {
    part(&format!("{text}\n"))
}

/// Writes a line for people to stdout.
pub(crate) fn words(text: impl Display) -> anyhow::Result<()> {
    written(write(&terminal::shown(&format!("{text}\n"))))
}

/// Writes a value as JSON to stdout, over several lines.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    json_line(&serde_json::to_string_pretty(value)?)
}

/// Writes JSON to stdout that is text already.
pub(crate) fn json_line(json: &str) -> anyhow::Result<()> {
    written(write(&format!("{}\n", terminal::shown_json(json))))
}

/// Writes data to stdout that more is to follow.
pub(crate) fn part(text: &str) -> anyhow::Result<()> {
    let text = if io::stdout().is_terminal() { terminal::shown(text) } else { Cow::Borrowed(text) };
    written(write(&text))
}

/// Whether this error says that stdout can no longer be written to.
pub(crate) fn is_lost(error: &anyhow::Error) -> bool {
    error.is::<Closed>() || error.is::<Unwritable>()
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

fn written(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
        written => Ok(written.map_err(Unwritable)?),
    }
}

/// Writes a line of talk to stderr, if anyone listens.
pub(crate) fn talk(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{}", terminal::shown(&text.to_string()));
}

/// A path as a shell takes it: quoted where it has to be.
pub(crate) fn shell_word(path: &Path) -> String {
    let text = path.to_string_lossy();
    // A leading dash would be an option.
    if text.starts_with('-') { shell_text(&format!("./{text}")) } else { shell_text(&text) }
}

/// A text as a shell takes it, as one word.
pub(crate) fn shell_text(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:@%,".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// The program as it was called, as a shell takes it.
pub(crate) fn program() -> String {
    let called = std::env::args_os().next().unwrap_or_else(|| "maquette".into());
    shell_word(Path::new(&called))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        let word = |text: &str| shell_word(Path::new(text));
        assert_eq!(word("runs/a-1/step_2"), "runs/a-1/step_2");
        assert_eq!(word("größe"), "größe");
        assert_eq!(word("my runs/größe"), "'my runs/größe'");
        assert_eq!(word("it's"), r"'it'\''s'");
        assert_eq!(word("-x"), "./-x");
        assert_eq!(word("$HOME;ls"), "'$HOME;ls'");
    }
}
