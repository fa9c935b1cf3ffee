//! `tojson`: Python's `json.dumps`, and JSON to values.

use std::rc::Rc;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{
    super::message::is_plain_role,
    call::Called,
    compare::{ordered, sort},
    failure::{Failure, Kind, Result, fail},
    meter::Meter,
    number, show,
    text::{Builder, Char, TYPED, Text, plain},
    value::{Dict, Value},
};

/// The filter `tojson`, as transformers defines it.
pub(crate) fn filter(value: &Value, called: Called, meter: &Meter) -> Result<Value> {
    let [ensure_ascii, indent, separators, sort_keys] =
        called.bind("tojson", ["ensure_ascii", "indent", "separators", "sort_keys"], 0)?;
    let indent = match indent {
        None | Some(Value::None) => None,
        Some(Value::Text(text)) => Some(text),
        Some(other) => match other.integer() {
            Some(n) => {
                let mut blanks = Builder::new(meter);
                blanks.repeat(u32::from(' '), usize::try_from(n).unwrap_or(0))?;
                Some(blanks.finish())
            }
            None => {
                return fail(format!("can't multiply sequence by non-int of type '{}'", other.type_name()));
            }
        },
    };
    let (item, key) = match separators {
        None | Some(Value::None) => (Text::new(if indent.is_some() { "," } else { ", " }), Text::new(": ")),
        Some(Value::List(pair) | Value::Tuple(pair)) => match &pair.items[..] {
            [Value::Text(item), Value::Text(key)] => (item.clone(), key.clone()),
            _ => return fail("`separators` of `tojson` are two strings"),
        },
        Some(_) => return fail("`separators` of `tojson` are two strings"),
    };
    let truth = |value: Option<Value>| value.map_or(Ok(false), |value| value.is_true(meter));
    let style =
        Style { ensure_ascii: truth(ensure_ascii)?, indent, item, key, sort_keys: truth(sort_keys)?, meter };
    let mut out = Builder::new(meter);
    style.write(value, 0, &mut out)?;
    Ok(Value::Text(out.finish()))
}

struct Style<'m> {
    ensure_ascii: bool,
    indent: Option<Text>,
    /// Between items.
    item: Text,
    /// Behind keys.
    key: Text,
    sort_keys: bool,
    meter: &'m Meter,
}

impl Style<'_> {
    fn write(&self, value: &Value, level: usize, out: &mut Builder<'_>) -> Result<()> {
        self.meter.work(1)?;
        match value {
            Value::None => out.write("null"),
            Value::Bool(yes) => out.write(if *yes { "true" } else { "false" }),
            Value::Int(n) => out.write(&n.to_string()),
            Value::Float(x) => out.write(&float(*x)),
            Value::Text(text) | Value::Markup(text) => self.string(text.chars(), out),
            Value::List(list) | Value::Tuple(list) => {
                if list.items.is_empty() {
                    return out.write("[]");
                }
                out.write("[")?;
                for (i, item) in list.items.iter().enumerate() {
                    self.separate(i, level + 1, out)?;
                    self.write(item, level + 1, out)?;
                }
                self.line(level, out)?;
                out.write("]")
            }
            Value::Dict(dict) => self.object(dict, level, out),
            other => fail(format!("Object of type {} is not JSON serializable", other.type_name())),
        }
    }

    fn object(&self, dict: &Dict, level: usize, out: &mut Builder<'_>) -> Result<()> {
        if dict.entries.is_empty() {
            return out.write("{}");
        }
        let mut entries: Vec<&(Value, Value)> = dict.entries.iter().collect();
        if self.sort_keys {
            entries = sort(entries, &|a, b| ordered(&a.0, &b.0, "<", std::cmp::Ordering::is_lt, self.meter))?;
        }
        out.write("{")?;
        for (i, (key, value)) in entries.into_iter().enumerate() {
            self.separate(i, level + 1, out)?;
            match key {
                Value::Text(text) => self.string(text.chars(), out)?,
                Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                    out.write("\"")?;
                    self.write(key, 0, out)?;
                    out.write("\"")?;
                }
                other => {
                    let kind = other.type_name();
                    return fail(format!("keys must be str, int, float, bool or None, not {kind}"));
                }
            }
            out.extend(self.key.chars())?;
            self.write(value, level + 1, out)?;
        }
        self.line(level, out)?;
        out.write("}")
    }

    fn separate(&self, i: usize, level: usize, out: &mut Builder<'_>) -> Result<()> {
        if i > 0 {
            out.extend(self.item.chars())?;
        }
        self.line(level, out)
    }

    fn line(&self, level: usize, out: &mut Builder<'_>) -> Result<()> {
        let Some(indent) = &self.indent else { return Ok(()) };
        out.write("\n")?;
        (0..level).try_for_each(|_| out.extend(indent.chars()))
    }

    /// A string; escapes of a typed character are typed too.
    fn string(&self, chars: &[Char], out: &mut Builder<'_>) -> Result<()> {
        out.write("\"")?;
        for &c in chars {
            let escaped = match plain(c) {
                0x22 => "\\\"".into(),
                0x5c => "\\\\".into(),
                0x0a => "\\n".into(),
                0x0d => "\\r".into(),
                0x09 => "\\t".into(),
                0x0c => "\\f".into(),
                0x08 => "\\b".into(),
                code @ 0..=0x1f => format!("\\u{code:04x}"),
                code @ 0x7f.. if self.ensure_ascii => {
                    let mut units = [0; 2];
                    let single = [code as u16];
                    let units =
                        char::from_u32(code).map_or(&single[..], |letter| &*letter.encode_utf16(&mut units));
                    units.iter().map(|unit| format!("\\u{unit:04x}")).collect()
                }
                _ => {
                    out.push(c)?;
                    continue;
                }
            };
            let escaped: Vec<Char> = escaped.chars().map(|e| u32::from(e) | (c & TYPED)).collect();
            out.extend(&escaped)?;
        }
        out.write("\"")
    }
}

fn float(x: f64) -> String {
    match x {
        x if x.is_nan() => "NaN".into(),
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        x => number::float(x),
    }
}

/// The value that a JSON text describes, with its keys in their order.
pub(crate) fn parse(json: &str, typed: bool, meter: &Meter) -> Result<Value> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let seed = Seed { typed, meter };
    let value = seed.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| Failure::new(Kind::Template, format!("expected JSON, found {error}")))
}

#[derive(Clone, Copy)]
struct Seed<'m> {
    typed: bool,
    meter: &'m Meter,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::None)
    }

    fn visit_bool<E>(self, yes: bool) -> std::result::Result<Value, E> {
        Ok(Value::Bool(yes))
    }

    fn visit_i64<E>(self, n: i64) -> std::result::Result<Value, E> {
        Ok(Value::Int(n.into()))
    }

    fn visit_u64<E>(self, n: u64) -> std::result::Result<Value, E> {
        Ok(Value::Int(n.into()))
    }

    fn visit_f64<E>(self, x: f64) -> std::result::Result<Value, E> {
        Ok(Value::Float(x))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<Value, E> {
        self.meter.make(text.len()).map_err(E::custom)?;
        Ok(Value::Text(if self.typed { Text::typed(text) } else { Text::new(text) }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> std::result::Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self)? {
            items.push(item);
        }
        Value::list(items, self.meter).map_err(serde::de::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> std::result::Result<Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(key) = access.next_key::<String>()? {
            let is_role = key == "role";
            let key = Value::Text(if self.typed { Text::typed(&key) } else { Text::new(&key) });
            let value = access.next_value_seed(self)?;
            let role = match &value {
                Value::Text(role) if is_role => Some(role.to_string()).filter(|role| is_plain_role(role)),
                _ => None,
            };
            pairs.push((key, role.map_or(value, |role| Value::text(&role))));
        }
        let dict: Rc<Dict> = Dict::new(pairs, self.meter).map_err(serde::de::Error::custom)?;
        Ok(Value::Dict(dict))
    }
}

/// A value as text, for messages.
pub(crate) fn brief(value: &Value, meter: &Meter) -> String {
    show::text(value, meter)
        .map_or_else(|_| value.type_name().into(), |text| text.to_string().chars().take(60).collect())
}
