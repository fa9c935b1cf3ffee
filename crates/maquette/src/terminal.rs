//! What a terminal would obey is shown instead: names, messages and models' texts come from anywhere, and an escape sequence
//! in them could rename the window, fill the clipboard or hide what was written.

use std::{borrow::Cow, fmt::Write as _};

/// The text with control characters spelled out (`\x1b`, `\u{9b}`); line feeds and tabs stay.
///
/// Spelled out are C0 and C1 controls, DEL, the line and paragraph separators, and the characters that turn or override the
/// direction of text. Marks that Arabic and Hebrew need (U+200E, U+200F, U+061C) stay.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    replaced(
        text,
        |c| !matches!(c, '\n' | '\t'),
        |c, shown| {
            let _ = match c {
                '\r' => write!(shown, "\\r"),
                '\0'..='\x7f' => write!(shown, "\\x{:02x}", u32::from(c)),
                _ => write!(shown, "\\u{{{:x}}}", u32::from(c)),
            };
        },
    )
}

/// JSON with the same characters as JSON's own escapes: whoever parses it reads the same strings. `serde_json` escapes C0
/// alone.
pub(crate) fn shown_json(json: &str) -> Cow<'_, str> {
    // Below DEL they stand between the strings, as line ends.
    replaced(
        json,
        |c| c >= '\x7f',
        |c, shown| {
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        },
    )
}

fn replaced(text: &str, is_meant: fn(char) -> bool, replace: fn(char, &mut String)) -> Cow<'_, str> {
    let is_replaced = |c: char| is_meant(c) && is_obeyed(c);
    let Some(first) = text.find(is_replaced) else { return Cow::Borrowed(text) };
    let (start, rest) = text.split_at(first);
    let mut shown = start.to_owned();
    for c in rest.chars() {
        if is_replaced(c) {
            replace(c, &mut shown);
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Whether a terminal does something else with it than draw it.
fn is_obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_spelled_out() {
        assert_eq!(shown("bad\x1b]0;title\x07\x1b[31m"), "bad\\x1b]0;title\\x07\\x1b[31m");
        assert_eq!(shown("a\rb\x08\x7f\u{9b}2J"), "a\\rb\\x08\\x7f\\u{9b}2J");
        assert_eq!(shown("\u{202e}txt.exe\u{2069}\u{2028}"), "\\u{202e}txt.exe\\u{2069}\\u{2028}");
        for kept in ["two\nlines\tand a tab", "größe, 語, שלום\u{200f}, 👩‍👩‍👧", ""] {
            assert!(matches!(shown(kept), Cow::Borrowed(same) if same == kept));
        }
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({ "a\u{9b}": "\x1b[2J\x7f\u{202e}\n" });
        let json = serde_json::to_string_pretty(&value).unwrap();
        let safe = shown_json(&json);
        assert!(!safe.chars().any(|c| c != '\n' && is_obeyed(c)), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }
}
