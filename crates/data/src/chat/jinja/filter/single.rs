//! Filters of one value.

use super::super::{
    attribute::attribute_only,
    call::{Called, integer, string},
    case,
    failure::{Result, fail, unsupported},
    meter::Meter,
    number, operator, printf, show,
    str_method::{justify, lines, replace, strip},
    stream::items,
    text::{Builder, Char, TYPED, Text, plain, to_char},
    value::{Dict, Source, Value, View},
};

pub(super) fn apply(name: &str, value: &Value, called: Called, meter: &Meter) -> Result<Value> {
    if matches!(value, Value::Markup(_))
        && !["string", "safe", "e", "escape", "length", "count", "d", "default"].contains(&name)
    {
        return unsupported("the template computes with text that was marked as safe HTML");
    }
    let text = || show::text(value, meter);
    match name {
        "default" | "d" => {
            let [default, boolean] = called.bind(name, ["default_value", "boolean"], 0)?;
            let boolean = boolean.map_or(Ok(false), |b| b.is_true(meter))?;
            let replaced = value.is_undefined() || (boolean && !value.is_true(meter)?);
            return Ok(if replaced { default.unwrap_or_else(|| Value::text("")) } else { value.clone() });
        }
        "attr" => {
            let [name] = called.bind(name, ["name"], 1)?;
            let name = string(name, "attr")?.to_string();
            return attribute_only(value, &name, meter);
        }
        "trim" => {
            let [set] = called.bind(name, ["chars"], 0)?;
            return Ok(Value::Text(strip(text()?.chars(), set, true, true)?.into()));
        }
        "replace" => {
            let [old, new, count] = called.bind(name, ["old", "new", "count"], 2)?;
            let limit = match count {
                None | Some(Value::None) => -1,
                count => integer(count, -1, name)?,
            };
            let part = |value: Option<Value>| show::text(&value.unwrap_or(Value::None), meter);
            let (old, new) = (part(old)?, part(new)?);
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            return replace(text()?.chars(), old.chars(), new.chars(), limit, meter).map(Value::Text);
        }
        "indent" => return indent(value, called, meter),
        "truncate" => return truncate(value, called, meter),
        "center" => {
            let [width] = called.bind(name, ["width"], 0)?;
            let width = usize::try_from(integer(width, 80, name)?).unwrap_or(0);
            return justify(text()?.chars(), width, None, name, meter).map(Value::Text);
        }
        "format" => {
            if !called.named.is_empty() && !called.positional.is_empty() {
                return fail("can't handle positional and keyword arguments at the same time");
            }
            let values = if called.named.is_empty() {
                Value::tuple(called.positional, meter)?
            } else {
                let named = called.named.into_iter().map(|(name, value)| (Value::text(&name), value));
                Value::Dict(Dict::new(named, meter)?)
            };
            return printf::format(&text()?, &values, meter).map(Value::Text);
        }
        "int" => {
            let [default, base] = called.bind(name, ["default", "base"], 0)?;
            let base = u32::try_from(integer(base, 10, name)?).unwrap_or(1);
            return int(value, default.unwrap_or(Value::Int(0)), base);
        }
        "float" => {
            let [default] = called.bind(name, ["default"], 0)?;
            let default = default.unwrap_or(Value::Float(0.0));
            return Ok(match value {
                Value::Undefined(message) => return fail(&**message),
                other => to_float(other).map_or(default, Value::Float),
            });
        }
        "round" => return round(value, called),
        _ => {}
    }
    called.none(name)?;
    Ok(match name {
        "upper" => Value::Text(case::upper(text()?.chars(), meter)?),
        "lower" => Value::Text(case::lower(text()?.chars(), meter)?),
        "capitalize" => Value::Text(case::capitalize(text()?.chars(), meter)?),
        "title" => Value::Text(case::title_words(text()?.chars(), meter)?),
        "string" if matches!(value, Value::Markup(_)) => value.clone(),
        "string" => Value::Text(text()?),
        "length" | "count" => Value::Int(value.len(meter)? as i128),
        "abs" => match value {
            Value::Float(x) => Value::Float(x.abs()),
            other => match other.integer() {
                Some(n) => Value::Int(n.abs()),
                None => operator::signed(other, false)
                    .and_then(|_| fail(format!("bad operand type for abs(): '{}'", other.type_name())))?,
            },
        },
        "items" => match value {
            Value::Undefined(_) => Value::iterator(Vec::new(), meter)?,
            Value::Dict(dict) => {
                let pairs =
                    (0..dict.entries.len()).filter_map(|at| dict.at(View::Items, at, meter).transpose());
                Value::iterator(pairs.collect::<Result<_>>()?, meter)?
            }
            _ => return fail("Can only get item pairs from a mapping."),
        },
        "reverse" => match value {
            Value::Text(text) => {
                meter.make(text.len())?;
                Value::Text(text.chars().iter().rev().copied().collect::<Vec<_>>().into())
            }
            other => {
                let mut reversed = items(other, meter)?;
                reversed.reverse();
                // What cannot be read backwards becomes a list.
                if matches!(other, Value::Iterator(_)) {
                    Value::list(reversed, meter)?
                } else {
                    Value::iterator(reversed, meter)?
                }
            }
        },
        "safe" => Value::Markup(text()?),
        "escape" | "e" if matches!(value, Value::Markup(_)) => value.clone(),
        "escape" | "e" | "forceescape" => Value::Markup(escape(&text()?, meter)?),
        "wordcount" => {
            let text = text()?;
            meter.work(50 * text.len())?;
            let mut in_word = false;
            let mut n = 0;
            for &c in text.chars() {
                let is_word = case::is_alphanumeric(c) || to_char(c) == '_';
                n += i128::from(is_word && !in_word);
                in_word = is_word;
            }
            Value::Int(n)
        }
        "urlencode" => return urlencode(value, meter),
        other => return unsupported(format!("the template uses the filter `{other}`")),
    })
}

fn escape(text: &Text, meter: &Meter) -> Result<Text> {
    let mut out = Builder::new(meter);
    for &c in text.chars() {
        let entity = match to_char(c) {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '\'' => "&#39;",
            '"' => "&#34;",
            _ => {
                out.push(c)?;
                continue;
            }
        };
        let entity: Vec<Char> = entity.chars().map(|e| u32::from(e) | (c & TYPED)).collect();
        out.extend(&entity)?;
    }
    Ok(out.finish())
}

fn indent(value: &Value, called: Called, meter: &Meter) -> Result<Value> {
    let Value::Text(text) = value else {
        return match value {
            Value::Undefined(message) => fail(&**message),
            other => fail(format!("indent: unsupported operand for +: '{}' and 'str'", other.type_name())),
        };
    };
    let [width, first, blank] = called.bind("indent", ["width", "first", "blank"], 0)?;
    let mut indention = Builder::new(meter);
    match width {
        Some(Value::Text(text)) => indention.extend(text.chars())?,
        width => {
            indention.repeat(u32::from(' '), usize::try_from(integer(width, 4, "indent")?).unwrap_or(0))?;
        }
    }
    let indention = indention.finish();
    let truth = |value: Option<Value>| value.map_or(Ok(false), |value| value.is_true(meter));
    let (first, blank) = (truth(first)?, truth(blank)?);
    let mut with_end = text.chars().to_vec();
    with_end.push(u32::from('\n'));
    meter.make(with_end.len())?;
    let mut out = Builder::new(meter);
    for (i, line) in lines(&with_end, false).into_iter().enumerate() {
        if i > 0 {
            out.write("\n")?;
        }
        if (i == 0 && first) || (i > 0 && (blank || !line.is_empty())) {
            out.extend(indention.chars())?;
        }
        out.extend(line)?;
    }
    Ok(Value::Text(out.finish()))
}

fn truncate(value: &Value, called: Called, meter: &Meter) -> Result<Value> {
    let Value::Text(text) = value else {
        return unsupported(format!("`truncate` of a {}", value.type_name()));
    };
    let [length, kill, end, leeway] = called.bind("truncate", ["length", "killwords", "end", "leeway"], 0)?;
    let length = integer(length, 255, "truncate")?;
    let end = end.map_or_else(|| Ok(Text::new("...")), |end| string(Some(end), "truncate"))?;
    let leeway = match leeway {
        Some(Value::None) => 5,
        leeway => integer(leeway, 5, "truncate")?,
    };
    let cut = length - end.len() as i128;
    if cut < 0 || leeway < 0 {
        return fail(format!("truncate: expected length >= {}, got {length}", end.len()));
    }
    if text.len() as i128 <= length + leeway {
        return Ok(value.clone());
    }
    let mut kept = &text.chars()[..usize::try_from(cut).unwrap_or(usize::MAX).min(text.len())];
    if !kill.map_or(Ok(false), |kill| kill.is_true(meter))? {
        let blank = kept.iter().rposition(|c| to_char(*c) == ' ');
        kept = &kept[..blank.unwrap_or(kept.len())];
    }
    let mut out = Builder::new(meter);
    out.extend(kept)?;
    out.extend(end.chars())?;
    Ok(Value::Text(out.finish()))
}

fn int(value: &Value, default: Value, base: u32) -> Result<Value> {
    let of_float = |x: f64| match number::truncate(x) {
        Some(n) => Ok(Value::Int(n)),
        None if x.is_finite() => unsupported("the template uses an integer of more than 126 bits"),
        None => Ok(default.clone()),
    };
    match value {
        Value::Undefined(message) => fail(&**message),
        Value::Text(text) => {
            let text = text.to_string();
            match number::parse_int(&text, base) {
                Ok(Some(n)) => Ok(Value::Int(n)),
                Ok(None) => number::parse_float(&text).map_or(Ok(default.clone()), of_float),
                Err(()) => unsupported("the template uses an integer of more than 126 bits"),
            }
        }
        Value::Float(x) if x.is_infinite() => fail("cannot convert float infinity to integer"),
        Value::Float(x) => of_float(*x),
        other => Ok(other.integer().map_or(default, Value::Int)),
    }
}

fn to_float(value: &Value) -> Option<f64> {
    match value {
        Value::Float(x) => Some(*x),
        Value::Text(text) => number::parse_float(&text.to_string()),
        other => other.integer().map(|n| n as f64),
    }
}

fn round(value: &Value, called: Called) -> Result<Value> {
    let [precision, method] = called.bind("round", ["precision", "method"], 0)?;
    let precision = integer(precision, 0, "round")?;
    let method =
        method.map_or_else(|| Ok("common".into()), |m| string(Some(m), "round").map(|m| m.to_string()))?;
    if !["common", "ceil", "floor"].contains(&method.as_str()) {
        return fail("method must be common, ceil or floor");
    }
    let Ok(digits) = usize::try_from(precision) else {
        return unsupported("`round` to a precision below zero");
    };
    if digits > 22 {
        return unsupported("`round` to more than 22 digits");
    }
    let x = match value {
        Value::Undefined(message) => return fail(&**message),
        Value::Float(x) => *x,
        other => match other.integer() {
            Some(n) if method == "common" => return Ok(Value::Int(n)),
            Some(n) => n as f64,
            None => return fail(format!("type {} doesn't define __round__ method", other.type_name())),
        },
    };
    if method == "common" {
        // The nearest decimal, ties to even, as Python rounds.
        let rounded = if x.is_finite() { format!("{x:.digits$}").parse().unwrap_or(x) } else { x };
        return Ok(Value::Float(rounded));
    }
    let scale = 10_f64.powi(i32::try_from(digits).unwrap_or(0));
    let scaled = x * scale;
    let whole = if method == "ceil" { scaled.ceil() } else { scaled.floor() };
    match number::truncate(whole) {
        Some(n) => Ok(Value::Float(n as f64 / scale)),
        None => fail("cannot convert float to integer"),
    }
}

/// `urllib.parse.quote`, for a string or for the pairs of a query.
fn urlencode(value: &Value, meter: &Meter) -> Result<Value> {
    let mut out = Builder::new(meter);
    let pairs = match value {
        Value::Dict(dict) => Source::View(dict.clone(), View::Items, 0),
        Value::List(_) | Value::Tuple(_) => Source::of(value, meter)?,
        other => {
            quote(&show::text(other, meter)?, false, &mut out)?;
            return Ok(Value::Text(out.finish()));
        }
    };
    let mut pairs = pairs;
    let mut first = true;
    while let Some(pair) = pairs.next(meter)? {
        let [key, value] = &items(&pair, meter)?[..] else { return fail("urlencode expects pairs") };
        if !std::mem::take(&mut first) {
            out.write("&")?;
        }
        quote(&show::text(key, meter)?, true, &mut out)?;
        out.write("=")?;
        quote(&show::text(value, meter)?, true, &mut out)?;
    }
    Ok(Value::Text(out.finish()))
}

fn quote(text: &Text, query: bool, out: &mut Builder<'_>) -> Result<()> {
    for &c in text.chars() {
        match to_char(c) {
            letter if letter.is_ascii_alphanumeric() || "_.-~".contains(letter) => out.push(c)?,
            '/' if !query => out.push(c)?,
            ' ' if query => out.push(u32::from('+') | (c & TYPED))?,
            letter if char::from_u32(plain(c)).is_some() => {
                for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                    for escaped in format!("%{byte:02X}").chars() {
                        out.push(u32::from(escaped) | (c & TYPED))?;
                    }
                }
            }
            _ => return fail("surrogates not allowed"),
        }
    }
    Ok(())
}
