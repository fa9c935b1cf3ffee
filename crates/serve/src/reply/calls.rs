//! Calls of tools in what a model writes.

use serde_json::Value;

/// How a model writes the call of a tool, which its chat template shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallFormat {
    /// `<tool_call>{"name": …, "arguments": …}</tool_call>`, as Hermes, Qwen2 and SmolLM2 do.
    Tags,
    /// `{"name": …, "parameters": …}` and nothing else, as Llama 3 does.
    Bare,
}

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";

impl CallFormat {
    /// The form that a chat template shows its model, if it is one of those that are known.
    pub(crate) fn of(template: &str) -> Option<Self> {
        if !template.contains("tools") {
            return None;
        }
        if template.contains(OPEN) {
            return Some(Self::Tags);
        }
        (template.contains("\"parameters\"") || template.contains("'parameters'")).then_some(Self::Bare)
    }

    /// What stands around a call, and the name of its arguments.
    pub(crate) fn frame(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Tags => ("<tool_call>\n", "arguments", "\n</tool_call>"),
            Self::Bare => ("", "parameters", ""),
        }
    }
}

/// The call of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) name: String,
    /// As JSON.
    pub(super) arguments: String,
}

/// A part of what a model wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Call(Call),
}

/// Finds calls in a text that comes in parts.
#[derive(Debug)]
pub(super) struct CallReader {
    format: CallFormat,
    held: String,
    has_text: bool,
}

impl CallReader {
    pub(super) fn new(format: CallFormat) -> Self {
        Self { format, held: String::new(), has_text: false }
    }

    /// What became certain with a part.
    pub(super) fn push(&mut self, part: &str) -> Vec<Piece> {
        self.held.push_str(part);
        let mut pieces = Vec::new();
        match self.format {
            CallFormat::Tags => self.tags(&mut pieces),
            // Whether it is a call is known by its first character, and which at its end.
            CallFormat::Bare => {
                let begun = self.held.trim_start();
                if self.has_text || !(begun.is_empty() || begun.starts_with('{')) {
                    let text = std::mem::take(&mut self.held);
                    self.text(text, &mut pieces);
                }
            }
        }
        pieces
    }

    /// What is left, where the text ends.
    pub(super) fn finish(&mut self) -> Vec<Piece> {
        let held = std::mem::take(&mut self.held);
        let mut pieces = Vec::new();
        let inner = match self.format {
            // A call that a stop text or the end of the answer cut behind its JSON.
            CallFormat::Tags => held.trim_start().strip_prefix(OPEN),
            CallFormat::Bare => Some(held.as_str()),
        };
        match inner.and_then(calls) {
            Some(calls) => pieces.extend(calls.into_iter().map(Piece::Call)),
            None => self.text(held, &mut pieces),
        }
        pieces
    }

    fn tags(&mut self, pieces: &mut Vec<Piece>) {
        loop {
            let Some(open) = self.held.find(OPEN) else {
                let n_held = (1..OPEN.len()).rev().find(|&n| self.held.ends_with(&OPEN[..n])).unwrap_or(0);
                // Blanks before a call are no text.
                let n_blank = self.held[..self.held.len() - n_held].trim_end().len();
                let rest = self.held.split_off(n_blank);
                let text = std::mem::replace(&mut self.held, rest);
                self.text(text, pieces);
                return;
            };
            let Some(close) = self.held[open..].find(CLOSE).map(|close| open + close) else {
                let rest = self.held.split_off(open);
                let text = std::mem::replace(&mut self.held, rest);
                self.text(text.trim_end().to_owned(), pieces);
                return;
            };
            let rest = self.held.split_off(close + CLOSE.len());
            let whole = std::mem::replace(&mut self.held, rest);
            match calls(&whole[open + OPEN.len()..close]) {
                Some(calls) => {
                    self.text(whole[..open].trim_end().to_owned(), pieces);
                    pieces.extend(calls.into_iter().map(Piece::Call));
                }
                // What is no call is what the model wrote.
                None => self.text(whole, pieces),
            }
        }
    }

    fn text(&mut self, text: String, pieces: &mut Vec<Piece>) {
        if !text.is_empty() {
            self.has_text = true;
            pieces.push(Piece::Text(text));
        }
    }
}

/// The calls in a JSON text: one, or a list of them.
fn calls(json: &str) -> Option<Vec<Call>> {
    let calls: Vec<Call> = match serde_json::from_str(json.trim()).ok()? {
        Value::Array(list) => list.into_iter().map(call).collect::<Option<_>>()?,
        one => vec![call(one)?],
    };
    (!calls.is_empty()).then_some(calls)
}

fn call(value: Value) -> Option<Call> {
    let name = value.get("name")?.as_str()?.to_owned();
    let arguments = value.get("arguments").or_else(|| value.get("parameters"))?;
    // Some models write the arguments as a text with JSON in it.
    let arguments = match arguments {
        Value::String(text) if serde_json::from_str::<Value>(text).is_ok() => text.clone(),
        Value::Object(_) => arguments.to_string(),
        _ => return None,
    };
    Some(Call { name, arguments })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of a text, which are the same in whatever parts it comes.
    #[track_caller]
    fn check(format: CallFormat, text: &str, want: &[Piece]) {
        for n in [1, 2, 5, 1000] {
            let mut reader = CallReader::new(format);
            let letters: Vec<char> = text.chars().collect();
            let parts = letters.chunks(n).map(|part| part.iter().collect::<String>());
            let mut pieces: Vec<Piece> = parts.flat_map(|part| reader.push(&part)).collect();
            pieces.extend(reader.finish());
            let mut joined: Vec<Piece> = Vec::new();
            for piece in pieces {
                match (joined.last_mut(), piece) {
                    (Some(Piece::Text(before)), Piece::Text(text)) => before.push_str(&text),
                    (_, piece) => joined.push(piece),
                }
            }
            assert_eq!(joined, want, "{text:?} in parts of {n}");
        }
    }

    fn call(name: &str, arguments: &str) -> Piece {
        Piece::Call(Call { name: name.into(), arguments: arguments.into() })
    }

    fn said(text: &str) -> Piece {
        Piece::Text(text.into())
    }

    #[test]
    fn calls_between_tags_are_found() {
        let one = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>";
        let check = |text: &str, want: &[Piece]| check(CallFormat::Tags, text, want);
        let f = call("f", r#"{"a":1}"#);
        check(one, std::slice::from_ref(&f));
        check(&format!("Let me see.\n{one}\n{one}"), &[said("Let me see."), f.clone(), f.clone()]);
        check(
            r#"<tool_call>[{"name":"f","arguments":{"a":1}},{"name":"g","arguments":{}}]</tool_call>"#,
            &[f.clone(), call("g", "{}")],
        );
        check(r#"<tool_call>{"name":"f","arguments":"{\"a\":1}"}"#, &[f]);
        // What is none stays what was written.
        for text in [
            "<tool_call>nonsense</tool_call>",
            "a < b <tool",
            "<tool_call>{\"name\": 1}",
            "plain\n\ntext",
            "<tool_call>[]</tool_call>",
        ] {
            check(text, &[said(text)]);
        }
    }

    #[test]
    fn a_bare_call_is_all_that_is_written() {
        let check = |text: &str, want: &[Piece]| check(CallFormat::Bare, text, want);
        check(r#" {"name": "f", "parameters": {"a": 1}}"#, &[call("f", r#"{"a":1}"#)]);
        check(r#"Use {"name": "f", "parameters": {}}"#, &[said(r#"Use {"name": "f", "parameters": {}}"#)]);
        check("{not json", &[said("{not json")]);
    }

    #[test]
    fn templates_show_which_form_is_meant() {
        let form = CallFormat::of;
        assert_eq!(form("{{ messages }}"), None);
        assert_eq!(form("{% if tools %}<tool_call>{% endif %}"), Some(CallFormat::Tags));
        assert_eq!(form(r#"{% if tools %}{"name": x, "parameters": y}{% endif %}"#), Some(CallFormat::Bare));
        assert_eq!(form("{% if tools %}[TOOL_CALLS]{% endif %}"), None);
    }
}
