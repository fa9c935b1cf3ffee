//! `value | filter`

mod sequence;
mod single;

use super::{
    call::Called,
    failure::{Result, fail, unsupported},
    json,
    meter::Meter,
    value::Value,
};

pub(crate) use sequence::pairs;

/// Of one value.
const SINGLE: [&str; 29] = [
    "abs",
    "attr",
    "capitalize",
    "center",
    "d",
    "default",
    "e",
    "escape",
    "float",
    "format",
    "indent",
    "int",
    "items",
    "lower",
    "replace",
    "reverse",
    "round",
    "safe",
    "string",
    "title",
    "trim",
    "truncate",
    "upper",
    "urlencode",
    "wordcount",
    "tojson",
    "count",
    "length",
    "forceescape",
];
/// Of a list's items.
const SEQUENCE: [&str; 19] = [
    "batch",
    "dictsort",
    "first",
    "groupby",
    "join",
    "last",
    "list",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "select",
    "selectattr",
    "slice",
    "sort",
    "sum",
    "unique",
    "items",
];
/// Those of Jinja2 that no chat template needs.
const REFUSED: [&str; 8] =
    ["filesizeformat", "pprint", "random", "striptags", "urlize", "wordwrap", "xmlattr", "mark_unsafe"];

/// Refuses unknown filters where the template is read; `soft` leaves that to those who reach it.
pub(crate) fn check(name: &str, soft: bool) -> Result<()> {
    if REFUSED.contains(&name) {
        return unsupported(format!("the template uses the filter `{name}`"));
    }
    if soft || is_known(name) { Ok(()) } else { fail(format!("there is no filter `{name}`")) }
}

pub(crate) fn is_known(name: &str) -> bool {
    SINGLE.contains(&name) || SEQUENCE.contains(&name) || REFUSED[..7].contains(&name)
}

/// Applies a filter.
pub(crate) fn apply(name: &str, value: &Value, called: Called, meter: &Meter) -> Result<Value> {
    match name {
        "tojson" => json::filter(value, called, meter),
        name if SINGLE.contains(&name) => single::apply(name, value, called, meter),
        name if SEQUENCE.contains(&name) => sequence::apply(name, value, called, meter),
        name => check(name, false).map(|()| Value::None),
    }
}
