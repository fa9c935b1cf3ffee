//! Why a template does not render.

use std::fmt;

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// A failure with the line of the template where it came up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) message: String,
    pub(crate) line: Option<u32>,
}

/// Who fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Jinja2 fails here too.
    Template,
    /// Jinja2 goes on; what it computes is not computed here.
    Unsupported,
    /// The template takes more time, memory or depth than any honest one.
    Limit,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), line: None }
    }

    /// With a line, unless an inner statement has already named one.
    pub(crate) fn at(mut self, line: u32) -> Self {
        self.line.get_or_insert(line);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Template | Kind::Limit => f.write_str(&self.message)?,
            Kind::Unsupported => {
                write!(f, "{}, which this program does not compute as Jinja2 does", self.message)?
            }
        }
        self.line.map_or(Ok(()), |line| write!(f, " (line {line} of the template)"))
    }
}

/// Jinja2 fails here too.
pub(crate) fn fail<T>(message: impl Into<String>) -> Result<T> {
    Err(Failure::new(Kind::Template, message))
}

/// Jinja2 goes on, this program refuses: `message` names what the template uses.
pub(crate) fn unsupported<T>(message: impl Into<String>) -> Result<T> {
    Err(Failure::new(Kind::Unsupported, message))
}
