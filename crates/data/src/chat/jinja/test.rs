//! `value is test`

use super::{
    call::Called,
    case,
    compare::{contains, equal, ordered},
    failure::{Result, fail, unsupported},
    filter::names,
    meter::Meter,
    operator::binary,
    show,
    value::Value,
};
use crate::chat::jinja::ast::Operator;

const KNOWN: [&str; 39] = [
    "odd",
    "even",
    "divisibleby",
    "defined",
    "undefined",
    "filter",
    "test",
    "none",
    "boolean",
    "false",
    "true",
    "integer",
    "float",
    "lower",
    "upper",
    "string",
    "mapping",
    "number",
    "sequence",
    "iterable",
    "callable",
    "sameas",
    "escaped",
    "in",
    "==",
    "eq",
    "equalto",
    "!=",
    "ne",
    ">",
    "gt",
    "greaterthan",
    "ge",
    ">=",
    "<",
    "lt",
    "lessthan",
    "<=",
    "le",
];

/// Refuses unknown tests where the template is read; `soft` leaves that to those who reach it.
pub(crate) fn check(name: &str, soft: bool) -> Result<()> {
    if soft || KNOWN.contains(&name) { Ok(()) } else { fail(format!("there is no test `{name}`")) }
}

pub(crate) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

/// Whether a value passes a test.
pub(crate) fn apply(name: &str, value: &Value, called: Called, meter: &Meter) -> Result<bool> {
    use std::cmp::Ordering;
    match name {
        "divisibleby" => {
            let [n] = called.bind(name, ["num"], 1)?;
            let rest = binary(Operator::Modulo, value, &n.unwrap_or(Value::None), meter)?;
            return equal(&rest, &Value::Int(0), meter);
        }
        "sameas" => {
            let [other] = called.bind(name, ["other"], 1)?;
            return same(value, &other.unwrap_or(Value::None));
        }
        "in" => {
            let [container] = called.bind(name, ["seq"], 1)?;
            return contains(&container.unwrap_or(Value::None), value, meter);
        }
        "==" | "eq" | "equalto" | "!=" | "ne" | ">" | "gt" | "greaterthan" | "ge" | ">=" | "<" | "lt"
        | "lessthan" | "<=" | "le" => {
            let [other] = called.bind(name, [""], 1)?;
            let other = other.unwrap_or(Value::None);
            return match name {
                "==" | "eq" | "equalto" => equal(value, &other, meter),
                "!=" | "ne" => equal(value, &other, meter).map(|same| !same),
                ">" | "gt" | "greaterthan" => ordered(value, &other, ">", Ordering::is_gt, meter),
                "ge" | ">=" => ordered(value, &other, ">=", Ordering::is_ge, meter),
                "<" | "lt" | "lessthan" => ordered(value, &other, "<", Ordering::is_lt, meter),
                _ => ordered(value, &other, "<=", Ordering::is_le, meter),
            };
        }
        _ => called.none(name)?,
    }
    Ok(match name {
        "odd" | "even" => {
            let rest = binary(Operator::Modulo, value, &Value::Int(2), meter)?;
            equal(&rest, &Value::Int(i128::from(name == "odd")), meter)?
        }
        "defined" => !value.is_undefined(),
        "undefined" => value.is_undefined(),
        "filter" => matches!(value, Value::Text(name) if names::is_known(&name.to_string())),
        "test" => matches!(value, Value::Text(name) if is_known(&name.to_string())),
        "none" => matches!(value, Value::None),
        "boolean" => matches!(value, Value::Bool(_)),
        "false" => matches!(value, Value::Bool(false)),
        "true" => matches!(value, Value::Bool(true)),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        "lower" | "upper" => {
            let text = show::text(value, meter)?;
            meter.work(50 * text.len())?;
            case::is_all(text.chars(), name == "upper")
        }
        "string" => matches!(value, Value::Text(_) | Value::Markup(_)),
        "mapping" => matches!(value, Value::Dict(_)),
        "number" => matches!(value, Value::Int(_) | Value::Float(_) | Value::Bool(_)),
        "sequence" => matches!(
            value,
            Value::Undefined(_)
                | Value::Text(_)
                | Value::Markup(_)
                | Value::List(_)
                | Value::Tuple(_)
                | Value::Dict(_)
                | Value::Range(_)
        ),
        "iterable" => matches!(
            value,
            Value::Undefined(_)
                | Value::Text(_)
                | Value::Markup(_)
                | Value::List(_)
                | Value::Tuple(_)
                | Value::Dict(_)
                | Value::Range(_)
                | Value::View(..)
                | Value::Iterator(_)
                | Value::Loop(_)
        ),
        "callable" => matches!(
            value,
            Value::Undefined(_)
                | Value::Macro(_)
                | Value::Loop(_)
                | Value::Method(_)
                | Value::Function(_)
                | Value::Joiner(_)
        ),
        "escaped" => matches!(value, Value::Markup(_)),
        other => return fail(format!("there is no test `{other}`")),
    })
}

/// Python's `a is b`, where that does not depend on how Python keeps small values.
fn same(a: &Value, b: &Value) -> Result<bool> {
    use std::rc::Rc;
    Ok(match (a, b) {
        (Value::None, Value::None) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::None | Value::Bool(_), _) | (_, Value::None | Value::Bool(_)) => false,
        (Value::List(a), Value::List(b)) => Rc::ptr_eq(a, b),
        (Value::Dict(a), Value::Dict(b)) => Rc::ptr_eq(a, b),
        (Value::Text(a), Value::Text(b)) if a.is_same_object(b) => true,
        (a, b) if a.type_name() != b.type_name() => false,
        _ => return unsupported(format!("`sameas` between values of the type {}", a.type_name())),
    })
}
