//! Calls of tools in what a model writes.

use crate::ask::Ordered;

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

/// A part of what a model wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// A call of this tool begins.
    Call(String),
    /// Its arguments go on, as the model writes them.
    Arguments(String),
}

/// Finds calls in a text that comes in parts.
#[derive(Debug)]
pub(super) struct CallReader {
    format: CallFormat,
    /// What came and was not passed on.
    held: String,
    place: Place,
    has_text: bool,
}

/// Where a reader stands.
#[derive(Debug)]
enum Place {
    Text,
    /// In what may be a call, whose name is not certain; its JSON begins at this byte of what is held.
    Head(usize),
    Arguments(Nesting),
    /// Behind the arguments of a call.
    Tail,
}

impl CallReader {
    pub(super) fn new(format: CallFormat) -> Self {
        Self { format, held: String::new(), place: Place::Text, has_text: false }
    }

    /// What became certain with a part.
    pub(super) fn push(&mut self, part: &str) -> Vec<Piece> {
        self.held.push_str(part);
        let mut pieces = Vec::new();
        while self.advance(&mut pieces) {}
        pieces
    }

    /// What is left, where the text ends.
    pub(super) fn finish(&mut self) -> Vec<Piece> {
        let held = std::mem::take(&mut self.held);
        let mut pieces = Vec::new();
        match self.place {
            Place::Text => self.text(held, &mut pieces),
            // A call that a stop text or the end of the answer cut behind its JSON.
            Place::Head(at) => match calls(&held[at..]) {
                Some(calls) => pieces.extend(calls),
                None => self.text(held, &mut pieces),
            },
            Place::Arguments(_) | Place::Tail => {}
        }
        pieces
    }

    /// Goes on to the next place; `false` where that needs more text.
    fn advance(&mut self, pieces: &mut Vec<Piece>) -> bool {
        match &mut self.place {
            Place::Text => match self.format {
                CallFormat::Tags => self.find_tag(pieces),
                CallFormat::Bare => self.find_brace(pieces),
            },
            Place::Head(at) => {
                let at = *at;
                if let Some((name, n)) = head(&self.held[at..]) {
                    pieces.push(Piece::Call(name));
                    self.held.drain(..at + n);
                    self.place = Place::Arguments(Nesting::default());
                    return true;
                }
                // Without its tag it ends with the text.
                let close = self.held[at..].find(CLOSE).filter(|_| self.format == CallFormat::Tags);
                let Some(close) = close.map(|close| at + close) else { return false };
                let rest = self.held.split_off(close + CLOSE.len());
                let whole = std::mem::replace(&mut self.held, rest);
                self.place = Place::Text;
                match calls(&whole[at..close]) {
                    Some(calls) => pieces.extend(calls),
                    // What is no call is what the model wrote.
                    None => self.text(whole, pieces),
                }
                true
            }
            Place::Arguments(nesting) => {
                let (n, is_over) = nesting.read(&self.held);
                if n > 0 {
                    pieces.push(Piece::Arguments(self.held.drain(..n).collect()));
                }
                if is_over {
                    self.place = Place::Tail;
                }
                is_over
            }
            Place::Tail => {
                let (end, n) = match self.format {
                    CallFormat::Tags => (self.held.find(CLOSE), CLOSE.len()),
                    CallFormat::Bare => (self.held.find('}'), 1),
                };
                let Some(end) = end else { return false };
                self.held.drain(..end + n);
                self.place = Place::Text;
                true
            }
        }
    }

    fn find_tag(&mut self, pieces: &mut Vec<Piece>) -> bool {
        let open = self.held.find(OPEN);
        let n_begun = (1..OPEN.len()).rev().find(|&n| self.held.ends_with(&OPEN[..n])).unwrap_or(0);
        // Blanks before a call are no text.
        let n_text = self.held[..open.unwrap_or(self.held.len() - n_begun)].trim_end().len();
        let rest = self.held.split_off(n_text);
        let text = std::mem::replace(&mut self.held, rest);
        self.text(text, pieces);
        match open {
            Some(open) => self.place = Place::Head(open - n_text + OPEN.len()),
            None => return false,
        }
        true
    }

    /// Whether it is a call is known by its first character.
    fn find_brace(&mut self, pieces: &mut Vec<Piece>) -> bool {
        let begun = self.held.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
        if !self.has_text && begun.starts_with('{') {
            self.place = Place::Head(self.held.len() - begun.len());
            return true;
        }
        if self.has_text || !begun.is_empty() {
            let text = std::mem::take(&mut self.held);
            self.text(text, pieces);
        }
        false
    }

    fn text(&mut self, text: String, pieces: &mut Vec<Piece>) {
        if !text.is_empty() {
            self.has_text = true;
            pieces.push(Piece::Text(text));
        }
    }
}

/// How deep in an object's braces a text is.
#[derive(Debug, Default)]
struct Nesting {
    depth: usize,
    is_text: bool,
    is_escaped: bool,
}

impl Nesting {
    /// How many bytes of a part belong to the object, and whether it ends there. Where a tag begins outside of a text it is
    /// broken off.
    fn read(&mut self, part: &str) -> (usize, bool) {
        for (i, byte) in part.bytes().enumerate() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = self.is_text,
                b'"' => self.is_text = !self.is_text,
                _ if self.is_text => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return (i + 1, true);
                    }
                }
                b'<' => return (i, true),
                _ => {}
            }
        }
        (part.len(), false)
    }
}

/// The name of a call that begins as models mostly write it, and where its arguments begin.
fn head(json: &str) -> Option<(String, usize)> {
    let after = |rest: &'_ str, sign: &str| rest.trim_start().strip_prefix(sign).map(str::len);
    let skip = |at: usize, sign: &str| Some(json.len() - after(&json[at..], sign)?);
    let at = skip(skip(skip(0, "{")?, "\"name\"")?, ":")?;
    let begin = json.len() - json[at..].trim_start().len();
    let mut is_escaped = false;
    let end = json[begin..].bytes().enumerate().skip(1).find_map(|(i, byte)| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end.then_some(begin + i + 1)
    })?;
    let name = serde_json::from_str(&json[begin..end]).ok()?;
    let at = skip(end, ",")?;
    let at = skip(skip(at, "\"arguments\"").or_else(|| skip(at, "\"parameters\""))?, ":")?;
    Some((name, skip(at, "{")? - 1))
}

/// The calls in a JSON text: one, or a list of them.
fn calls(json: &str) -> Option<Vec<Piece>> {
    let calls: Vec<[Piece; 2]> = match serde_json::from_str(json.trim()).ok()? {
        Ordered::List(list) => list.iter().map(call).collect::<Option<_>>()?,
        one => vec![call(&one)?],
    };
    (!calls.is_empty()).then(|| calls.into_iter().flatten().collect())
}

fn call(value: &Ordered) -> Option<[Piece; 2]> {
    let Ordered::Text(name) = value.get("name")? else { return None };
    let arguments = match value.get("arguments").or_else(|| value.get("parameters"))? {
        // Some models write the arguments as a text with JSON in it.
        Ordered::Text(text) if serde_json::from_str::<Ordered>(text).is_ok() => text.clone(),
        arguments @ Ordered::Object(_) => arguments.json(),
        _ => return None,
    };
    Some([Piece::Call(name.clone()), Piece::Arguments(arguments)])
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
                    (Some(Piece::Arguments(before)), Piece::Arguments(text)) => before.push_str(&text),
                    (_, piece) => joined.push(piece),
                }
            }
            assert_eq!(joined, want, "{text:?} in parts of {n}");
        }
    }

    fn call(name: &str, arguments: &str) -> [Piece; 2] {
        [Piece::Call(name.into()), Piece::Arguments(arguments.into())]
    }

    fn said(text: &str) -> [Piece; 1] {
        [Piece::Text(text.into())]
    }

    #[test]
    fn calls_between_tags_are_found() {
        let one = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>";
        let check = |text: &str, want: &[Piece]| check(CallFormat::Tags, text, want);
        let f = call("f", r#"{"a": 1}"#);
        check(one, &f);
        check(&format!("Let me see.\n{one}\n{one}"), &[&said("Let me see.")[..], &f, &f].concat());
        check(&format!("{one}\nThat was all."), &[&f[..], &said("\nThat was all.")].concat());
        // Braces, quotes and tags in texts are none.
        let odd = r#"{"a": "}\"</tool_call>{\\", "b": [{"c": "é"}]}"#;
        check(
            &format!("<tool_call>{{ \"name\" : \"f\\u0067\", \"parameters\":{odd} }}</tool_call>"),
            &call("fg", odd),
        );
        // In another order, or several in a list, it is known at its end.
        check(
            r#"<tool_call>[{"name":"f","arguments":{"z":1,"a":2}},{"arguments":{},"name":"g"}]</tool_call>"#,
            &[call("f", r#"{"z":1,"a":2}"#), call("g", "{}")].concat(),
        );
        check(r#"<tool_call>{"name":"f","arguments":"{\"a\":1}"}"#, &call("f", r#"{"a":1}"#));
        // What is cut or broken inside of its arguments is a call as far as it goes.
        check(r#"<tool_call>{"name": "f", "arguments": {"a": "x"#, &call("f", r#"{"a": "x"#));
        check(
            "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": </tool_call> b",
            &[&call("f", "{\"a\": ")[..], &said(" b")].concat(),
        );
        // What is none stays what was written.
        for text in [
            "<tool_call>nonsense</tool_call>",
            "Well.\n\n<tool_call>nonsense</tool_call>",
            "a < b <tool",
            "<tool_call>{\"name\": 1}",
            "<tool_call>{\"name\": \"f\"",
            "plain\n\ntext",
            "<tool_call>[]</tool_call>",
        ] {
            check(text, &said(text));
        }
    }

    #[test]
    fn a_bare_call_is_all_that_is_written() {
        let check = |text: &str, want: &[Piece]| check(CallFormat::Bare, text, want);
        let f = call("f", r#"{"a": 1}"#);
        check(r#" {"name": "f", "parameters": {"a": 1}}"#, &f);
        check(
            r#"{"name": "f", "parameters": {"a": 1}}; {"name": "f", "parameters": {"a": 1}}"#,
            &[f.clone(), f].concat(),
        );
        check(r#"Use {"name": "f", "parameters": {}}"#, &said(r#"Use {"name": "f", "parameters": {}}"#));
        check("{not json", &said("{not json"));
    }

    /// The name comes before the arguments do, and these as they are written.
    #[test]
    fn a_call_comes_in_parts() {
        let mut reader = CallReader::new(CallFormat::Tags);
        assert_eq!(reader.push("<tool_call>\n{\"name\": \"f\", \"arguments\": {"), call("f", "{"));
        assert_eq!(reader.push("\"a\": 1"), [Piece::Arguments("\"a\": 1".into())]);
        assert_eq!(reader.push("}}\n</tool_call>"), [Piece::Arguments("}".into())]);
        assert_eq!(reader.finish(), []);
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
