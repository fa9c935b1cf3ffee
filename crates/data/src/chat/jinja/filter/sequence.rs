//! Filters of a list's items.

use std::{cmp::Ordering, rc::Rc};

use super::super::{
    attribute,
    call::{Called, integer, string},
    case,
    compare::{equal, ordered, sort},
    failure::{Result, fail, unsupported},
    meter::Meter,
    operator::binary,
    show,
    stream::items,
    test,
    text::Builder,
    value::{Dict, List, Source, Value, hashable},
};
use crate::chat::jinja::ast::Operator;

pub(super) fn apply(name: &str, value: &Value, called: Called, meter: &Meter) -> Result<Value> {
    match name {
        "map" => map(value, called, meter),
        "select" | "reject" | "selectattr" | "rejectattr" => select(name, value, called, meter),
        "list" => {
            called.none(name)?;
            Value::list(items(value, meter)?, meter)
        }
        "first" => {
            called.none(name)?;
            let first = Source::of(value, meter)?.next(meter)?;
            Ok(first.unwrap_or_else(|| Value::undefined("No first item, sequence was empty.")))
        }
        "last" => {
            called.none(name)?;
            if let Value::Iterator(_) = value {
                return fail("'generator' object is not reversible");
            }
            let last = items(value, meter)?.pop();
            Ok(last.unwrap_or_else(|| Value::undefined("No last item, sequence was empty.")))
        }
        "join" => {
            let [separator, by] = called.bind(name, ["d", "attribute"], 0)?;
            let separator = separator.map_or_else(|| Ok(Value::text("")), Ok)?;
            let separator = show::text(&separator, meter)?;
            let getter = Getter::of(by, None, false)?;
            let mut out = Builder::new(meter);
            for (i, item) in items(value, meter)?.iter().enumerate() {
                if i > 0 {
                    out.extend(separator.chars())?;
                }
                show::write(&getter.get(item, meter)?, &mut out)?;
            }
            Ok(Value::Text(out.finish()))
        }
        "sum" => {
            let [by, start] = called.bind(name, ["attribute", "start"], 0)?;
            let getter = Getter::of(by, None, false)?;
            let mut sum = start.unwrap_or(Value::Int(0));
            if matches!(sum, Value::Text(_)) {
                return fail("sum() can't sum strings [use ''.join(seq) instead]");
            }
            for item in items(value, meter)? {
                sum = binary(Operator::Add, &sum, &getter.get(&item, meter)?, meter)?;
            }
            Ok(sum)
        }
        "min" | "max" => {
            let [case_sensitive, by] = called.bind(name, ["case_sensitive", "attribute"], 0)?;
            let getter = Getter::of(by, None, !truth(case_sensitive, meter)?)?;
            let holds = if name == "min" { Ordering::is_lt } else { Ordering::is_gt };
            let sign = if name == "min" { "<" } else { ">" };
            let mut best: Option<(Value, Value)> = None;
            for item in items(value, meter)? {
                let key = getter.get(&item, meter)?;
                match &best {
                    Some((known, _)) if !ordered(&key, known, sign, holds, meter)? => {}
                    _ => best = Some((key, item)),
                }
            }
            let empty = || Value::undefined("No aggregated item, sequence was empty.");
            Ok(best.map_or_else(empty, |(_, item)| item))
        }
        "sort" => {
            let [reverse, case_sensitive, by] =
                called.bind(name, ["reverse", "case_sensitive", "attribute"], 0)?;
            let getters = Getter::several(by, !truth(case_sensitive, meter)?)?;
            let mut keyed = Vec::new();
            for item in items(value, meter)? {
                let keys: Result<Vec<Value>> =
                    getters.iter().map(|getter| getter.get(&item, meter)).collect();
                keyed.push((Value::list(keys?, meter)?, item));
            }
            Value::list(sorted(keyed, truth(reverse, meter)?, meter)?, meter)
        }
        "dictsort" => {
            let [case_sensitive, by, reverse] = called.bind(name, ["case_sensitive", "by", "reverse"], 0)?;
            let by =
                by.map_or_else(|| Ok("key".into()), |by| string(Some(by), name).map(|by| by.to_string()))?;
            if !["key", "value"].contains(&by.as_str()) {
                return fail("You can only sort by either \"key\" or \"value\"");
            }
            let Value::Dict(dict) = value else {
                return fail(format!("'{}' object has no attribute 'items'", value.type_name()));
            };
            let ignore_case = !truth(case_sensitive, meter)?;
            let mut keyed = Vec::new();
            for (key, value) in &dict.entries {
                let sorted_by = if by == "key" { key } else { value };
                let pair = Value::tuple(vec![key.clone(), value.clone()], meter)?;
                keyed.push((folded(sorted_by, ignore_case, meter)?, pair));
            }
            Value::list(sorted(keyed, truth(reverse, meter)?, meter)?, meter)
        }
        "unique" => {
            let [case_sensitive, by] = called.bind(name, ["case_sensitive", "attribute"], 0)?;
            let getter = Getter::of(by, None, !truth(case_sensitive, meter)?)?;
            let (mut seen, mut kept): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
            for item in items(value, meter)? {
                let key = getter.get(&item, meter)?;
                hashable(&key)?;
                let mut is_known = false;
                for known in &seen {
                    is_known = is_known || equal(known, &key, meter)?;
                }
                if !is_known {
                    seen.push(key);
                    kept.push(item);
                }
            }
            Value::iterator(kept, meter)
        }
        "groupby" => group(value, called, meter),
        "batch" => {
            let [size, fill] = called.bind(name, ["linecount", "fill_with"], 1)?;
            let size = usize::try_from(integer(size, 0, name)?).unwrap_or(0);
            let all = items(value, meter)?;
            if size == 0 {
                return unsupported("`batch` by less than one");
            }
            let mut batches = Vec::new();
            for batch in all.chunks(size) {
                let mut batch = batch.to_vec();
                if let Some(fill) = fill.as_ref().filter(|fill| !matches!(fill, Value::None)) {
                    meter.make_values(size - batch.len())?;
                    batch.resize(size, fill.clone());
                }
                batches.push(Value::list(batch, meter)?);
            }
            Value::iterator(batches, meter)
        }
        "slice" => {
            let [slices, fill] = called.bind(name, ["slices", "fill_with"], 1)?;
            let slices = usize::try_from(integer(slices, 0, name)?).unwrap_or(0);
            let all = items(value, meter)?;
            if slices == 0 {
                return fail("integer division or modulo by zero");
            }
            meter.make_values(slices)?;
            let (each, extra) = (all.len() / slices, all.len() % slices);
            let mut rest = &all[..];
            let mut columns = Vec::new();
            for i in 0..slices {
                let (column, behind) = rest.split_at(each + usize::from(i < extra));
                rest = behind;
                let mut column = column.to_vec();
                if i >= extra {
                    column.extend(fill.clone().filter(|fill| !matches!(fill, Value::None)));
                }
                columns.push(Value::list(column, meter)?);
            }
            Value::iterator(columns, meter)
        }
        other => unsupported(format!("the template uses the filter `{other}`")),
    }
}

fn truth(value: Option<Value>, meter: &Meter) -> Result<bool> {
    value.map_or(Ok(false), |value| value.is_true(meter))
}

/// Strings in lower case, where case does not count.
fn folded(value: &Value, ignore_case: bool, meter: &Meter) -> Result<Value> {
    match value {
        Value::Text(text) if ignore_case => case::lower(text.chars(), meter).map(Value::Text),
        other => Ok(other.clone()),
    }
}

/// Items in the order of their keys.
fn sorted(keyed: Vec<(Value, Value)>, reverse: bool, meter: &Meter) -> Result<Vec<Value>> {
    meter.make_values(2 * keyed.len())?;
    let sorted = sort(keyed, &|b, a| {
        let (low, high) = if reverse { (a, b) } else { (b, a) };
        ordered(&low.0, &high.0, "<", Ordering::is_lt, meter)
    })?;
    Ok(sorted.into_iter().map(|(_, item)| item).collect())
}

/// A path such as `address.city` into an item.
struct Getter {
    path: Vec<Value>,
    default: Option<Value>,
    ignore_case: bool,
}

impl Getter {
    fn of(path: Option<Value>, default: Option<Value>, ignore_case: bool) -> Result<Self> {
        let part = |part: &str| match part.parse() {
            Ok(n) if part.bytes().all(|b| b.is_ascii_digit()) => Value::Int(n),
            _ => Value::text(part),
        };
        let path = match path {
            None | Some(Value::None) => Vec::new(),
            Some(Value::Text(path)) => path.to_string().split('.').map(part).collect(),
            Some(other) => vec![other],
        };
        Ok(Self { path, default: default.filter(|default| !matches!(default, Value::None)), ignore_case })
    }

    fn several(paths: Option<Value>, ignore_case: bool) -> Result<Vec<Self>> {
        match paths {
            Some(Value::Text(paths)) => {
                let paths = paths.to_string();
                paths.split(',').map(|path| Self::of(Some(Value::text(path)), None, ignore_case)).collect()
            }
            path => Ok(vec![Self::of(path, None, ignore_case)?]),
        }
    }

    fn get(&self, item: &Value, meter: &Meter) -> Result<Value> {
        let mut value = item.clone();
        for part in &self.path {
            meter.work(20)?;
            value = attribute::item(&value, part, meter)?;
            if let Some(default) = self.default.as_ref().filter(|_| value.is_undefined()) {
                value = default.clone();
            }
        }
        folded(&value, self.ignore_case, meter)
    }
}

fn map(value: &Value, mut called: Called, meter: &Meter) -> Result<Value> {
    if !value.is_true(meter)? {
        return Value::iterator(Vec::new(), meter);
    }
    let mut mapped = Vec::new();
    let by_attribute = called.named.iter().any(|(name, _)| **name == *"attribute");
    if called.positional.is_empty() && by_attribute {
        let [path, default] = called.bind("map", ["attribute", "default"], 1)?;
        let getter = Getter::of(path, default, false)?;
        for item in items(value, meter)? {
            mapped.push(getter.get(&item, meter)?);
        }
    } else {
        if called.positional.is_empty() {
            return fail("map requires a filter argument");
        }
        let name = string(Some(called.positional.remove(0)), "map")?.to_string();
        super::check(&name, false)?;
        for item in items(value, meter)? {
            meter.work(called.positional.len() + called.named.len() + 10)?;
            mapped.push(super::apply(&name, &item, called.clone(), meter)?);
        }
    }
    Value::iterator(mapped, meter)
}

fn select(name: &str, value: &Value, mut called: Called, meter: &Meter) -> Result<Value> {
    if !value.is_true(meter)? {
        return Value::iterator(Vec::new(), meter);
    }
    let getter = if name.ends_with("attr") {
        if called.positional.is_empty() {
            return fail("Missing parameter for attribute name");
        }
        Getter::of(Some(called.positional.remove(0)), None, false)?
    } else {
        Getter::of(None, None, false)?
    };
    let test = if called.positional.is_empty() {
        None
    } else {
        Some(string(Some(called.positional.remove(0)), name)?.to_string())
    };
    if let Some(test) = &test {
        test::check(test, false)?;
    }
    let wanted = name.starts_with("select");
    let mut kept = Vec::new();
    for item in items(value, meter)? {
        meter.work(called.positional.len() + called.named.len() + 10)?;
        let part = getter.get(&item, meter)?;
        let passes = match &test {
            Some(test) => test::apply(test, &part, called.clone(), meter)?,
            None => part.is_true(meter)?,
        };
        if passes == wanted {
            kept.push(item);
        }
    }
    Value::iterator(kept, meter)
}

fn group(value: &Value, called: Called, meter: &Meter) -> Result<Value> {
    let [by, default, case_sensitive] =
        called.bind("groupby", ["attribute", "default", "case_sensitive"], 1)?;
    let ignore_case = !truth(case_sensitive, meter)?;
    let getter = Getter::of(by.clone(), default.clone(), ignore_case)?;
    let shown = Getter::of(by, default, false)?;
    let mut keyed = Vec::new();
    for item in items(value, meter)? {
        keyed.push((getter.get(&item, meter)?, item));
    }
    let sorted = sorted(keyed, false, meter)?;
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for item in sorted {
        let key = getter.get(&item, meter)?;
        match groups.last_mut() {
            Some((known, members)) if equal(known, &key, meter)? => members.push(item),
            _ => groups.push((key, vec![item])),
        }
    }
    let mut pairs = Vec::new();
    for (_, members) in groups {
        let key = shown.get(&members[0], meter)?;
        let pair = vec![key, Value::list(members, meter)?];
        let list = List::new(pair, meter)?;
        let list = Rc::try_unwrap(list).unwrap_or_else(|list| List { items: list.items.clone(), ..*list });
        pairs.push(Value::Tuple(Rc::new(List { is_group: true, ..list })));
    }
    Value::list(pairs, meter)
}

/// A dictionary of pairs, for `dict(…)`.
pub(crate) fn pairs(value: &Value, meter: &Meter) -> Result<Vec<(Value, Value)>> {
    if let Value::Dict(dict) = value {
        meter.make_values(2 * dict.entries.len())?;
        return Ok(Dict { entries: dict.entries.clone(), depth: 0 }.entries);
    }
    let mut pairs = Vec::new();
    for item in items(value, meter)? {
        let [key, value] = &items(&item, meter)?[..] else {
            return fail("dictionary update sequence elements have length 2");
        };
        pairs.push((key.clone(), value.clone()));
    }
    Ok(pairs)
}
