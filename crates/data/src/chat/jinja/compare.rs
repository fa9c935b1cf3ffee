//! Python's `==`, `<` and `in`.

use std::{cmp::Ordering, rc::Rc};

use super::{
    failure::{Result, fail, unsupported},
    meter::Meter,
    text::{find, plain},
    value::{Dict, Source, Value, View, deeper, hashable},
};

/// Python's `a == b`.
pub(crate) fn equal(a: &Value, b: &Value, meter: &Meter) -> Result<bool> {
    use Value::{Dict, Iterator, List, Loop, Macro, Markup, Namespace, Range, Text, Tuple, Undefined};
    meter.work(1)?;
    Ok(match (a, b) {
        (Undefined(_), Undefined(_)) | (Value::None, Value::None) => true,
        (Text(a) | Markup(a), Text(b) | Markup(b)) => {
            meter.work(a.len().min(b.len()))?;
            a == b
        }
        (List(a), List(b)) | (Tuple(a), Tuple(b)) => {
            if a.items.len() != b.items.len() {
                return Ok(false);
            }
            for (a, b) in a.items.iter().zip(&b.items) {
                if !equal(a, b, meter)? {
                    return Ok(false);
                }
            }
            true
        }
        (Dict(a), Dict(b)) => {
            if a.entries.len() != b.entries.len() {
                return Ok(false);
            }
            for (key, value) in &a.entries {
                match b.get(key, meter)? {
                    Some(other) if equal(value, other, meter)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Range(a), Range(b)) => {
            let first_and_step =
                |r: &super::value::Range| (r.len(), r.start, if r.len() > 1 { r.step } else { 0 });
            (a.len() == 0 && b.len() == 0) || first_and_step(a) == first_and_step(b)
        }
        (Namespace(a), Namespace(b)) => Rc::ptr_eq(a, b),
        (Macro(a), Macro(b)) => Rc::ptr_eq(a, b),
        (Loop(a), Loop(b)) => Rc::ptr_eq(a, b),
        (Iterator(a), Iterator(b)) => Rc::ptr_eq(a, b),
        (Value::Function(a), Value::Function(b)) => a == b,
        (Value::View(..), Value::View(..)) | (Value::Method(_), Value::Method(_)) => {
            return unsupported(format!("the template compares values of the type {}", a.type_name()));
        }
        _ => numbers(a, b).is_some_and(|order| order == Some(Ordering::Equal)),
    })
}

/// How two numbers compare: nothing unless both are numbers, nothing within where one is no number (NaN).
fn numbers(a: &Value, b: &Value) -> Option<Option<Ordering>> {
    Some(match (a.integer(), b.integer()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        (a_int, b_int) => {
            let float = |value: &Value, int: Option<i128>| match value {
                Value::Float(x) => Some(*x),
                _ => int.map(|n| n as f64),
            };
            float(a, a_int)?.partial_cmp(&float(b, b_int)?)
        }
    })
}

/// Python's `a < b`, `<=`, `>` and `>=`: whether the order of both is one that `holds`.
pub(crate) fn ordered(
    a: &Value,
    b: &Value,
    sign: &str,
    holds: fn(Ordering) -> bool,
    meter: &Meter,
) -> Result<bool> {
    meter.work(1)?;
    if let Some(order) = numbers(a, b) {
        return Ok(order.is_some_and(holds));
    }
    match (a, b) {
        (Value::Text(a) | Value::Markup(a), Value::Text(b) | Value::Markup(b)) => {
            meter.work(a.len().min(b.len()))?;
            Ok(holds(a.chars().iter().map(|c| plain(*c)).cmp(b.chars().iter().map(|c| plain(*c)))))
        }
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            for (a, b) in a.items.iter().zip(&b.items) {
                if !equal(a, b, meter)? {
                    return ordered(a, b, sign, holds, meter);
                }
            }
            Ok(holds(a.items.len().cmp(&b.items.len())))
        }
        (Value::Undefined(message), _) | (_, Value::Undefined(message)) => fail(&**message),
        (Value::View(..), Value::View(..)) => unsupported("the template compares views of dictionaries"),
        _ => {
            let (a, b) = (a.type_name(), b.type_name());
            fail(format!("'{sign}' not supported between instances of '{a}' and '{b}'"))
        }
    }
}

/// Python's `item in container`.
pub(crate) fn contains(container: &Value, item: &Value, meter: &Meter) -> Result<bool> {
    match (container, item) {
        (Value::Text(text) | Value::Markup(text), Value::Text(part) | Value::Markup(part)) => {
            Ok(find(text.chars(), part.chars(), meter)?.is_some())
        }
        (Value::Text(_) | Value::Markup(_), other) => {
            fail(format!("'in <string>' requires string as left operand, not {}", other.type_name()))
        }
        (Value::Dict(dict) | Value::View(dict, View::Keys), key) => Ok(dict.get(key, meter)?.is_some()),
        (Value::Range(range), item) if item.integer().is_some() => {
            let (n, step) = (item.integer().unwrap_or_default(), range.step);
            let inside = if step > 0 {
                (range.start..range.stop).contains(&n)
            } else {
                n <= range.start && n > range.stop
            };
            Ok(inside && (n - range.start) % step == 0)
        }
        (container, item) => {
            let mut source = match container {
                Value::Loop(_) => return unsupported("the template searches `loop`"),
                Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                    return fail(format!("argument of type '{}' is not iterable", container.type_name()));
                }
                container => Source::of(container, meter)?,
            };
            while let Some(other) = source.next(meter)? {
                if equal(&other, item, meter)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}

/// A stable sort that asks `less(b, a)` and never assumes that the answers fit together.
pub(crate) fn sort<T: Clone>(items: Vec<T>, less: &dyn Fn(&T, &T) -> Result<bool>) -> Result<Vec<T>> {
    if items.len() < 2 {
        return Ok(items);
    }
    let mut left = items;
    let right = sort(left.split_off(left.len() / 2), less)?;
    let left = sort(left, less)?;
    let mut sorted = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let next = if less(b, a)? { right.next() } else { left.next() };
        sorted.extend(next);
    }
    sorted.extend(left);
    sorted.extend(right);
    Ok(sorted)
}

impl Dict {
    /// Of pairs in their order; a later value replaces an earlier one of the same key.
    pub(crate) fn new(pairs: impl IntoIterator<Item = (Value, Value)>, meter: &Meter) -> Result<Rc<Self>> {
        let mut dict = Self::default();
        for (key, value) in pairs {
            hashable(&key)?;
            meter.make_values(2)?;
            dict.depth = dict.depth.max(key.depth()).max(value.depth());
            match dict.position(&key, meter)? {
                Some(at) => dict.entries[at].1 = value,
                None => dict.entries.push((key, value)),
            }
        }
        dict.depth = deeper(dict.depth)?;
        Ok(Rc::new(dict))
    }

    fn position(&self, key: &Value, meter: &Meter) -> Result<Option<usize>> {
        for (at, (known, _)) in self.entries.iter().enumerate() {
            if equal(known, key, meter)? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    pub(crate) fn get(&self, key: &Value, meter: &Meter) -> Result<Option<&Value>> {
        hashable(key)?;
        Ok(self.position(key, meter)?.map(|at| &self.entries[at].1))
    }
}
