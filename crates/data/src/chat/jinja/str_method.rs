//! The methods of strings.

use rustc_hash::FxHashSet;

use super::{
    call::{Called, integer, string},
    case,
    failure::{Result, fail, unsupported},
    format,
    meter::Meter,
    stream::items,
    text::{Builder, Char, Text, find, find_last, is_space, plain, same, to_char, trim},
    value::Value,
};

/// `text.name(…)`
pub(crate) fn call(text: &Text, name: &str, called: Called, meter: &Meter) -> Result<Value> {
    let chars = text.chars();
    // Asking what kind of character it is costs more outside of ASCII.
    meter.work(if name.starts_with("is") || name == "title" { 50 * chars.len() } else { chars.len() })?;
    let part = |part: &[Char]| -> Result<Value> {
        meter.make(part.len())?;
        Ok(Value::Text(part.to_vec().into()))
    };
    let every =
        |test: &dyn Fn(Char) -> bool| Ok(Value::Bool(!chars.is_empty() && chars.iter().all(|c| test(*c))));
    let ascii_only = |test: &dyn Fn(char) -> bool| match chars.iter().all(|c| to_char(*c).is_ascii()) {
        true => every(&|c| test(to_char(c))),
        false => unsupported(format!("`{name}` of characters outside of ASCII")),
    };
    match name {
        "format" => return format::format(text, &called, meter).map(Value::Text),
        "format_map" => {
            let [map] = called.bind(name, [""], 1)?;
            let Some(Value::Dict(dict)) = map else { return fail("format_map expects a mapping") };
            let named = dict.entries.iter().map(|(key, value)| {
                let Value::Text(key) = key else {
                    return unsupported("`format_map` with keys that are not strings");
                };
                Ok((key.to_string().into(), value.clone()))
            });
            let called = Called { positional: Vec::new(), named: named.collect::<Result<_>>()? };
            return format::format(text, &called, meter).map(Value::Text);
        }
        "strip" | "lstrip" | "rstrip" => {
            let [set] = called.bind(name, [""], 0)?;
            return part(&strip(chars, set, name != "rstrip", name != "lstrip")?);
        }
        "split" | "rsplit" => {
            let [separator, limit] = called.bind(name, ["sep", "maxsplit"], 0)?;
            let limit = usize::try_from(integer(limit, -1, name)?).unwrap_or(usize::MAX);
            return split(chars, separator, limit, name == "rsplit", meter);
        }
        "splitlines" => {
            let [keep] = called.bind(name, ["keepends"], 0)?;
            let keep = keep.map_or(Ok(false), |keep| keep.is_true(meter))?;
            let lines = lines(chars, keep).into_iter().map(part).collect::<Result<_>>()?;
            return Value::list(lines, meter);
        }
        "startswith" | "endswith" => {
            let [affixes, start, end] = called.bind(name, ["", "", ""], 1)?;
            let Some(chars) = window(chars, start, end)? else { return Ok(Value::Bool(false)) };
            let affixes = match affixes {
                Some(Value::Tuple(list)) => list.items.clone(),
                other => other.into_iter().collect(),
            };
            for affix in affixes {
                let affix = string(Some(affix), name)?;
                meter.work(affix.len())?;
                let at = if name == "startswith" { Some(0) } else { chars.len().checked_sub(affix.len()) };
                let here = at.and_then(|at| chars.get(at..at + affix.len()));
                if here.is_some_and(|here| same(here, affix.chars())) {
                    return Ok(Value::Bool(true));
                }
            }
            return Ok(Value::Bool(false));
        }
        "find" | "index" | "rfind" | "rindex" | "count" => {
            let [wanted, start, end] = called.bind(name, ["", "", ""], 1)?;
            let wanted = string(wanted, name)?;
            let first = match &start {
                None | Some(Value::None) => 0,
                Some(n) => n.integer().unwrap_or(0),
            };
            let first = usize::try_from(if first < 0 { (first + chars.len() as i128).max(0) } else { first });
            let (first, window) = (first.unwrap_or(usize::MAX), window(chars, start, end)?);
            if name == "count" {
                return Ok(Value::Int(
                    window.map_or(Ok(0), |inside| count(inside, wanted.chars(), meter))? as i128
                ));
            }
            let found = match window {
                None => None,
                Some(inside) if name.starts_with('r') => find_last(inside, wanted.chars(), meter)?,
                Some(inside) => find(inside, wanted.chars(), meter)?,
            };
            return match found {
                Some(at) => Ok(Value::Int((at + first.min(chars.len())) as i128)),
                None if name.ends_with("index") => fail("substring not found"),
                None => Ok(Value::Int(-1)),
            };
        }
        "replace" => {
            let [old, new, limit] = called.bind(name, ["", "", "count"], 2)?;
            let (old, new) = (string(old, name)?, string(new, name)?);
            let limit = usize::try_from(integer(limit, -1, name)?).unwrap_or(usize::MAX);
            return replace(chars, old.chars(), new.chars(), limit, meter).map(Value::Text);
        }
        "join" => {
            let [parts] = called.bind(name, [""], 1)?;
            let mut out = Builder::new(meter);
            for (i, item) in items(&parts.unwrap_or(Value::None), meter)?.into_iter().enumerate() {
                if i > 0 {
                    out.extend(chars)?;
                }
                out.extend(string(Some(item), "sequence item of join")?.chars())?;
            }
            return Ok(Value::Text(out.finish()));
        }
        "partition" | "rpartition" => {
            let [separator] = called.bind(name, [""], 1)?;
            let separator = string(separator, name)?;
            if separator.is_empty() {
                return fail("empty separator");
            }
            let last = name == "rpartition";
            let found = if last {
                find_last(chars, separator.chars(), meter)
            } else {
                find(chars, separator.chars(), meter)
            }?;
            let parts = match found {
                Some(at) => [&chars[..at], separator.chars(), &chars[at + separator.len()..]],
                None if last => [&[], &[], chars],
                None => [chars, &[], &[]],
            };
            return Value::tuple(parts.into_iter().map(part).collect::<Result<_>>()?, meter);
        }
        "removeprefix" | "removesuffix" => {
            let [affix] = called.bind(name, [""], 1)?;
            let affix = string(affix, name)?;
            let cut = chars.len().checked_sub(affix.len());
            return part(match cut {
                Some(_) if name == "removeprefix" && same(&chars[..affix.len()], affix.chars()) => {
                    &chars[affix.len()..]
                }
                Some(at) if name == "removesuffix" && same(&chars[at..], affix.chars()) => &chars[..at],
                _ => chars,
            });
        }
        "center" | "ljust" | "rjust" => {
            let [width, fill] = called.bind(name, ["", ""], 1)?;
            let width = usize::try_from(integer(width, 0, name)?).unwrap_or(0);
            let fill = fill.map(|fill| string(Some(fill), name)).transpose()?;
            return justify(chars, width, fill, name, meter).map(Value::Text);
        }
        "zfill" => {
            let [width] = called.bind(name, [""], 1)?;
            let width = usize::try_from(integer(width, 0, name)?).unwrap_or(0);
            let sign = usize::from(chars.first().is_some_and(|c| "+-".contains(to_char(*c))));
            let mut out = Builder::new(meter);
            out.extend(&chars[..sign])?;
            out.repeat(u32::from('0'), width.saturating_sub(chars.len()))?;
            out.extend(&chars[sign..])?;
            return Ok(Value::Text(out.finish()));
        }
        "expandtabs" => {
            let [size] = called.bind(name, ["tabsize"], 0)?;
            let size = usize::try_from(integer(size, 8, name)?).unwrap_or(0);
            let (mut out, mut column) = (Builder::new(meter), 0);
            for &c in chars {
                match to_char(c) {
                    '\t' => {
                        let n = if size == 0 { 0 } else { size - column % size };
                        out.repeat(u32::from(' '), n)?;
                        column += n;
                    }
                    other => {
                        column = if other == '\n' || other == '\r' { 0 } else { column + 1 };
                        out.push(c)?;
                    }
                }
            }
            return Ok(Value::Text(out.finish()));
        }
        _ => {}
    }
    called.none(name)?;
    Ok(match name {
        "upper" => Value::Text(case::upper(chars, meter)?),
        "lower" => Value::Text(case::lower(chars, meter)?),
        "capitalize" => Value::Text(case::capitalize(chars, meter)?),
        "title" => Value::Text(case::title(chars, meter)?),
        "swapcase" => Value::Text(case::swap(chars, meter)?),
        "casefold" if chars.iter().all(|c| to_char(*c).is_ascii()) => Value::Text(case::lower(chars, meter)?),
        "isspace" => return every(&is_space),
        "isalpha" => return every(&case::is_letter),
        "isalnum" => return every(&case::is_alphanumeric),
        "isascii" => Value::Bool(chars.iter().all(|c| plain(*c) < 0x80)),
        "isdigit" | "isdecimal" | "isnumeric" => return ascii_only(&|c| c.is_ascii_digit()),
        "isprintable" if chars.is_empty() => Value::Bool(true),
        "isprintable" => return ascii_only(&|c| (' '..='~').contains(&c)),
        "isidentifier" if chars.first().is_some_and(|c| to_char(*c).is_ascii_digit()) => Value::Bool(false),
        "isidentifier" => return ascii_only(&|c| c.is_ascii_alphanumeric() || c == '_'),
        "isupper" => Value::Bool(case::is_all(chars, true)),
        "islower" => Value::Bool(case::is_all(chars, false)),
        "istitle" => Value::Bool(case::is_title_cased(chars)),
        other => return unsupported(format!("the string method `{other}`")),
    })
}

/// The part between two indices, or nothing where it begins behind the end.
fn window(chars: &[Char], start: Option<Value>, end: Option<Value>) -> Result<Option<&[Char]>> {
    let len = chars.len() as i128;
    let index = |value: Option<Value>, default: i128| -> Result<i128> {
        match value {
            None | Some(Value::None) => Ok(default),
            value => integer(value, 0, "slice index").map(|n| if n < 0 { (n + len).max(0) } else { n }),
        }
    };
    let (start, end) = (index(start, 0)?, index(end, len)?.min(len));
    if start > end {
        return Ok(None);
    }
    Ok(usize::try_from(start).ok().zip(usize::try_from(end).ok()).map(|(start, end)| &chars[start..end]))
}

/// Without blanks, or the characters of a set, at its ends.
pub(crate) fn strip(chars: &[Char], set: Option<Value>, left: bool, right: bool) -> Result<Vec<Char>> {
    Ok(match set {
        None | Some(Value::None) => trim(chars, left, right, is_space),
        Some(set) => {
            let set = string(Some(set), "strip arg")?;
            let set: FxHashSet<u32> = set.chars().iter().map(|c| plain(*c)).collect();
            trim(chars, left, right, |c| set.contains(&plain(c)))
        }
    }
    .to_vec())
}

pub(crate) fn split(
    chars: &[Char],
    separator: Option<Value>,
    limit: usize,
    from_right: bool,
    meter: &Meter,
) -> Result<Value> {
    let mut parts: Vec<&[Char]> = Vec::new();
    let mut rest = chars;
    match separator {
        None | Some(Value::None) => {
            rest = trim(rest, !from_right, from_right, is_space);
            while !rest.is_empty() {
                meter.make_values(1)?;
                if parts.len() == limit {
                    parts.push(rest);
                    break;
                }
                if from_right {
                    let start = rest.iter().rposition(|c| is_space(*c)).map_or(0, |at| at + 1);
                    parts.push(&rest[start..]);
                    rest = trim(&rest[..start], false, true, is_space);
                } else {
                    let end = rest.iter().position(|c| is_space(*c)).unwrap_or(rest.len());
                    parts.push(&rest[..end]);
                    rest = trim(&rest[end..], true, false, is_space);
                }
            }
        }
        Some(separator) => {
            let separator = string(Some(separator), "split")?;
            if separator.is_empty() {
                return fail("empty separator");
            }
            while parts.len() < limit {
                meter.make_values(1)?;
                let found = if from_right {
                    find_last(rest, separator.chars(), meter)?
                } else {
                    find(rest, separator.chars(), meter)?
                };
                let Some(at) = found else { break };
                let (before, behind) = (&rest[..at], &rest[at + separator.len()..]);
                if from_right {
                    parts.push(behind);
                    rest = before;
                } else {
                    parts.push(before);
                    rest = behind;
                }
            }
            parts.push(rest);
        }
    }
    if from_right {
        parts.reverse();
    }
    let mut values = Vec::with_capacity(parts.len());
    for part in parts {
        meter.make(part.len())?;
        values.push(Value::Text(part.to_vec().into()));
    }
    Value::list(values, meter)
}

/// Lines as `str.splitlines` sees them.
pub(crate) fn lines(chars: &[Char], keep_ends: bool) -> Vec<&[Char]> {
    let mut lines = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while at < chars.len() {
        let len = match plain(chars[at]) {
            0x0d if chars.get(at + 1).is_some_and(|c| plain(*c) == 0x0a) => 2,
            0x0a..=0x0d | 0x1c..=0x1e | 0x85 | 0x2028 | 0x2029 => 1,
            _ => 0,
        };
        if len > 0 {
            lines.push(&chars[start..if keep_ends { at + len } else { at }]);
            start = at + len;
        }
        at += len.max(1);
    }
    if start < chars.len() {
        lines.push(&chars[start..]);
    }
    lines
}

fn count(chars: &[Char], wanted: &[Char], meter: &Meter) -> Result<usize> {
    if wanted.is_empty() {
        return Ok(chars.len() + 1);
    }
    let (mut rest, mut n) = (chars, 0);
    while let Some(at) = find(rest, wanted, meter)? {
        n += 1;
        rest = &rest[at + wanted.len()..];
    }
    Ok(n)
}

pub(crate) fn replace(
    chars: &[Char],
    old: &[Char],
    new: &[Char],
    limit: usize,
    meter: &Meter,
) -> Result<Text> {
    let mut out = Builder::new(meter);
    let (mut rest, mut n) = (chars, 0);
    if old.is_empty() {
        // Before every character, and at the end.
        while n < limit && n <= chars.len() {
            out.extend(new)?;
            out.extend(&rest[..rest.len().min(1)])?;
            rest = rest.get(1..).unwrap_or_default();
            n += 1;
        }
        out.extend(rest)?;
        return Ok(out.finish());
    }
    while n < limit {
        let Some(at) = find(rest, old, meter)? else { break };
        out.extend(&rest[..at])?;
        out.extend(new)?;
        rest = &rest[at + old.len()..];
        n += 1;
    }
    out.extend(rest)?;
    Ok(out.finish())
}

/// `str.center`, `str.ljust` and `str.rjust`
pub(crate) fn justify(
    chars: &[Char],
    width: usize,
    fill: Option<Text>,
    name: &str,
    meter: &Meter,
) -> Result<Text> {
    let fill = match fill {
        None => u32::from(' '),
        Some(fill) if fill.len() == 1 => fill.chars()[0],
        Some(_) => return fail("the fill character must be exactly one character long"),
    };
    let missing = width.saturating_sub(chars.len());
    let left = match name {
        "ljust" => 0,
        "rjust" => missing,
        _ => missing / 2 + (missing & width & 1),
    };
    let mut out = Builder::new(meter);
    out.repeat(fill, left)?;
    out.extend(chars)?;
    out.repeat(fill, missing - left)?;
    Ok(out.finish())
}
