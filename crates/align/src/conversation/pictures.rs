//! Pictures of conversations: taken out of a row before its texts are read, and put back where they stood.
//!
//! Two forms are read, and mixtures of them: parts of a content (`image_url` of OpenAI, `image` of transformers), and LLaVA's
//! `<image>` or `<|image|>` in a text, for the names in the row's `image` or `images`.

use std::path::Path;

use data::{
    Message,
    image::ImageSource,
    interleaved::{PLACEHOLDER, has_place, taken_out},
};
use serde_json::{Map, Value};

use super::{Problem, messages::kind};

/// Pictures of a row, in their order.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    pub(super) sources: Vec<ImageSource>,
    /// For every turn of the row's list, where pictures stand in its text.
    at: Vec<Vec<usize>>,
}

impl Pictures {
    /// Takes the pictures out of a row of a file in `folder`: what is left are texts.
    pub(super) fn take(row: &mut Map<String, Value>, folder: &Path) -> Result<Self, Problem> {
        let named = named(row);
        let list =
            ["messages", "conversations", "conversation"].into_iter().find(|name| row.contains_key(*name));
        let Some(turns) = list.and_then(|name| row.get_mut(name)).and_then(Value::as_array_mut) else {
            return match named.len() {
                0 => Ok(Self::default()),
                _ => {
                    Err(Problem::new("pictures beside `messages` or `conversations`", "a row without either"))
                }
            };
        };
        let mut taken = Taken { named: &named, n_used: 0, folder, pictures: Self::default() };
        for turn in &mut *turns {
            let at = taken.turn(turn)?;
            taken.pictures.at.push(at);
        }
        if taken.n_used == 0 && !named.is_empty() {
            let first = turns.iter().position(is_asked);
            let first = first.ok_or_else(|| Problem::new("a turn of the user for the pictures", "none"))?;
            // In front of everything else that is shown there.
            let n_before: usize = taken.pictures.at[..first].iter().map(Vec::len).sum();
            let sources = named.iter().map(|value| source(value, folder)).collect::<Result<Vec<_>, _>>()?;
            taken.pictures.at[first].splice(0..0, vec![0; named.len()]);
            taken.pictures.sources.splice(n_before..n_before, sources);
            taken.n_used = named.len();
        }
        if taken.n_used != named.len() {
            return Err(Problem::new(
                format!("one {PLACEHOLDER} for each of {} pictures", named.len()),
                format!("{} of them", taken.n_used),
            ));
        }
        Ok(taken.pictures)
    }

    /// Puts them back into the messages of the row, of which the first may be the row's own system message.
    pub(super) fn put(&self, messages: &mut [Message]) {
        let n_first = messages.len().saturating_sub(self.at.len());
        for (message, at) in messages[n_first..].iter_mut().zip(&self.at) {
            message.images_at.clone_from(at);
        }
    }
}

/// What the row's `images` or `image` names.
fn named(row: &Map<String, Value>) -> Vec<Value> {
    match row.get("images").or_else(|| row.get("image")) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(names)) => names.clone(),
        Some(name) => vec![name.clone()],
    }
}

/// Whether a turn is one that pictures may stand in.
fn is_asked(turn: &Value) -> bool {
    let role = turn.get("role").or_else(|| turn.get("from")).and_then(Value::as_str);
    matches!(role, Some("user" | "human" | "prompter"))
}

struct Taken<'a> {
    named: &'a [Value],
    n_used: usize,
    folder: &'a Path,
    pictures: Pictures,
}

impl Taken<'_> {
    /// Takes those of a turn; where they stood in its text.
    fn turn(&mut self, turn: &mut Value) -> Result<Vec<usize>, Problem> {
        let is_asked = is_asked(turn);
        let key = if turn.get("content").is_some() { "content" } else { "value" };
        let mut at = Vec::new();
        match turn.get_mut(key) {
            Some(Value::Array(parts)) => {
                let mut n_bytes = 0;
                let mut texts = Vec::new();
                for part in std::mem::take(parts) {
                    if is_picture(&part) {
                        self.push(own(&part))?;
                        at.push(n_bytes);
                        continue;
                    }
                    n_bytes += part.as_str().or_else(|| part.get("text")?.as_str()).map_or(0, str::len);
                    texts.push(part);
                }
                *parts = texts;
            }
            Some(Value::String(text)) if !self.named.is_empty() && has_place(text) => {
                let (rest, places) = taken_out(text);
                places.iter().try_for_each(|_| self.push(None))?;
                (*text, at) = (rest, places);
            }
            _ => {}
        }
        match at.is_empty() || is_asked {
            true => Ok(at),
            false => Err(Problem::new("pictures in turns of the user alone", "one in another turn")),
        }
    }

    /// One picture more: its own source, or the next that the row names.
    fn push(&mut self, own: Option<&Value>) -> Result<(), Problem> {
        let value = match own {
            Some(own) => own,
            None => {
                self.n_used += 1;
                let n = self.named.len();
                self.named.get(self.n_used - 1).ok_or_else(|| {
                    let found = format!("more places than the {n} that the row names in `image` or `images`");
                    Problem::new("as many pictures as places for them", found)
                })?
            }
        };
        self.pictures.sources.push(source(value, self.folder)?);
        Ok(())
    }
}

/// Whether a part of a content is a picture.
fn is_picture(part: &Value) -> bool {
    matches!(part.get("type").and_then(Value::as_str), Some("image" | "image_url" | "input_image"))
}

/// What a part names itself; none where it stands for one that the row names.
fn own(part: &Value) -> Option<&Value> {
    ["image_url", "image", "url", "path"]
        .into_iter()
        .find_map(|name| part.get(name))
        .filter(|own| !own.is_null())
}

/// A picture by its name or data URL, also as the `url` or `path` of an object.
fn source(value: &Value, folder: &Path) -> Result<ImageSource, Problem> {
    let name =
        value.as_str().or_else(|| ["url", "path"].into_iter().find_map(|name| value.get(name)?.as_str()));
    let name =
        name.ok_or_else(|| Problem::new("the name of a picture's file, or a data URL", kind(value)))?;
    ImageSource::named(name, folder).map_err(|(expected, hint)| {
        let shown: String = name.chars().take(40).collect();
        Problem::new(format!("{expected} ({hint})"), format!("`{shown}`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each turn says with its pictures in it, and their names.
    fn read(row: &str) -> Result<(Vec<String>, Vec<String>), String> {
        let mut row: Map<String, Value> = serde_json::from_str(row).unwrap();
        let say = |problem: Problem| format!("expected {}, found {}", problem.expected, problem.found);
        let pictures = Pictures::take(&mut row, Path::new("f")).map_err(say)?;
        let mut messages = super::super::conversation(&row).map_err(say)?;
        pictures.put(&mut messages);
        let said = messages.iter().map(|message| {
            let mut text = message.content.clone();
            message.images_at.iter().rev().for_each(|at| text.insert(*at, '#'));
            text
        });
        let names = pictures.sources.iter().map(|source| match source {
            ImageSource::File { name, .. } => name.clone(),
            ImageSource::Bytes(bytes) => format!("{} bytes", bytes.len()),
        });
        Ok((said.collect(), names.collect()))
    }

    #[test]
    fn published_forms_are_read() {
        let cases: [(&str, &[&str], &[&str]); 10] = [
            (
                r#"{"messages":[{"role":"user","content":[{"type":"text","text":"é "},{"type":"image_url","image_url":{"url":"a.png","detail":"auto"}},
                    {"type":"text","text":"?"}]},{"role":"assistant","content":"b"}]}"#,
                &["é #?", "b"],
                &["a.png"],
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"image","image":"a.png"},{"type":"input_image","image_url":"data:image/png;base64,TQ=="}]},
                    {"role":"assistant","content":"b"}]}"#,
                &["##", "b"],
                &["a.png", "1 bytes"],
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"image"},{"type":"text","text":"q"}]},{"role":"assistant","content":"b"}],"images":["a.png"]}"#,
                &["#q", "b"],
                &["a.png"],
            ),
            (
                r#"{"id":1,"image":"x.jpg","conversations":[{"from":"human","value":"<image>\nWhat?"},{"from":"gpt","value":"b"}]}"#,
                &["#What?", "b"],
                &["x.jpg"],
            ),
            (
                r#"{"image":["x.jpg",{"path":"y.jpg"}],"system":"s","conversations":[{"from":"human","value":"What?\n<image>"},{"from":"gpt","value":"b"},
                    {"from":"human","value":"And <image>?"},{"from":"gpt","value":"c"}]}"#,
                &["s", "What?#", "b", "And #?", "c"],
                &["x.jpg", "y.jpg"],
            ),
            (
                r#"{"images":["x.jpg","y.jpg"],"messages":[{"role":"user","content":"<|image|>\nand <image>?"},{"role":"assistant","content":"b"}]}"#,
                &["#and #?", "b"],
                &["x.jpg", "y.jpg"],
            ),
            (
                r#"{"images":["x.jpg","y.jpg"],"messages":[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"b"}]}"#,
                &["s", "##q", "b"],
                &["x.jpg", "y.jpg"],
            ),
            // Without pictures a placeholder is text, which a model with eyes refuses.
            (
                r#"{"conversations":[{"from":"human","value":"<image>\nWhat?"},{"from":"gpt","value":"b"}]}"#,
                &["<image>\nWhat?", "b"],
                &[],
            ),
            (
                r#"{"image":null,"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"b"}]}"#,
                &["q", "b"],
                &[],
            ),
            (r#"{"instruction":"q","output":"b","images":[]}"#, &["q", "b"], &[]),
        ];
        for (row, said, names) in cases {
            let (found, sources) = read(row).unwrap();
            assert_eq!(
                (&found[..], &sources[..]),
                (&said.map_to_owned()[..], &names.map_to_owned()[..]),
                "{row}"
            );
        }
    }

    trait Owned {
        fn map_to_owned(&self) -> Vec<String>;
    }

    impl Owned for &[&str] {
        fn map_to_owned(&self) -> Vec<String> {
            self.iter().map(|text| (*text).to_owned()).collect()
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (row, expected) in [
            (
                r#"{"image":"x.jpg","conversations":[{"from":"human","value":"<image><image>"},{"from":"gpt","value":"b"}]}"#,
                "more places than the 1",
            ),
            (
                r#"{"images":["x.jpg","y.jpg"],"conversations":[{"from":"human","value":"<image>"},{"from":"gpt","value":"b"}]}"#,
                "one <image> for each of 2 pictures, found 1",
            ),
            (
                r#"{"image":"x.jpg","conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"<image>"}]}"#,
                "turns of the user alone",
            ),
            (
                r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"image","image":"a.png"}]}]}"#,
                "turns of the user alone",
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://a.org/a.png"}}]},{"role":"assistant","content":"b"}]}"#,
                "nothing is fetched",
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":7}]},{"role":"assistant","content":"b"}]}"#,
                "found the number 7",
            ),
            (r#"{"instruction":"q","output":"b","image":"x.jpg"}"#, "a row without either"),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"image"}]},{"role":"assistant","content":"b"}]}"#,
                "more places than the 0",
            ),
        ] {
            let error = read(row).unwrap_err();
            assert!(error.contains(expected), "{row}: {error}");
        }
    }
}
