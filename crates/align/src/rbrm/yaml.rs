//! The part of YAML that files of propositions are written in: maps, lists of texts, plain and quoted scalars, `|` blocks,
//! comments.

use serde_json::{Map, Value};

/// A line that is not blank: its indentation, its text, and its number from 1.
struct Line<'a> {
    indent: usize,
    text: &'a str,
    number: usize,
}

/// Reads a file; what is not of that part is refused with its line.
pub(super) fn parse(text: &str) -> Result<Value, (usize, String)> {
    let mut lines: Vec<Line> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let (trimmed, number) = (line.trim_end(), i + 1);
        let content = trimmed.trim_start_matches(' ');
        if content.starts_with('\t') {
            return Err((number, "a tab as indentation".into()));
        }
        lines.push(Line { indent: trimmed.len() - content.len(), text: content, number });
    }
    let mut at = 0;
    let value = block(&lines, &mut at, 0)?;
    skip(&lines, &mut at);
    match lines.get(at) {
        Some(line) => Err((line.number, format!("`{}` at another depth than what stands before", line.text))),
        None => Ok(value),
    }
}

/// Passes over blank lines and comments.
fn skip(lines: &[Line], at: &mut usize) {
    while lines.get(*at).is_some_and(|line| line.text.is_empty() || line.text.starts_with('#')) {
        *at += 1;
    }
}

/// A map or a list whose lines are indented by at least `least`.
fn block(lines: &[Line], at: &mut usize, least: usize) -> Result<Value, (usize, String)> {
    skip(lines, at);
    let Some(first) = lines.get(*at).filter(|line| line.indent >= least) else { return Ok(Value::Null) };
    let indent = first.indent;
    let (mut list, mut map) = (Vec::new(), Map::new());
    loop {
        skip(lines, at);
        let Some(line) = lines.get(*at).filter(|line| line.indent == indent) else { break };
        *at += 1;
        if let Some(item) = line.text.strip_prefix("- ") {
            list.push(scalar(item, line)?);
            continue;
        }
        let Some((key, rest)) = line.text.split_once(':') else {
            return Err((line.number, format!("`{}`, neither `key:` nor `- item`", line.text)));
        };
        let rest = rest.trim();
        let value = match rest {
            "|" | "|-" | "|+" | ">" | ">-" => Value::String(text(lines, at, indent, rest)),
            "" => block(lines, at, indent + 1)?,
            _ if rest.starts_with('#') => block(lines, at, indent + 1)?,
            _ => scalar(rest, line)?,
        };
        if map.insert(key.trim_matches(['"', '\'']).to_owned(), value).is_some() {
            return Err((line.number, format!("`{key}` for the second time")));
        }
    }
    match (list.is_empty(), map.is_empty()) {
        (false, false) => Err((first.number, "a list and a map in one".into())),
        (false, true) => Ok(Value::Array(list)),
        _ => Ok(Value::Object(map)),
    }
}

/// A text of several lines, indented by more than `indent`.
fn text(lines: &[Line], at: &mut usize, indent: usize, style: &str) -> String {
    let (mut own, mut texts) = (None, Vec::new());
    while let Some(line) = lines.get(*at).filter(|line| line.text.is_empty() || line.indent > indent) {
        *at += 1;
        let depth = *own.get_or_insert(line.indent);
        let spaces = if line.text.is_empty() { 0 } else { line.indent.saturating_sub(depth) };
        texts.push(format!("{}{}", " ".repeat(spaces), line.text));
    }
    let joined = texts.join(if style.starts_with('|') { "\n" } else { " " });
    joined.trim_end().to_owned()
}

fn scalar(text: &str, line: &Line) -> Result<Value, (usize, String)> {
    if let Some(quote) = text.chars().next().filter(|c| "\"'".contains(*c)) {
        let end = text[1..].find(quote).map(|end| end + 1);
        return end
            .map(|end| Value::String(text[1..end].to_owned()))
            .ok_or_else(|| (line.number, "a quote that does not end".into()));
    }
    let plain = text.split(" #").next().unwrap_or(text).trim();
    if plain.starts_with(['{', '[', '&', '*', '!']) {
        return Err((line.number, format!("`{plain}`, which is not read here")));
    }
    Ok(match plain {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" | "~" => Value::Null,
        other => serde_json::from_str::<serde_json::Number>(other)
            .map_or_else(|_| Value::String(other.into()), Value::Number),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn maps_lists_and_blocks_are_read() {
        let text = "# a comment\norder:\n  - ideal   # 1\n  - \"worst # 2\"\n\nclasses:\n  a:\n    b: true\n    # inside\n    c: false\n  d:\n    prompt: |-\n      one: 1\n        deeper\n\n      # no comment\n  e: 3\nlast: x y\n";
        let expected = json!({
            "order": ["ideal", "worst # 2"],
            "classes": {"a": {"b": true, "c": false}, "d": {"prompt": "one: 1\n  deeper\n\n# no comment"}, "e": 3},
            "last": "x y",
        });
        assert_eq!(super::parse(text).unwrap(), expected);
    }

    #[test]
    fn what_is_not_read_is_named_by_its_line() {
        for (text, number, found) in [
            ("a: 1\n\tb: 2\n", 2, "tab"),
            ("a:\n  b: 1\n c: 2\n", 3, "depth"),
            ("a: {b: 1}\n", 1, "not read"),
            ("a: 1\na: 2\n", 2, "second time"),
            ("words\n", 1, "neither"),
            ("a: \"b\n", 1, "does not end"),
        ] {
            let (line, message) = super::parse(text).unwrap_err();
            assert!(line == number && message.contains(found), "{text}: {line} {message}");
        }
    }
}
