//! JSON as an answer writes it: one space behind commas and colons, so that it cannot be blank without end.

use super::{
    node::{Node, NodeId, Nodes},
    number,
};
use crate::ask::Ordered;

/// A string of so many characters. Other scripts stand for themselves; only what must be is written with a backslash.
pub(super) fn string(nodes: &mut Nodes, least: u32, most: Option<u32>) -> Result<NodeId, String> {
    let (quote, item) = (nodes.text("\"")?, character(nodes)?);
    let text = nodes.repeated(item, least, most)?;
    nodes.sequence(vec![quote, text, quote])
}

/// A character in a string, as UTF-8.
fn character(nodes: &mut Nodes) -> Result<NodeId, String> {
    let plain = nodes.one(&[(0x20, 0x21), (0x23, 0x5b), (0x5d, 0x7e)])?;
    let short = nodes.one(&[
        (b'"', b'"'),
        (b'\\', b'\\'),
        (b'b', b'b'),
        (b'f', b'f'),
        (b'n', b'n'),
        (b'r', b'r'),
        (b't', b't'),
    ])?;
    let backslash = nodes.text("\\")?;
    let escaped = nodes.sequence(vec![backslash, short])?;
    let mut all = vec![plain, escaped];
    // First byte, second byte, and how many more there are: RFC 3629, §4.
    for (first, second, n_more) in [
        ((0xc2, 0xdf), (0x80, 0xbf), 0),
        ((0xe0, 0xe0), (0xa0, 0xbf), 1),
        ((0xe1, 0xec), (0x80, 0xbf), 1),
        ((0xed, 0xed), (0x80, 0x9f), 1),
        ((0xee, 0xef), (0x80, 0xbf), 1),
        ((0xf0, 0xf0), (0x90, 0xbf), 2),
        ((0xf1, 0xf3), (0x80, 0xbf), 2),
        ((0xf4, 0xf4), (0x80, 0x8f), 2),
    ] {
        let (first, second, more) =
            (nodes.one(&[first])?, nodes.one(&[second])?, nodes.one(&[(0x80, 0xbf)])?);
        let more = nodes.repeated(more, n_more, Some(n_more))?;
        all.push(nodes.sequence(vec![first, second, more])?);
    }
    nodes.either(all)
}

/// So many items between brackets.
pub(super) fn list(
    nodes: &mut Nodes,
    item: NodeId,
    least: u32,
    most: Option<u32>,
    brackets: (&str, &str),
) -> Result<NodeId, String> {
    let (open, close, comma) = (nodes.text(brackets.0)?, nodes.text(brackets.1)?, nodes.text(", ")?);
    let next = nodes.sequence(vec![comma, item])?;
    let mut all = Vec::new();
    if least == 0 {
        all.push(nodes.sequence(vec![open, close])?);
    }
    if most != Some(0) {
        let more = nodes.repeated(next, least.saturating_sub(1), most.map(|most| most - 1))?;
        all.push(nodes.sequence(vec![open, item, more, close])?);
    }
    nodes.either(all)
}

/// Any fields with values of this form.
pub(super) fn map(nodes: &mut Nodes, value: NodeId, least: u32, most: Option<u32>) -> Result<NodeId, String> {
    let (name, colon) = (string(nodes, 0, None)?, nodes.text(": ")?);
    let field = nodes.sequence(vec![name, colon, value])?;
    list(nodes, field, least, most, ("{", "}"))
}

/// Any value.
pub(super) fn any(nodes: &mut Nodes) -> Result<NodeId, String> {
    let any = nodes.either(Vec::new())?;
    let (null, yes, no) = (nodes.text("null")?, nodes.text("true")?, nodes.text("false")?);
    let (number, string) = (number::number(nodes, None, None)?, string(nodes, 0, None)?);
    let list = list(nodes, any, 0, None, ("[", "]"))?;
    let map = map(nodes, any, 0, None)?;
    nodes.set(any, Node::Either(vec![null, yes, no, number, string, list, map]));
    Ok(any)
}

/// One value, as it is written here.
pub(super) fn written(value: &Ordered) -> String {
    let joined = |parts: Vec<String>| parts.join(", ");
    match value {
        Ordered::List(list) => format!("[{}]", joined(list.iter().map(written).collect())),
        Ordered::Object(fields) => {
            let field = |(name, value): &(String, Ordered)| {
                format!("{}: {}", serde_json::Value::from(name.as_str()), written(value))
            };
            format!("{{{}}}", joined(fields.iter().map(field).collect()))
        }
        plain => plain.json(),
    }
}
