//! Numbers, within bounds where there are some.

use super::node::{NodeId, Nodes};

/// Digits before the point, behind it, and of the exponent: an answer ends.
const MAX_DIGITS: u32 = 15;

/// Whole numbers from `least` to `most`.
pub(super) fn integer(nodes: &mut Nodes, least: Option<i64>, most: Option<i64>) -> Result<NodeId, String> {
    if least.is_none() && most.is_none() {
        let sign = nodes.text("-")?;
        let sign = nodes.repeated(sign, 0, Some(1))?;
        let digits = digits(nodes)?;
        return nodes.sequence(vec![sign, digits]);
    }
    let (least, most) = bounds(least, most);
    let mut all = Vec::new();
    if most >= 0 {
        all.push(range(nodes, least.max(0) as u64, most as u64)?);
    }
    if least < 0 {
        let range = range(nodes, most.min(-1).unsigned_abs(), least.unsigned_abs())?;
        let sign = nodes.text("-")?;
        all.push(nodes.sequence(vec![sign, range])?);
    }
    nodes.either(all)
}

/// Numbers from `least` to `most`, of which the latter is whole.
pub(super) fn number(nodes: &mut Nodes, least: Option<i64>, most: Option<i64>) -> Result<NodeId, String> {
    let (point, digit) = (nodes.text(".")?, nodes.one(&[(b'0', b'9')])?);
    let decimals = nodes.repeated(digit, 1, Some(MAX_DIGITS))?;
    let fraction = nodes.sequence(vec![point, decimals])?;
    let fraction = nodes.repeated(fraction, 0, Some(1))?;
    if least.is_none() && most.is_none() {
        let sign = nodes.text("-")?;
        let sign = nodes.repeated(sign, 0, Some(1))?;
        let digits = digits(nodes)?;
        let e = nodes.one(&[(b'e', b'e'), (b'E', b'E')])?;
        let plus = nodes.one(&[(b'+', b'+'), (b'-', b'-')])?;
        let plus = nodes.repeated(plus, 0, Some(1))?;
        let power = nodes.repeated(digit, 1, Some(2))?;
        let exponent = nodes.sequence(vec![e, plus, power])?;
        let exponent = nodes.repeated(exponent, 0, Some(1))?;
        return nodes.sequence(vec![sign, digits, fraction, exponent]);
    }
    let (least, most) = bounds(least, most);
    let mut all = Vec::new();
    // A fraction takes a number away from zero: at the end of the range there is no room for one.
    let mut signed = |nodes: &mut Nodes, sign: &str, from: u64, to: u64| -> Result<(), String> {
        let sign = nodes.text(sign)?;
        let end = range(nodes, to, to)?;
        all.push(nodes.sequence(vec![sign, end])?);
        if from < to {
            let below = range(nodes, from, to - 1)?;
            all.push(nodes.sequence(vec![sign, below, fraction])?);
        }
        Ok(())
    };
    if most >= 0 {
        signed(nodes, "", least.max(0) as u64, most as u64)?;
    }
    if least < 0 {
        signed(nodes, "-", most.min(0).unsigned_abs(), least.unsigned_abs())?;
    }
    nodes.either(all)
}

fn bounds(least: Option<i64>, most: Option<i64>) -> (i64, i64) {
    const END: i64 = 999_999_999_999_999;
    (
        least.unwrap_or(most.unwrap_or(0).min(0).saturating_sub(END)),
        most.unwrap_or(least.unwrap_or(0).max(0).saturating_add(END)),
    )
}

/// Zero, or digits of which the first is none.
fn digits(nodes: &mut Nodes) -> Result<NodeId, String> {
    let (zero, first, digit) = (nodes.text("0")?, nodes.one(&[(b'1', b'9')])?, nodes.one(&[(b'0', b'9')])?);
    let more = nodes.repeated(digit, 0, Some(MAX_DIGITS - 1))?;
    let whole = nodes.sequence(vec![first, more])?;
    nodes.either(vec![zero, whole])
}

/// The decimals of the numbers from `from` to `to`; nothing if there are none.
fn range(nodes: &mut Nodes, from: u64, to: u64) -> Result<NodeId, String> {
    let mut all = Vec::new();
    // Those of each length by themselves, so that both ends have as many digits.
    let mut start = from;
    while start <= to {
        let n_digits = start.max(1).ilog10() + 1;
        let end = 10u64.checked_pow(n_digits).map_or(u64::MAX, |power| power - 1).min(to);
        all.push(same_length(nodes, &start.to_string(), &end.to_string())?);
        let Some(next) = end.checked_add(1) else { break };
        start = next;
    }
    nodes.either(all)
}

/// The decimals between two of the same length.
fn same_length(nodes: &mut Nodes, from: &str, to: &str) -> Result<NodeId, String> {
    if from == to {
        return nodes.text(from);
    }
    let (first, last) = (from.as_bytes()[0], to.as_bytes()[0]);
    let n_rest = from.len() as u32 - 1;
    if first == last {
        let (head, rest) = (nodes.text(&from[..1])?, same_length(nodes, &from[1..], &to[1..])?);
        return nodes.sequence(vec![head, rest]);
    }
    if n_rest == 0 {
        return nodes.one(&[(first, last)]);
    }
    let (zeros, nines) = ("0".repeat(n_rest as usize), "9".repeat(n_rest as usize));
    let mut all = Vec::new();
    let (mut inner_first, mut inner_last) = (first, last);
    if from[1..] != zeros {
        let (head, rest) = (nodes.text(&from[..1])?, same_length(nodes, &from[1..], &nines)?);
        all.push(nodes.sequence(vec![head, rest])?);
        inner_first += 1;
    }
    if to[1..] != nines {
        let (head, rest) = (nodes.text(&to[..1])?, same_length(nodes, &zeros, &to[1..])?);
        all.push(nodes.sequence(vec![head, rest])?);
        inner_last -= 1;
    }
    if inner_first <= inner_last {
        let (head, digit) = (nodes.one(&[(inner_first, inner_last)])?, nodes.one(&[(b'0', b'9')])?);
        let rest = nodes.repeated(digit, n_rest, Some(n_rest))?;
        all.push(nodes.sequence(vec![head, rest])?);
    }
    nodes.either(all)
}
