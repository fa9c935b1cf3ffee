//! `object.name`, `object[key]` and slices.

use super::{
    failure::{Result, fail, unsupported},
    meter::Meter,
    value::{Value, View},
};

const OF_STRINGS: [&str; 47] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];
const OF_DICTS: [&str; 6] = ["copy", "fromkeys", "get", "items", "keys", "values"];
const OF_LISTS: [&str; 3] = ["copy", "count", "index"];
/// The sandbox forbids what changes a dictionary or a list.
const CHANGES_DICTS: [&str; 5] = ["clear", "pop", "popitem", "setdefault", "update"];
const CHANGES_LISTS: [&str; 8] = ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"];
/// Attributes of numbers, ranges and functions in Python, which no published template asks for.
const OF_NUMBERS: [&str; 13] = [
    "as_integer_ratio",
    "bit_count",
    "bit_length",
    "conjugate",
    "denominator",
    "from_bytes",
    "fromhex",
    "hex",
    "imag",
    "is_integer",
    "numerator",
    "real",
    "to_bytes",
];

fn named(names: &[&'static str], name: &str) -> Option<&'static str> {
    names.iter().copied().find(|known| *known == name)
}

/// An attribute that Python's `getattr` finds, if there is one.
fn own(object: &Value, name: &str, meter: &Meter) -> Result<Option<Value>> {
    if name.starts_with("__") && name.ends_with("__") {
        return unsupported(format!("the template uses Python's `{name}`"));
    }
    let method = |found: Option<&'static str>| found.map(|name| object.clone().method(name)).transpose();
    let forbidden =
        |kind: &str| Value::undefined(format!("access to attribute '{name}' of '{kind}' object is unsafe."));
    match object {
        Value::Undefined(message) => fail(&**message),
        Value::Text(_) => method(named(&OF_STRINGS, name)),
        Value::Markup(_) => match named(&OF_STRINGS, name) {
            Some(_) => unsupported("the template computes with text that was marked as safe HTML"),
            None => Ok(None),
        },
        Value::Dict(_) if CHANGES_DICTS.contains(&name) => Ok(Some(forbidden("dict"))),
        Value::Dict(_) => method(named(&OF_DICTS, name)),
        Value::List(_) if CHANGES_LISTS.contains(&name) => Ok(Some(forbidden("list"))),
        Value::List(_) => method(named(&OF_LISTS, name)),
        Value::Tuple(list) if list.is_group && name == "grouper" => Ok(list.items.first().cloned()),
        Value::Tuple(list) if list.is_group && name == "list" => Ok(list.items.get(1).cloned()),
        Value::Tuple(_) => method(named(&OF_LISTS[1..], name)),
        Value::Int(_) | Value::Float(_) | Value::Bool(_) if OF_NUMBERS.contains(&name) => {
            unsupported(format!("the template uses the attribute `{name}` of a number"))
        }
        Value::Namespace(namespace) => {
            meter.work(namespace.0.borrow().len())?;
            Ok(namespace
                .0
                .borrow()
                .iter()
                .find(|(known, _)| **known == *name)
                .map(|(_, value)| value.clone()))
        }
        Value::Loop(inner) => {
            let int = |n: i128| Ok(Some(Value::Int(n)));
            let length = || inner.length(meter).map(|n| n as i128);
            let index0 = inner.index0.get();
            match name {
                "index" => int(index0 + 1),
                "index0" => int(index0),
                "revindex" => int(length()? - index0),
                "revindex0" => int(length()? - index0 - 1),
                "first" => Ok(Some(Value::Bool(index0 == 0))),
                "last" => Ok(Some(Value::Bool(inner.peek(meter)?.is_none()))),
                "length" => int(length()?),
                "depth" => int(i128::from(inner.depth0) + 1),
                "depth0" => int(i128::from(inner.depth0)),
                "previtem" => Ok(Some(match &*inner.before.borrow() {
                    Some(item) if index0 > 0 => item.clone(),
                    _ => Value::undefined("there is no previous item"),
                })),
                "nextitem" => {
                    Ok(Some(inner.peek(meter)?.unwrap_or_else(|| Value::undefined("there is no next item"))))
                }
                "cycle" | "changed" => method(named(&["cycle", "changed"], name)),
                _ => Ok(None),
            }
        }
        Value::Cycler(cycler) => match name {
            "current" => Ok(cycler.items.items.get(cycler.at.get()).cloned()),
            "next" | "reset" => method(named(&["next", "reset"], name)),
            _ => Ok(None),
        },
        Value::Macro(closure) => match name {
            "name" => {
                Ok(Some(closure.definition.name.as_ref().map_or(Value::None, |name| Value::text(name))))
            }
            "arguments" | "catch_kwargs" | "catch_varargs" | "caller" | "explicit_caller" => {
                unsupported(format!("the template uses the attribute `{name}` of a macro"))
            }
            _ => Ok(None),
        },
        Value::Range(_)
        | Value::View(..)
        | Value::Iterator(_)
        | Value::Joiner(_)
        | Value::Method(_)
        | Value::Function(_) => match name {
            "start" | "stop" | "step" | "count" | "index" | "isdisjoint" | "mapping" | "close" | "send"
            | "throw" | "sep" | "used" | "fromkeys" | "gi_running" | "gi_yieldfrom" => {
                unsupported(format!("the template uses the attribute `{name}` of a {}", object.type_name()))
            }
            _ => Ok(None),
        },
        Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => Ok(None),
    }
}

/// What the subscript of Python gives; nothing where that raises an error that Jinja2 passes over.
fn subscript(object: &Value, key: &Value, meter: &Meter) -> Result<Option<Value>> {
    let place = |len: usize| {
        let n = key.integer()?;
        usize::try_from(if n < 0 { n + len as i128 } else { n }).ok().filter(|at| *at < len)
    };
    Ok(match object {
        Value::Undefined(message) => return fail(&**message),
        Value::Dict(dict) => match super::value::hashable(key) {
            Ok(()) => dict.get(key, meter)?.cloned(),
            Err(_) => None,
        },
        Value::List(list) | Value::Tuple(list) => place(list.items.len()).map(|at| list.items[at].clone()),
        Value::Text(text) => place(text.len()).map(|at| Value::Text(vec![text.chars()[at]].into())),
        Value::Range(range) => place(range.len()).and_then(|at| range.at(at)),
        Value::Markup(_) => {
            return unsupported("the template computes with text that was marked as safe HTML");
        }
        _ => None,
    })
}

fn missing(object: &Value, key: &str) -> Value {
    let kind = match object {
        Value::None => "None".into(),
        other => format!("{} object", other.type_name()),
    };
    Value::undefined(format!("'{kind}' has no attribute or element {key}"))
}

/// `object.name`: attributes come before the keys of a dictionary.
pub(crate) fn attribute(object: &Value, name: &str, meter: &Meter) -> Result<Value> {
    if let Some(value) = own(object, name, meter)? {
        return Ok(value);
    }
    if let Value::Dict(dict) = object {
        meter.work(dict.entries.len())?;
        if let Some(value) = dict.get_name(name) {
            return Ok(value.clone());
        }
    }
    Ok(missing(object, &format!("'{name}'")))
}

/// An attribute alone, for the filter `attr`.
pub(crate) fn attribute_only(object: &Value, name: &str, meter: &Meter) -> Result<Value> {
    Ok(own(object, name, meter)?.unwrap_or_else(|| missing(object, &format!("'{name}'"))))
}

/// `object[key]`: keys come before attributes.
pub(crate) fn item(object: &Value, key: &Value, meter: &Meter) -> Result<Value> {
    if let Some(value) = subscript(object, key, meter)? {
        return Ok(value);
    }
    if let Value::Text(name) = key {
        let name = name.to_string();
        if let Some(value) = own(object, &name, meter)? {
            return Ok(value);
        }
        return Ok(missing(object, &format!("'{name}'")));
    }
    Ok(missing(object, &super::json::brief(key, meter)))
}

/// `object[start:stop:step]`
pub(crate) fn slice(object: &Value, bounds: &[Option<Value>; 3], meter: &Meter) -> Result<Value> {
    let mut numbers = [None; 3];
    for (number, bound) in numbers.iter_mut().zip(bounds) {
        *number = match bound {
            None | Some(Value::None) => None,
            Some(value) => match value.integer() {
                Some(n) => Some(n),
                None => return fail("slice indices must be integers or None or have an __index__ method"),
            },
        };
    }
    let places = |len: usize| -> Result<Vec<usize>> {
        let (len, step) = (len as i128, numbers[2].unwrap_or(1));
        if step == 0 {
            return fail("slice step cannot be zero");
        }
        let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
        let clamp = |n: i128| (if n < 0 { n + len } else { n }).clamp(low, high);
        let start = numbers[0].map_or(if step > 0 { low } else { high }, clamp);
        let stop = numbers[1].map_or(if step > 0 { high } else { low }, clamp);
        let range = super::value::Range { start, stop, step };
        meter.make(range.len())?;
        Ok((0..range.len()).filter_map(|i| usize::try_from(start + step * i as i128).ok()).collect())
    };
    match object {
        Value::Undefined(message) => fail(&**message),
        Value::Text(text) => {
            let chars: Vec<_> = places(text.len())?.into_iter().map(|at| text.chars()[at]).collect();
            Ok(Value::Text(chars.into()))
        }
        Value::List(list) => Value::list(
            places(list.items.len())?.into_iter().map(|at| list.items[at].clone()).collect(),
            meter,
        ),
        Value::Tuple(list) => Value::tuple(
            places(list.items.len())?.into_iter().map(|at| list.items[at].clone()).collect(),
            meter,
        ),
        Value::Range(_) | Value::Markup(_) => {
            unsupported(format!("the template slices a {}", object.type_name()))
        }
        Value::Dict(_) => fail("unhashable type or missing key: 'slice'"),
        other => fail(format!("'{}' object is not subscriptable", other.type_name())),
    }
}

/// The methods of dictionaries, lists and tuples.
pub(crate) fn call_method(
    object: &Value,
    name: &str,
    called: super::call::Called,
    meter: &Meter,
) -> Result<Value> {
    match (object, name) {
        (Value::Dict(dict), "get") => {
            let [key, default] = called.bind("get", ["", ""], 1)?;
            let found = dict.get(&key.unwrap_or(Value::None), meter)?.cloned();
            Ok(found.or(default).unwrap_or(Value::None))
        }
        (Value::Dict(dict), "items" | "keys" | "values") => {
            called.none(name)?;
            let view = match name {
                "items" => View::Items,
                "keys" => View::Keys,
                _ => View::Values,
            };
            Ok(Value::View(dict.clone(), view))
        }
        (Value::Dict(_) | Value::List(_), "copy") => called.none(name).map(|()| object.clone()),
        (Value::List(list) | Value::Tuple(list), "count") => {
            let [item] = called.bind("count", [""], 1)?;
            let item = item.unwrap_or(Value::None);
            let mut n = 0;
            for other in &list.items {
                n += i128::from(super::compare::equal(other, &item, meter)?);
            }
            Ok(Value::Int(n))
        }
        (Value::List(list) | Value::Tuple(list), "index") => {
            let [item] = match called.bind("index", [""], 1) {
                Ok(bound) => bound,
                Err(_) => return unsupported("`index` with a start"),
            };
            let item = item.unwrap_or(Value::None);
            for (at, other) in list.items.iter().enumerate() {
                if super::compare::equal(other, &item, meter)? {
                    return Ok(Value::Int(at as i128));
                }
            }
            fail("the value is not in the list")
        }
        _ => unsupported(format!("the method `{name}` of a {}", object.type_name())),
    }
}
