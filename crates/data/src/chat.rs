//! Conversations to token ids, through the model's own chat template.

mod continued;
mod encode;
pub(crate) mod jinja;
mod message;
mod turns;

use std::{io::Read as _, path::Path, sync::Arc};

use chrono::NaiveDateTime;

use crate::{DataError, Tokenizer};
use jinja::{Context, Failure, Kind, Template, Text, Value};

pub use continued::Continued;
pub use message::Message;
pub use turns::{Said, Turns};

/// Every question begins a text of its own.
const PICTURES: &str = "{%- for message in messages -%}{%- if message['role'] == 'assistant' -%}{{ message['content'] + 'END' }}\
{%- else -%}{{ 'BEGIN' }}{%- if message['content'] is string -%}{{ message['content'] }}{%- else -%}{%- for part in message['content'] -%}\
{%- if part['type'] == 'image' -%}{{ 'IMAGE' }}{%- else -%}{{ '\\n' + part['text'] }}{%- endif -%}{%- endfor -%}{%- endif -%}{{ '\\n' }}\
{%- endif -%}{%- endfor -%}";

/// ChatML, as SmolLM2 and Qwen2 write it, without a system prompt of its own.
const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}\
    {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// Largest file that is read as a template.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Longest message of a template that is passed on.
const MAX_MESSAGE_CHARS: usize = 1000;

/// A chat template in Jinja, as Hugging Face's `apply_chat_template` runs it.
///
/// The language is that of Jinja2 3.1 in the immutable sandbox, with `trim_blocks` and `lstrip_blocks`, `{% break %}`,
/// `{% continue %}`, `{% generation %}`, `raise_exception`, `strftime_now` and the `tojson` of transformers. What would be
/// computed otherwise than there is refused by name. A template runs for a limited number of steps and makes a limited
/// number of characters: seconds and some hundred megabytes at most.
///
/// Characters of messages stay text whatever a template does with them; see [`ChatTemplate::encode`].
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
    template: Arc<Template>,
    source: String,
    /// Special tokens that the template knows by a variable's name, such as `bos_token`.
    tokens: Vec<(String, String)>,
    now: Option<NaiveDateTime>,
}

impl ChatTemplate {
    /// Compiles a template; `bos` and `eos` are what it knows as `bos_token` and `eos_token`, where they are not empty.
    ///
    /// # Errors
    /// If it is no Jinja2, or uses what is refused.
    pub fn parse(source: &str, bos: &str, eos: &str) -> Result<Self, DataError> {
        let source = source.strip_prefix('\u{feff}').unwrap_or(source);
        let template = Template::parse(source).map_err(refuse)?;
        let tokens =
            [("bos_token", bos), ("eos_token", eos)].into_iter().filter(|(_, token)| !token.is_empty());
        Ok(Self {
            template: Arc::new(template),
            source: source.to_owned(),
            tokens: tokens.map(|(name, token)| (name.to_owned(), token.to_owned())).collect(),
            now: None,
        })
    }

    /// The template of models that have none: ChatML.
    pub fn chatml() -> Self {
        Self::parse(CHATML, "", "<|im_end|>").expect("the template is a constant")
    }

    /// The template of a model that learned questions about pictures as [`crate::pictures::SetDocument::question`] writes
    /// them: an image, the question in a line, the answer up to the end of the text. `None` where the vocabulary has no
    /// `<|image|>`.
    pub fn of_pictures(tokenizer: &Tokenizer) -> Option<String> {
        let image = tokenizer.special("<|image|>").map(|id| tokenizer.show(id))?;
        let [begin, end] = [tokenizer.begin_of_text(), tokenizer.end_of_text()].map(|id| tokenizer.show(id));
        Some(PICTURES.replace("BEGIN", &begin).replace("END", &end).replace("IMAGE", &image))
    }

    /// With a clock that stands still: `strftime_now` shows the date and time of `seconds` after 1970, in UTC.
    #[must_use]
    pub fn with_clock_at(mut self, seconds: i64) -> Self {
        self.now = chrono::DateTime::from_timestamp(seconds, 0).map(|time| time.naive_utc());
        self
    }

    /// Where it lies in the folder of a model.
    pub const FILE: &str = "chat_template.jinja";

    /// The text of the template in a folder, without a byte-order mark; nothing where there is none.
    ///
    /// # Errors
    /// If there is one and it cannot be read.
    pub fn read(folder: &Path) -> Result<Option<String>, DataError> {
        let path = folder.join(Self::FILE);
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DataError::io("read", &path)(error)),
        };
        let mut text = String::new();
        file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(DataError::io("read", &path))?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(DataError::ChatTemplate {
                expected: format!("at most {MAX_FILE_BYTES} bytes in `{}`", path.display()),
                found: "more".into(),
            });
        }
        Ok(Some(text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned)))
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
        let mut template = Self::parse(&source, "", "")?;
        let config = folder.join("tokenizer_config.json");
        let config: serde_json::Value = std::fs::read(config)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        for field in ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map(|name| format!("{name}_token")) {
            let value = &config[&field];
            if let Some(token) = value.as_str().or_else(|| value["content"].as_str()) {
                template.tokens.push((field, token.to_owned()));
            }
        }
        Ok(template)
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
        Ok(self.write(messages, add_generation_prompt)?.to_string())
    }

    /// As [`ChatTemplate::render`], with all that a template may be given: the variables are the fields of a JSON object,
    /// such as `messages`, `tools`, `documents` and `add_generation_prompt`.
    ///
    /// # Errors
    /// If `variables` is no JSON object, the template refuses the conversation or goes beyond its limits.
    pub fn render_json(&self, variables: &str) -> Result<String, DataError> {
        let text = self.run(|context| context.json_object(variables))?;
        Ok(text.to_string())
    }

    /// The conversation as ids. The template's special tokens become their ids; the same letters in a message stay text,
    /// wherever they stand and whatever the template does with them: every character of a message carries a mark through
    /// all that the template computes, and a name with a marked character in it is text. Roles that are plain words carry
    /// none, so that a template may write `<|` and a role and `|>`.
    ///
    /// The template alone decides whether a BOS begins the conversation, as in transformers.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`].
    pub fn encode(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<Vec<u32>, DataError> {
        let written = self.write(messages, add_generation_prompt)?;
        Ok(encode::ids(tokenizer, written.chars()))
    }

    /// As [`ChatTemplate::encode`], with all that a template may be given, as in [`ChatTemplate::render_json`]. Every text in
    /// `variables` is a person's, and so are the names of fields; roles that are plain words are not.
    ///
    /// # Errors
    /// As [`ChatTemplate::render_json`].
    pub fn encode_json(&self, tokenizer: &Tokenizer, variables: &str) -> Result<Vec<u32>, DataError> {
        let written = self.run(|context| context.typed_json_object(variables))?;
        Ok(encode::ids(tokenizer, written.chars()))
    }

    fn write(&self, messages: &[Message], add_generation_prompt: bool) -> Result<Text, DataError> {
        self.run(|context| {
            let message = |message: &Message| {
                let role = if message.has_plain_role() { Text::new } else { Text::typed };
                let text = |text: &str| Value::Text(Text::typed(text));
                let content = match message.images_at.len() {
                    0 => text(&message.content),
                    n => {
                        // As transformers has it: a list of parts.
                        let part = |kind: &str, more: Vec<(&'static str, Value)>| {
                            context.dict([vec![("type", Value::text(kind))], more].concat())
                        };
                        let mut parts = Vec::new();
                        for (i, piece) in message.pieces().into_iter().enumerate() {
                            // A message without any text has an empty one at its end.
                            if !piece.is_empty() || i == n && message.content.is_empty() {
                                parts.push(part("text", vec![("text", text(piece))])?);
                            }
                            if i < n {
                                parts.push(part("image", Vec::new())?);
                            }
                        }
                        context.list(parts)?
                    }
                };
                context.dict(vec![("role", Value::Text(role(&message.role))), ("content", content)])
            };
            let messages = messages.iter().map(message).collect::<jinja::Result<_>>()?;
            Ok(vec![
                ("messages".into(), context.list(messages)?),
                ("add_generation_prompt".into(), Value::Bool(add_generation_prompt)),
            ])
        })
    }

    /// Runs the template with these variables, and with those that every template is given.
    fn run(
        &self,
        variables: impl FnOnce(&Context<'_>) -> jinja::Result<Vec<(Arc<str>, Value)>> + Send,
    ) -> Result<Text, DataError> {
        let all = |context: &Context<'_>| {
            let mut all = variables(context)?;
            let tokens = self.tokens.iter().map(|(name, token)| (Arc::from(&**name), Value::text(token)));
            let always = [
                ("tools", Value::None),
                ("documents", Value::None),
                ("add_generation_prompt", Value::Bool(false)),
            ];
            for (name, value) in tokens.chain(always.map(|(name, value)| (name.into(), value))) {
                if !all.iter().any(|(known, _)| *known == name) {
                    all.push((name, value));
                }
            }
            Ok(all)
        };
        self.template.render(all, self.now).map_err(refuse)
    }
}

fn refuse(failure: Failure) -> DataError {
    let expected = match failure.kind {
        Kind::Template => "a chat template that renders the conversation",
        Kind::Unsupported => "a chat template of what this program knows of Jinja2",
        Kind::Limit => "a chat template that ends within its limits",
    };
    // A template may raise what it likes, however long.
    let mut found: String = failure.to_string().chars().take(MAX_MESSAGE_CHARS + 1).collect();
    if found.chars().count() > MAX_MESSAGE_CHARS {
        found.pop();
        found.push('…');
    }
    DataError::ChatTemplate { expected: expected.into(), found }
}

#[cfg(test)]
mod tests;
