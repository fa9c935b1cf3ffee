//! Questions about pictures, as data sets of visual question answering have them.

use serde_json::Value;

use super::{Row, RowPart, place_images::placed};
use crate::image::ImageError;

/// What is asked of a picture of which the name is known.
pub const WHAT: &str = "What is this?";

/// A question with its right answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is asked.
    pub text: String,
    /// Right answers: one, several of which each counts, or those of several people.
    pub answers: Vec<String>,
    /// What it is a question of, where the row says so in `kind`.
    pub kind: Option<String>,
    /// How hard it is, where the row says so in `level`.
    pub level: Option<u32>,
    /// How answers are scored, where the row says so in `metric`.
    pub metric: Option<String>,
    /// The right answer where its pictures come in reverse order, where the row says so in `reversed_answer`.
    pub reversed_answer: Option<String>,
}

impl Question {
    /// The question of a row: `question` or `query`, or the `sentence` of NLVR that is true or false, and `answer`, `answers`
    /// or `label`, each a text, a number, or a list of these. A row with a `name` and no text asks [`WHAT`]. None where
    /// something is missing.
    pub(super) fn of(field: impl Fn(&str) -> Option<Value>) -> Option<Self> {
        let first =
            |names: &[&str]| names.iter().find_map(|name| field(name).filter(|value| !value.is_null()));
        let Some(text) = first(&["question", "query", "sentence"]) else {
            let name = first(&["name"]).filter(|_| first(&["text", "texts", "caption"]).is_none())?;
            first(&["image", "images"])?;
            let answers = vec![name.as_str().filter(|name| !name.is_empty())?.to_owned()];
            return Some(Self {
                text: WHAT.to_owned(),
                answers,
                kind: None,
                level: None,
                metric: None,
                reversed_answer: None,
            });
        };
        let text = text.as_str()?.to_owned();
        let answers = match first(&["answers", "answer", "label"])? {
            Value::Array(answers) => answers.iter().map(said).collect::<Option<Vec<_>>>()?,
            one => vec![said(&one)?],
        };
        let word = |name| field(name).and_then(|value| value.as_str().map(str::to_owned));
        let level =
            field("level").and_then(|value| value.as_u64()).and_then(|level| u32::try_from(level).ok());
        let has_answer = answers.iter().any(|answer| !answer.is_empty());
        has_answer.then(|| Self {
            text,
            answers,
            kind: word("kind"),
            level,
            metric: word("metric"),
            reversed_answer: word("reversed_answer"),
        })
    }

    /// The answer to learn: the first of those that are given most often.
    pub fn most_common_answer(&self) -> &str {
        let count = |answer: &String| self.answers.iter().filter(|other| *other == answer).count();
        let best = self.answers.iter().enumerate().max_by_key(|(i, answer)| (count(answer), usize::MAX - i));
        best.map_or("", |(_, answer)| answer)
    }

    /// The row of a document that asks it: pictures where the question has places for them, or in front; the question, which
    /// is read; the answer, which is learned.
    pub(super) fn into_row(self, images: Vec<Vec<u8>>, place: String) -> Result<Row, ImageError> {
        let mut parts = placed(&format!("\n{}\n", self.text.trim()), images, &place)?;
        for part in &mut parts {
            if let RowPart::Text(text) = part {
                *part = RowPart::Question(std::mem::take(text));
            }
        }
        parts.push(RowPart::Text(self.most_common_answer().to_owned()));
        Ok(Row { question: Some(self), ..Row::new(place, parts) })
    }
}

/// A text or a number as it is said.
fn said(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        // As VQAv2 has each person's: `{"answer": "two", …}`.
        Value::Object(object) => object.get("answer").and_then(|answer| answer.as_str().map(str::to_owned)),
        _ => None,
    }
}
