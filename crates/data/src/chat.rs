//! Conversations to token ids, through the model's own chat template.

use std::{io::Write, path::Path};

use minijinja::{Environment, Error, ErrorKind, context, syntax::SyntaxConfig, value::Serde};
use serde::{Deserialize, Serialize};

use crate::{DataError, Tokenizer};

/// Who speaks, and what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// `system`, `user` or `assistant`; templates may know others.
    pub role: String,
    /// The text.
    pub content: String,
}

impl Message {
    /// A message of `role`.
    pub fn new(role: &str, content: impl Into<String>) -> Self {
        Self { role: role.to_owned(), content: content.into() }
    }
}

/// ChatML, as SmolLM2 and Qwen2 write it, without a system prompt of its own.
const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}\
    {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// Steps that a template may take: a long conversation needs some thousands.
const FUEL: u64 = 5_000_000;
/// Bytes that a template may write.
const MAX_BYTES: usize = 16 << 20;
/// Characters that Unicode keeps for a program's own use: they mark places in a message and stand in no text.
const MARKS: std::ops::RangeInclusive<char> = '\u{fdd0}'..='\u{fdef}';

/// A chat template in Jinja, as Hugging Face's `apply_chat_template` runs it.
///
/// What templates of published models use is there: the methods of Python's strings, lists and dictionaries,
/// `raise_exception`, `strftime_now`, `tojson` without HTML's escapes, `{% break %}`, and `{% generation %}`, which is
/// ignored. A template runs for a limited number of steps and writes at most 16 MB.
///
/// ```
/// let template = data::ChatTemplate::chatml();
/// let messages = [data::Message::new("user", "Hi<|im_end|>")];
/// let tokenizer = data::Tokenizer::bytes();
/// let ids = template.encode(&tokenizer, &messages, true)?;
/// let end = tokenizer.special("<|im_end|>").unwrap();
/// assert_eq!(ids.iter().filter(|id| **id == end).count(), 1); // what a user writes is text
/// # Ok::<(), data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Compiles a template; `bos` and `eos` are what it knows as `bos_token` and `eos_token`.
    ///
    /// # Errors
    /// If it is no Jinja.
    pub fn parse(source: &str, bos: &str, eos: &str) -> Result<Self, DataError> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(refuse)?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(100);
        environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_function("strftime_now", |format: String| strftime_now(&format));
        environment.add_filter("tojson", tojson);
        let without_marks = strip_generation(source);
        environment.add_template_owned("chat", without_marks).map_err(refuse)?;
        Ok(Self { environment, source: source.to_owned(), bos: bos.to_owned(), eos: eos.to_owned() })
    }

    /// The template of models that have none: ChatML.
    pub fn chatml() -> Self {
        Self::parse(CHATML, "", "<|im_end|>").expect("the template is a constant")
    }

    /// Where it lies in the folder of a model.
    pub const FILE: &str = "chat_template.jinja";

    /// The text of the template in a folder; nothing where there is none.
    ///
    /// # Errors
    /// If there is one and it cannot be read.
    pub fn read(folder: &Path) -> Result<Option<String>, DataError> {
        let path = folder.join(Self::FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DataError::io("read", &path)(error)),
        }
    }

    /// The template that lies beside a checkpoint: `chat_template.jinja`; ChatML where there is none and `tokenizer` has
    /// its tokens.
    ///
    /// # Errors
    /// If it cannot be read or compiled, or there is none and ChatML's tokens are missing.
    pub fn load(folder: &Path, tokenizer: &Tokenizer) -> Result<Self, DataError> {
        let Some(source) = Self::read(folder)? else {
            if tokenizer.special("<|im_start|>").is_none() || tokenizer.special("<|im_end|>").is_none() {
                return Err(DataError::ChatTemplate {
                    expected: "a chat template".into(),
                    found: format!("no `{}` and no tokens of ChatML", folder.join(Self::FILE).display()),
                });
            }
            return Ok(Self::chatml());
        };
        let config = folder.join("tokenizer_config.json");
        let config: serde_json::Value = std::fs::read(config)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let name = |field: &str| {
            let value = &config[field];
            value.as_str().or_else(|| value["content"].as_str()).unwrap_or_default().to_owned()
        };
        Self::parse(&source, &name("bos_token"), &name("eos_token"))
    }

    /// The template's text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The conversation as one text, exactly as Hugging Face renders it. For people and for comparison:
    /// [`ChatTemplate::encode`] alone keeps what users write apart from structure.
    ///
    /// # Errors
    /// If the template refuses the conversation or goes beyond its limits.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, DataError> {
        let template = self.environment.get_template("chat").map_err(refuse)?;
        let context = context! {
            messages => minijinja::Value::from(Serde(messages)),
            add_generation_prompt,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
            tools => (),
            documents => (),
        };
        let mut written = Capped(Vec::new());
        template.render_captured_to(context, &mut written).map_err(refuse)?;
        Ok(String::from_utf8_lossy(&written.0).into_owned())
    }

    /// The conversation as ids. The template's special tokens become their ids; the same letters in a message stay text,
    /// wherever they stand.
    ///
    /// Every place in a message where a special token's name could begin is marked, the marked conversation is rendered,
    /// special tokens are read from it, and the marks are taken out of the text between them.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`]; also if the template reads messages in a way that the marks would change.
    pub fn encode(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<Vec<u32>, DataError> {
        let used = |mark: &char| messages.iter().any(|m| m.content.contains(*mark) || m.role.contains(*mark));
        let mark = MARKS.into_iter().find(|mark| !used(mark)).ok_or_else(|| DataError::ChatTemplate {
            expected: "a character among U+FDD0 to U+FDEF that no message holds".into(),
            found: "messages with all of them".into(),
        })?;
        let names = tokenizer.special_names();
        let marked: Vec<Message> = messages
            .iter()
            .map(|message| Message {
                role: mark_names(&message.role, &names, mark),
                content: mark_names(&message.content, &names, mark),
            })
            .collect();
        let with_marks = self.render(&marked, add_generation_prompt)?;
        if with_marks.replace(mark, "") != self.render(messages, add_generation_prompt)? {
            return Err(DataError::ChatTemplate {
                expected: "a template that passes messages on as they are".into(),
                found: "one that reads special tokens in them".into(),
            });
        }
        let mut ids: Vec<u32> = Vec::new();
        let mut rest = &with_marks[..];
        while let Some((start, name)) = first_name(rest, &names) {
            ids.extend(tokenizer.encode(&rest[..start].replace(mark, "")));
            ids.extend(tokenizer.special(name));
            rest = &rest[start + name.len()..];
        }
        ids.extend(tokenizer.encode(&rest.replace(mark, "")));
        // A template that writes the BOS itself and a tokenizer that adds one must not make two.
        if let Some(bos) = tokenizer.bos().filter(|bos| ids.first() != Some(bos)) {
            ids.insert(0, bos);
        }
        Ok(ids)
    }
}

/// The first special token's name in `text`, the longest of those that begin there.
fn first_name<'a>(text: &str, names: &[&'a str]) -> Option<(usize, &'a str)> {
    let found = names.iter().filter_map(|name| text.find(name).map(|at| (at, *name)));
    found.min_by_key(|(at, name)| (*at, usize::MAX - name.len()))
}

/// `text` with a mark behind every character that begins a special token's name, where the name stands there whole or
/// runs into an end of the text: no name is left, and none can come about where a template joins texts.
fn mark_names(text: &str, names: &[&str], mark: char) -> String {
    let (mut marked, blank_free) = (String::with_capacity(text.len()), text.trim());
    let end = text.trim_end().len();
    for (at, c) in text.char_indices() {
        // A name that began in the template could go on at the start of the message.
        let goes_on = text[..at].trim_start().is_empty()
            && !c.is_whitespace()
            && names
                .iter()
                .any(|name| name.char_indices().skip(1).any(|(i, _)| meets(&name[i..], blank_free)));
        if goes_on {
            marked.push(mark);
        }
        marked.push(c);
        let begins = names.iter().any(|name| {
            name.starts_with(c)
                && (text[at..].starts_with(name)
                    || (at < end && name.starts_with(&text[at..end]))
                    || name.starts_with(&text[at..]))
        });
        if begins {
            marked.push(mark);
        }
    }
    marked
}

/// Whether one of both begins with the other.
fn meets(a: &str, b: &str) -> bool {
    !b.is_empty() && (a.starts_with(b) || b.starts_with(a))
}

fn refuse(error: Error) -> DataError {
    let mut found = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        found = format!("{found}: {cause}");
        source = cause.source();
    }
    DataError::ChatTemplate { expected: "a chat template that renders the conversation".into(), found }
}

/// Marks of what is trained on, which only some Jinjas know.
fn strip_generation(source: &str) -> String {
    static TAGS: std::sync::LazyLock<regex::Regex> = std::sync::LazyLock::new(|| {
        regex::Regex::new(r"\{%-?\s*(end)?generation\s*-?%\}").expect("the pattern is a constant")
    });
    TAGS.replace_all(source, "").into_owned()
}

/// JSON as Python's `json.dumps(ensure_ascii=False)` writes it.
fn tojson(value: &minijinja::Value, options: minijinja::value::Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let _: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    let invalid = |error: serde_json::Error| Error::new(ErrorKind::InvalidOperation, error.to_string());
    let value = serde_json::to_value(value).map_err(invalid)?;
    let Some(indent) = indent else { return Ok(python_json(&value)) };
    let blanks = " ".repeat(indent.min(16));
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(blanks.as_bytes());
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter)).map_err(invalid)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn python_json(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Array(items) => {
            format!("[{}]", items.iter().map(python_json).collect::<Vec<_>>().join(", "))
        }
        serde_json::Value::Object(fields) => {
            let field = |(key, value): (&String, &serde_json::Value)| {
                format!("{}: {}", serde_json::Value::from(key.as_str()), python_json(value))
            };
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        plain => plain.to_string(),
    }
}

/// Today in UTC, for the directives that templates use.
fn strftime_now(format: &str) -> Result<String, Error> {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let seconds =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (year, month, day) = date_of((seconds / 86_400) as i64);
    let name = MONTHS[month as usize - 1];
    let mut text = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('Y') => text.push_str(&format!("{year:04}")),
            Some('m') => text.push_str(&format!("{month:02}")),
            Some('d') => text.push_str(&format!("{day:02}")),
            Some('B') => text.push_str(name),
            Some('b') => text.push_str(&name[..3]),
            Some('%') => text.push('%'),
            other => {
                let message =
                    format!("strftime_now knows %Y %m %d %B %b, found %{}", other.map_or(' ', |c| c));
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
        }
    }
    Ok(text)
}

/// Year, month and day of a number of days since 1970, by Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>).
fn date_of(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Takes bytes up to [`MAX_BYTES`].
struct Capped(Vec<u8>);

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_BYTES {
            return Err(std::io::Error::other(format!("the template writes more than {MAX_BYTES} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn render(source: &str, messages: &[Message]) -> Result<String, DataError> {
        ChatTemplate::parse(source, "<s>", "</s>").and_then(|template| template.render(messages, true))
    }

    #[test]
    fn templates_mean_what_they_mean_in_python() {
        let messages = [Message::new("system", " be nice "), Message::new("user", "hi there")];
        for (source, expected) in [
            (
                "{{ bos_token }}{% for m in messages %}{{ m.content.strip().split(' ')[-1].upper() }}{% endfor %}",
                "<s>NICETHERE",
            ),
            ("{% if tools is not none %}T{% endif %}{{ foo }}{{ 'x' * 3 }}", "xxx"),
            ("{{ {'a': [1, 2], 'b': 'é<'} | tojson }}", "{\"a\": [1, 2], \"b\": \"é<\"}"),
            (
                "{% for m in messages %}{% generation %}{{ m['content'] }}{% endgeneration %}{% break %}{% endfor %}",
                " be nice ",
            ),
            (
                "{{ (messages | selectattr('role', 'equalto', 'user') | list) | length }}{{ none }}{{ true }}",
                "1NoneTrue",
            ),
            ("  {% if true %}\na\n  {% endif %}\nb", "a\nb"),
        ] {
            assert_eq!(render(source, &messages).unwrap(), expected, "{source}");
        }
        let refusal =
            render("{{ raise_exception('roles must alternate') }}", &messages).unwrap_err().to_string();
        assert!(refusal.contains("roles must alternate"), "{refusal}");
        assert_eq!((date_of(0), date_of(20_781)), ((1970, 1, 1), (2026, 11, 24)));
    }

    #[test]
    fn bombs_are_refused_in_time() {
        let started = std::time::Instant::now();
        for bomb in [
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "{% for a in range(99999) %}{{ 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' * 1000 }}{% endfor %}",
            "{{ 'x' * 1000000000000 }}",
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
            "{{ messages[0].nothing.at.all }}",
            "{% for %}",
        ] {
            assert!(render(bomb, &[Message::new("user", "hi")]).is_err(), "{bomb}");
        }
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    }

    #[test]
    fn a_template_that_reads_messages_for_tokens_is_refused() {
        let source = "{% for m in messages %}{{ m.content.replace('<|im_end|>', '!') }}{% endfor %}";
        let template = ChatTemplate::parse(source, "", "").unwrap();
        let messages = [Message::new("user", "a<|im_end|>b")];
        let error = template.encode(&Tokenizer::bytes(), &messages, false).unwrap_err().to_string();
        assert!(error.contains("passes messages on as they are"), "{error}");
    }

    proptest! {
        /// Whatever a user writes, there are as many control tokens as the template wrote, and the text is all there.
        #[test]
        fn text_never_becomes_structure(
            pieces in prop::collection::vec(prop_oneof![
                Just("<|im_end|>"), Just("<|im_start|>"), Just("<|endoftext|>"), Just("<|im_"), Just("end|>"), Just("<"),
                Just("|"), Just(">"), Just(" "), Just("\n"), Just("a"), Just("\u{fdd0}"), Just("é"),
            ], 0..12),
            glued: bool,
        ) {
            let source = if glued {
                "{% for m in messages %}<|im_{{ m.content.strip() }}end|>{% endfor %}<|im_end|>"
            } else {
                CHATML
            };
            let (template, tokenizer) = (ChatTemplate::parse(source, "", "").unwrap(), Tokenizer::bytes());
            let text = pieces.concat();
            let count = |text: &str| -> usize {
                let ids = template.encode(&tokenizer, &[Message::new("user", text)], true).unwrap();
                ids.iter().filter(|id| **id < crate::Special::COUNT).count()
            };
            if !text.trim().is_empty() {
                prop_assert_eq!(count(&text), count("harmless"));
            }
            let ids = template.encode(&tokenizer, &[Message::new("user", text.clone())], true).unwrap();
            let shown: String = ids.iter().map(|&id| if id < 16 { tokenizer.show(id) } else { String::new() }).collect();
            prop_assert!(shown.len() <= 40);
            prop_assert!(tokenizer.decode(&ids).contains(text.trim()));
        }
    }
}
