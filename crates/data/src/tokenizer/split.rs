//! Where merges must stop: the pieces of a text.

use std::sync::LazyLock;

use regex::Regex;

/// Cuts texts into pieces by the pattern of GPT-4's `cl100k_base` (tiktoken, `tiktoken_ext/openai_public.py`), with
/// digits in groups of one, two or three.
///
/// Differs from it: contractions are spelled out by letter, because under `(?i)` engines disagree about `ſ`; possessive
/// quantifiers are plain ones, which match the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Splitter {
    digits: u8,
}

/// The pattern but for the largest group of digits.
const BEFORE_DIGITS: &str = r"'(?:[sdmtSDMT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,";
const AFTER_DIGITS: &str = r"}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The patterns without their look-ahead, which [`Splitter::pieces`] does by hand: this engine runs in linear time, has
/// none, and cannot fail.
static WITHOUT_LOOKAHEAD: [LazyLock<Regex>; 3] =
    [LazyLock::new(|| regex(1)), LazyLock::new(|| regex(2)), LazyLock::new(|| regex(3))];

fn regex(digits: u8) -> Regex {
    let pattern = Splitter { digits }.pattern().replace(r"|\s+(?!\S)", "");
    Regex::new(&pattern).expect("the patterns are constants")
}

impl Splitter {
    /// Groups of as many digits as have been the rule here; nanochat's too, since they waste fewer tokens of a small
    /// vocabulary on numbers than GPT-4's three.
    pub(super) const DEFAULT_DIGITS: u8 = 2;

    /// Digits in groups of 1, 2 or 3.
    pub(super) fn new(digits: u8) -> Option<Self> {
        (1..=3).contains(&digits).then_some(Self { digits })
    }

    /// The splitter whose pattern this is.
    pub(super) fn of_pattern(pattern: &str) -> Option<Self> {
        (1..=3).map(|digits| Self { digits }).find(|splitter| splitter.pattern() == pattern)
    }

    /// As `tokenizer.json` holds it.
    pub(super) fn pattern(self) -> String {
        format!("{BEFORE_DIGITS}{}{AFTER_DIGITS}", self.digits)
    }

    /// Cuts `text` into the matches of the pattern; they cover it without a gap.
    pub(super) fn pieces(self, text: &str) -> impl Iterator<Item = &str> {
        let regex = &WITHOUT_LOOKAHEAD[usize::from(self.digits) - 1];
        let mut start = 0;
        std::iter::from_fn(move || {
            let found = regex.find_at(text, start)?;
            let piece = &text[start..found.end()];
            // `\s+(?!\S)`: blanks before a word leave the last of them to the word. Only the last alternative ends in
            // a blank that is no line end.
            let mut end = found.end();
            if end < text.len() && piece.len() > 1 {
                let last =
                    piece.chars().next_back().filter(|c| c.is_whitespace() && !matches!(c, '\r' | '\n'));
                end -= last.map_or(0, |c| if c.len_utf8() < piece.len() { c.len_utf8() } else { 0 });
            }
            let piece = &text[start..end];
            start = end;
            Some(piece)
        })
    }
}

impl Default for Splitter {
    fn default() -> Self {
        Self { digits: Self::DEFAULT_DIGITS }
    }
}

/// Cuts `text` into parts of about `target_bytes` that encode one by one to the same ids as the whole: between a
/// line feed and a character that is not white space a piece always ends. A text without such a place stays whole.
pub(super) fn chunks(text: &str, target_bytes: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (chunk, after) = rest.split_at(safe_cut(rest, target_bytes).unwrap_or(rest.len()));
        rest = after;
        Some(chunk)
    })
}

/// The first safe place at or after `from_byte`.
fn safe_cut(text: &str, from_byte: usize) -> Option<usize> {
    let mut from = text.ceil_char_boundary(from_byte.max(1) - 1);
    while let Some(offset) = text[from..].find('\n') {
        from += offset + 1;
        if text[from..].chars().next().is_some_and(|c| !c.is_whitespace()) {
            return Some(from);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(pieces(text).collect::<Vec<_>>(), expected);
    }

    fn pieces(text: &str) -> impl Iterator<Item = &str> {
        Splitter::default().pieces(text)
    }

    #[test]
    fn digits_go_in_groups() {
        for (digits, expected) in [(1, &["1", "2", "3", "4"][..]), (2, &["12", "34"]), (3, &["123", "4"])] {
            let splitter = Splitter::new(digits).unwrap();
            assert_eq!(splitter.pieces("1234").collect::<Vec<_>>(), expected);
            assert_eq!(Splitter::of_pattern(&splitter.pattern()), Some(splitter));
        }
        assert_eq!(Splitter::new(0), None);
        assert_eq!(Splitter::new(4), None);
    }

    #[test]
    fn pieces_are_those_of_gpt4_with_digits_in_twos() {
        check("Hello world's 12345!", &["Hello", " world", "'s", " ", "12", "34", "5", "!"]);
        check("I'LL don'T 'v", &["I", "'LL", " don", "'T", " '", "v"]);
        check("a  b   \n\n  c\t\td  ", &["a", " ", " b", "   \n\n", " ", " c", "\t", "\td", "  "]);
        check("x = {\r\n    y;\r\n}", &["x", " =", " {\r\n", "   ", " y", ";\r\n", "}"]);
        check("<|endoftext|>", &["<|", "endoftext", "|>"]);
        check("größe 東京。\u{3000}\u{3000}é", &["größe", " 東京", "。", "\u{3000}", "\u{3000}é"]);
        check("  1", &[" ", " ", "1"]);
        check("", &[]);
    }

    /// The alphabet that makes the alternatives meet.
    const DENSE: &str = "[ab'sLl 1２\u{a0}\u{3000}\t\r\n.,<|>é東\u{85}]{0,40}";

    proptest! {
        #[test]
        fn pieces_cover_the_text(text in prop_oneof![".{0,60}", DENSE]) {
            prop_assert_eq!(pieces(&text).collect::<String>(), text.clone());
            prop_assert!(pieces(&text).all(|piece| !piece.is_empty()));
        }

        #[test]
        fn chunks_have_the_pieces_of_the_whole(text in DENSE, target in 0usize..20) {
            let by_chunk: Vec<_> = chunks(&text, target).flat_map(pieces).collect();
            prop_assert_eq!(by_chunk, pieces(&text).collect::<Vec<_>>());
        }
    }
}
