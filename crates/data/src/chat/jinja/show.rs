//! Python's `str` and `repr`.

use std::sync::LazyLock;

use regex::Regex;

use super::{
    failure::{Result, unsupported},
    meter::Meter,
    number,
    text::{Builder, Char, TYPED, Text, plain, to_char},
    value::{Value, View},
};

/// Python's `str(value)`.
pub(crate) fn text(value: &Value, meter: &Meter) -> Result<Text> {
    if let Value::Text(text) | Value::Markup(text) = value {
        return Ok(text.clone());
    }
    let mut out = Builder::new(meter);
    write(value, &mut out)?;
    Ok(out.finish())
}

/// Writes `str(value)`.
pub(crate) fn write(value: &Value, out: &mut Builder<'_>) -> Result<()> {
    match value {
        Value::Undefined(_) => Ok(()),
        Value::Text(text) | Value::Markup(text) => out.extend(text.chars()),
        other => repr(other, out),
    }
}

/// Writes `repr(value)`.
pub(crate) fn repr(value: &Value, out: &mut Builder<'_>) -> Result<()> {
    match value {
        Value::Undefined(_) => out.write("Undefined"),
        Value::None => out.write("None"),
        Value::Bool(yes) => out.write(if *yes { "True" } else { "False" }),
        Value::Int(n) => out.write(&n.to_string()),
        Value::Float(x) => out.write(&number::float(*x)),
        Value::Text(text) => quoted(text.chars(), out),
        Value::List(list) => items(&list.items, "[", "]", out),
        Value::Tuple(list) => items(&list.items, "(", if list.items.len() == 1 { ",)" } else { ")" }, out),
        Value::Dict(dict) => {
            out.write("{")?;
            for (i, (key, value)) in dict.entries.iter().enumerate() {
                out.write(if i == 0 { "" } else { ", " })?;
                repr(key, out)?;
                out.write(": ")?;
                repr(value, out)?;
            }
            out.write("}")
        }
        Value::View(dict, view) => {
            out.write(value.type_name())?;
            out.write("([")?;
            for (i, (key, value)) in dict.entries.iter().enumerate() {
                out.write(if i == 0 { "" } else { ", " })?;
                match view {
                    View::Keys => repr(key, out)?,
                    View::Values => repr(value, out)?,
                    View::Items => items(&[key.clone(), value.clone()], "(", ")", out)?,
                }
            }
            out.write("])")
        }
        Value::Range(range) => {
            let step = if range.step == 1 { String::new() } else { format!(", {}", range.step) };
            out.write(&format!("range({}, {}{step})", range.start, range.stop))
        }
        Value::Loop(inner) => {
            let (at, length) = (inner.index0.get() + 1, inner.length(out.meter())?);
            out.write(&format!("<LoopContext {at}/{length}>"))
        }
        other => unsupported(format!("the template prints a {}", other.type_name())),
    }
}

fn items(items: &[Value], open: &str, close: &str, out: &mut Builder<'_>) -> Result<()> {
    out.write(open)?;
    for (i, item) in items.iter().enumerate() {
        out.write(if i == 0 { "" } else { ", " })?;
        repr(item, out)?;
    }
    out.write(close)
}

/// A string literal of Python; escapes of a typed character are typed too.
fn quoted(chars: &[Char], out: &mut Builder<'_>) -> Result<()> {
    let has = |wanted: char| chars.iter().any(|c| plain(*c) == u32::from(wanted));
    let quote = if has('\'') && !has('"') { '"' } else { '\'' };
    out.push(u32::from(quote))?;
    for &c in chars {
        let code = plain(c);
        let escaped = match to_char(c) {
            '\n' => "\\n".into(),
            '\r' => "\\r".into(),
            '\t' => "\\t".into(),
            '\\' => "\\\\".into(),
            other if other == quote => format!("\\{quote}"),
            ' '..='~' => {
                out.push(c)?;
                continue;
            }
            _ if is_printable(code) => {
                out.push(c)?;
                continue;
            }
            _ if code < 0x100 => format!("\\x{code:02x}"),
            _ if code < 0x1_0000 => format!("\\u{code:04x}"),
            _ => format!("\\U{code:08x}"),
        };
        let escaped: Vec<Char> = escaped.chars().map(|e| u32::from(e) | (c & TYPED)).collect();
        out.extend(&escaped)?;
    }
    out.push(u32::from(quote))
}

/// Python's `str.isprintable` for a character outside of ASCII.
fn is_printable(code: u32) -> bool {
    static HIDDEN: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"[\p{C}\p{Z}]").expect("the pattern is a constant"));
    char::from_u32(code).is_some_and(|c| !HIDDEN.is_match(c.encode_utf8(&mut [0; 4])))
}
