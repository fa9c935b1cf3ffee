//! Text that knows which of its characters a person typed.

use std::sync::Arc;

use super::{
    failure::{Result, fail},
    meter::Meter,
};

/// Set on characters that come from a message: whatever a template does with them, they remain text.
pub(crate) const TYPED: u32 = 1 << 31;

/// A code point as Python's `str` has it, perhaps a lone surrogate, perhaps with [`TYPED`].
pub(crate) type Char = u32;

/// The code point without its mark.
pub(crate) fn plain(c: Char) -> u32 {
    c & !TYPED
}

/// The character, U+FFFD for a lone surrogate.
pub(crate) fn to_char(c: Char) -> char {
    char::from_u32(plain(c)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// A string of Jinja: Python indexes code points, so these are what it holds. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Text(Arc<[Char]>);

impl Text {
    /// A template's own text.
    pub(crate) fn new(text: &str) -> Self {
        text.chars().map(u32::from).collect::<Vec<_>>().into()
    }

    /// Text of a message.
    pub(crate) fn typed(text: &str) -> Self {
        text.chars().map(|c| u32::from(c) | TYPED).collect::<Vec<_>>().into()
    }

    pub(crate) fn chars(&self) -> &[Char] {
        &self.0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn is(&self, other: &str) -> bool {
        self.0.iter().map(|c| plain(*c)).eq(other.chars().map(u32::from))
    }

    pub(crate) fn is_same_object(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl From<Vec<Char>> for Text {
    fn from(chars: Vec<Char>) -> Self {
        Self(chars.into())
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|c| std::fmt::Write::write_char(f, to_char(*c)))
    }
}

/// Whether both are the same letters.
pub(crate) fn same(a: &[Char], b: &[Char]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| plain(*a) == plain(*b))
}

/// Where `needle` first begins in `text`.
pub(crate) fn find(text: &[Char], needle: &[Char], meter: &Meter) -> Result<Option<usize>> {
    let Some(last) = text.len().checked_sub(needle.len()) else { return Ok(None) };
    search(0..=last, text, needle, meter)
}

/// The first of these places where `needle` stands; every comparison is counted.
fn search(
    mut starts: impl Iterator<Item = usize>,
    text: &[Char],
    needle: &[Char],
    meter: &Meter,
) -> Result<Option<usize>> {
    let mut looked = 0;
    let mut stands = |start: usize| -> Result<bool> {
        let matched = needle.iter().zip(&text[start..]).take_while(|(a, b)| plain(**a) == plain(**b)).count();
        looked += matched + 1;
        if looked > 1 << 16 {
            meter.work(std::mem::take(&mut looked))?;
        }
        Ok(matched == needle.len())
    };
    let found =
        starts.find_map(|start| stands(start).map(|here| here.then_some(start)).transpose()).transpose()?;
    meter.work(looked)?;
    Ok(found)
}

/// Where `needle` last begins in `text`.
pub(crate) fn find_last(text: &[Char], needle: &[Char], meter: &Meter) -> Result<Option<usize>> {
    let Some(last) = text.len().checked_sub(needle.len()) else { return Ok(None) };
    search((0..=last).rev(), text, needle, meter)
}

/// Python's `str.isspace` for one character, which is `\s` of its regular expressions.
pub(crate) fn is_space(c: Char) -> bool {
    matches!(plain(c),
        0x09..=0x0d | 0x1c..=0x20 | 0x85 | 0xa0 | 0x1680 | 0x2000..=0x200a | 0x2028 | 0x2029 | 0x202f | 0x205f | 0x3000)
}

/// `chars` without what `drop` accepts at its two ends.
pub(crate) fn trim(chars: &[Char], left: bool, right: bool, drop: impl Fn(Char) -> bool) -> &[Char] {
    let start = if left { chars.iter().position(|c| !drop(*c)).unwrap_or(chars.len()) } else { 0 };
    let end =
        if right { chars.iter().rposition(|c| !drop(*c)).map_or(start, |at| at + 1) } else { chars.len() };
    &chars[start..end.max(start)]
}

/// Text in the making; the meter is asked before it grows.
pub(crate) struct Builder<'m> {
    chars: Vec<Char>,
    meter: &'m Meter,
}

impl<'m> Builder<'m> {
    pub(crate) fn new(meter: &'m Meter) -> Self {
        Self { chars: Vec::new(), meter }
    }

    pub(crate) fn push(&mut self, c: Char) -> Result<()> {
        self.meter.make(1)?;
        self.chars.push(c);
        Ok(())
    }

    pub(crate) fn extend(&mut self, chars: &[Char]) -> Result<()> {
        self.meter.make(chars.len())?;
        self.chars.extend_from_slice(chars);
        Ok(())
    }

    /// The template's own text.
    pub(crate) fn write(&mut self, text: &str) -> Result<()> {
        self.meter.make(text.len())?;
        self.chars.extend(text.chars().map(u32::from));
        Ok(())
    }

    pub(crate) fn repeat(&mut self, c: Char, n: usize) -> Result<()> {
        self.meter.make(n)?;
        self.chars.extend(std::iter::repeat_n(c, n));
        Ok(())
    }

    pub(crate) fn meter(&self) -> &'m Meter {
        self.meter
    }

    pub(crate) fn finish(self) -> Text {
        self.chars.into()
    }
}

/// The text with its marks, for [`super::super::encode`]; a lone surrogate cannot be encoded in Python either.
pub(crate) fn check_surrogates(chars: &[Char]) -> Result<()> {
    match chars.iter().find(|c| char::from_u32(plain(**c)).is_none()) {
        Some(c) => fail(format!("the template writes the lone surrogate U+{:04X}", plain(*c))),
        None => Ok(()),
    }
}
