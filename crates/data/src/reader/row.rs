//! One field of a JSON object, taken without building the others.
//!
//! Accepts what Python's `json` writes beyond the standard: `NaN`, `Infinity` and `-Infinity` as other values, and
//! halves of surrogate pairs in strings.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What a row has under the field's name.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// The text's bytes, empty for `null`; halves of surrogate pairs as three bytes each, which are not UTF-8.
    Text(Vec<u8>),
    /// Nothing; the names that are there.
    Missing(Vec<String>),
    /// Two fields of this name.
    Repeated,
}

/// Why a row gives no answer.
#[derive(Debug, PartialEq)]
pub(super) enum BadRow {
    /// The field is no text but this.
    OtherType(&'static str),
    /// The row is no JSON object.
    Syntax {
        message: String,
        column: usize,
        /// It is one as far as it goes.
        is_end: bool,
    },
}

/// How many names of fields a message may hold.
const MAX_NAMES: usize = 20;
const A_TEXT: &str = "a text";

/// The text field of a row. `field` is its name, or names separated by dots: those of objects that lie one in another.
pub(super) fn text_of(row: &[u8], field: &str) -> Result<Found, BadRow> {
    parse(row, field)
        .or_else(|error| match without_python_numbers(row) {
            Some(row) if error.is_syntax() => parse(&row, field),
            _ => Err(error),
        })
        .map_err(bad_row)
}

fn parse(row: &[u8], field: &str) -> Result<Found, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(row);
    let found = Object(field).deserialize(&mut deserializer)?;
    deserializer.end().map(|()| found)
}

fn bad_row(error: serde_json::Error) -> BadRow {
    let text = error.to_string();
    // Its own line number counts within the row.
    let message = text.split(" at line ").next().unwrap_or(&text);
    let other = |found: &str| {
        const KINDS: [(&str, &str); 8] = [
            ("integer", "a number"),
            ("floating", "a number"),
            ("number", "a number"),
            ("boolean", "true or false"),
            ("sequence", "a list"),
            ("map", "an object"),
            ("string", "a string"),
            ("null", "null"),
        ];
        KINDS.iter().find(|(begin, _)| found.starts_with(begin)).map_or("something else", |(_, kind)| kind)
    };
    if let Some(found) =
        message.strip_prefix("invalid type: ").and_then(|m| m.strip_suffix(", expected a text"))
    {
        return BadRow::OtherType(other(found));
    }
    let message = match message.strip_prefix("invalid type: ").and_then(|m| m.split_once(", expected ")) {
        Some((found, expected)) => format!("{}, expected {expected}", other(found)),
        None => message.to_owned(),
    };
    BadRow::Syntax { message, column: error.column(), is_end: error.is_eof() }
}

/// The row with `NaN`, `Infinity` and `-Infinity` outside of strings as zeros in as many columns; none if it has none.
fn without_python_numbers(row: &[u8]) -> Option<Vec<u8>> {
    let mut changed = row.to_vec();
    let (mut at, mut is_string, mut is_changed) = (0, false, false);
    while at < row.len() {
        let rest = &row[at..];
        at += match rest[0] {
            b'\\' if is_string => 2,
            b'"' => {
                is_string = !is_string;
                1
            }
            _ if is_string => 1,
            _ => match [&b"NaN"[..], b"Infinity"].into_iter().find(|word| rest.starts_with(word)) {
                None => 1,
                Some(word) => {
                    changed[at..at + word.len()].fill(b' ');
                    changed[at] = b'0';
                    is_changed = true;
                    word.len()
                }
            },
        };
    }
    is_changed.then_some(changed)
}

/// Takes the text at a path of names.
#[derive(Clone, Copy)]
struct Object<'a>(&'a str);

impl Object<'_> {
    /// The path below `name`, if it leads there.
    fn below(&self, name: &[u8]) -> Option<&str> {
        let rest = self.0.as_bytes().strip_prefix(name)?.strip_prefix(b".")?;
        self.0.get(self.0.len() - rest.len()..)
    }
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with a field `{}`", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut found = None;
        let mut names = Vec::new();
        while let Some(Bytes(name)) = map.next_key_seed(BytesSeed)? {
            let value = if name == self.0.as_bytes() {
                Found::Text(map.next_value_seed(Text)?)
            } else if let Some(below) = self.below(&name) {
                map.next_value_seed(Inner(Object(below)))?
            } else {
                map.next_value::<IgnoredAny>()?;
                Found::Missing(Vec::new())
            };
            match value {
                Found::Missing(inner) => {
                    let name = String::from_utf8_lossy(&name);
                    match inner.is_empty() {
                        true => names.push(name.into_owned()),
                        false => names.extend(inner.iter().map(|inner| format!("{name}.{inner}"))),
                    }
                    names.truncate(MAX_NAMES);
                }
                value if found.is_none() => found = Some(value),
                _ => found = Some(Found::Repeated),
            }
        }
        Ok(found.unwrap_or(Found::Missing(names)))
    }
}

/// An object on the way, or anything else, in which the text is missing.
struct Inner<'a>(Object<'a>);

impl<'de> DeserializeSeed<'de> for Inner<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Inner<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Found, A::Error> {
        self.0.visit_map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Found, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Found::Missing(Vec::new()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Found, E> {
        Ok(Found::Missing(Vec::new()))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Found, E> {
        Ok(Found::Missing(Vec::new()))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Found, E> {
        Ok(Found::Missing(Vec::new()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Found, E> {
        Ok(Found::Missing(Vec::new()))
    }

    fn visit_str<E>(self, _: &str) -> Result<Found, E> {
        Ok(Found::Missing(Vec::new()))
    }

    fn visit_unit<E>(self) -> Result<Found, E> {
        Ok(Found::Missing(Vec::new()))
    }
}

/// The bytes of a string, or none for `null`.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Vec<u8>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(A_TEXT)
    }

    fn visit_none<E>(self) -> Result<Vec<u8>, E> {
        Ok(Vec::new())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<u8>, D::Error> {
        BytesSeed.deserialize(deserializer).map(|Bytes(bytes)| bytes)
    }
}

/// The bytes of a string as they are: only so are halves of surrogate pairs and bytes that are not UTF-8 let through.
struct BytesSeed;
struct Bytes(Vec<u8>);

impl<'de> DeserializeSeed<'de> for BytesSeed {
    type Value = Bytes;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Bytes, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for BytesSeed {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(A_TEXT)
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes(bytes.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(row: &str, field: &str) -> Result<Found, BadRow> {
        text_of(row.as_bytes(), field)
    }

    #[track_caller]
    fn is_text(row: &str, field: &str, expected: &str) {
        assert_eq!(text(row, field), Ok(Found::Text(expected.as_bytes().to_vec())), "{row}");
    }

    #[test]
    fn what_python_writes_is_read() {
        is_text(r#"{"a": NaN, "text": "x", "b": [Infinity, {"c": -Infinity}]}"#, "text", "x");
        is_text(r#"{"text": "NaN \" Infinity", "b": NaN}"#, "text", "NaN \" Infinity");
        is_text(r#"{"text": "x", "b": "\ud800"}"#, "text", "x");
        is_text(r#"{"text": "\ud83d\ude00 \u0000"}"#, "text", "\u{1f600} \0");
        is_text(r#"{"te\u0078t": "x"}"#, "text", "x");
        is_text(r#"{"text": null}"#, "text", "");
        assert_eq!(text(r#"{"text": "a\ud83d"}"#, "text"), Ok(Found::Text(b"a\xed\xa0\xbd".to_vec())));
        assert_eq!(text_of(b"{\"\xff\": \"\xff\", \"text\": \"x\"}", "text"), Ok(Found::Text(b"x".to_vec())));
    }

    #[test]
    fn fields_may_lie_in_objects() {
        is_text(r#"{"a": {"b": {"c": "x"}, "d": 1}}"#, "a.b.c", "x");
        is_text(r#"{"a": {"b.c": "x"}}"#, "a.b.c", "x");
        is_text(r#"{"a.b": "x"}"#, "a.b", "x");
        is_text(r#"{"a": 3, "a.b": "x"}"#, "a.b", "x");
        is_text(r#"{"größe": {"b": "x"}}"#, "größe.b", "x");
        let missing = |row, field| match text(row, field) {
            Ok(Found::Missing(names)) => names.join(" "),
            other => panic!("{other:?}"),
        };
        assert_eq!(missing(r#"{"a": {"b": {"c": "x"}, "d": 1}, "e": 2}"#, "a.b.x"), "a.b.c a.d e");
        assert_eq!(missing(r#"{"a": [1, {}], "b": "s"}"#, "a.b"), "a b");
        assert_eq!(missing("{}", "a"), "");
    }

    #[test]
    fn what_is_no_text_is_named() {
        for (value, kind) in [
            ("3", "a number"),
            ("-1.5e3", "a number"),
            ("NaN", "a number"),
            ("-Infinity", "a number"),
            ("true", "true or false"),
            ("[\"a\"]", "a list"),
            ("{\"a\": 1}", "an object"),
        ] {
            let row = format!("{{\"text\": {value}}}");
            assert_eq!(text(&row, "text"), Err(BadRow::OtherType(kind)), "{row}");
        }
        assert_eq!(text(r#"{"text": "a", "text": "b"}"#, "text"), Ok(Found::Repeated));
        assert_eq!(text(r#"{"a": {"b": "x"}, "a.b": "x"}"#, "a.b"), Ok(Found::Repeated));
    }

    #[test]
    fn what_is_no_object_is_named() {
        let syntax = |row: &str| match text(row, "text") {
            Err(BadRow::Syntax { message, column, is_end }) => (message, column, is_end),
            other => panic!("{row}: {other:?}"),
        };
        assert_eq!(syntax("[1]").0, "a list, expected an object with a field `text`");
        assert_eq!(syntax("3").0, "a number, expected an object with a field `text`");
        assert_eq!(syntax(r#"{"text": "a"} x"#), ("trailing characters".to_owned(), 15, false));
        assert_eq!(syntax(r#"{"text": "a", NaN}"#).1, 15);
        for cut in [r#"{"text": "a"#, r#"{"text""#, "{", r#"{"a": NaN, "text": "#] {
            assert!(syntax(cut).2, "{cut}");
        }
        assert!(!syntax("{'text': 'a'}").2);
    }

    #[test]
    fn deep_rows_end() {
        let deep = "[".repeat(1 << 20);
        assert!(text(&format!("{{\"a\": {deep}"), "text").is_err());
        assert!(text(&format!("{{\"text\": {deep}"), "text").is_err());
        assert!(text(&"{\"a\":".repeat(1 << 18), "a.a.a").is_err());
    }
}
