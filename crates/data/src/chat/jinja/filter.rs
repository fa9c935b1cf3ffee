//! `value | filter`

pub(crate) mod names;
mod sequence;
mod single;

use super::{
    call::Called,
    failure::{Result, fail, unsupported},
    json,
    meter::Meter,
    value::Value,
};

use names::{REFUSED, SEQUENCE, SINGLE, is_known};
pub(crate) use sequence::pairs;

/// Refuses unknown filters where the template is read; `soft` leaves that to those who reach it.
pub(crate) fn check(name: &str, soft: bool) -> Result<()> {
    if REFUSED.contains(&name) {
        return unsupported(format!("the template uses the filter `{name}`"));
    }
    if soft || is_known(name) { Ok(()) } else { fail(format!("there is no filter `{name}`")) }
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
