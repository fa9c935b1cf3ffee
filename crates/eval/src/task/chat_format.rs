//! Items as conversations, as lm-evaluation-harness makes them with `--apply_chat_template`.

use data::Message;
use serde::{Deserialize, Serialize};

/// How items are put to a model through its chat template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatFormat {
    /// Stands in the system message, in front of the task's own description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Whether each example is a question and an answer of its own; else all stand with the question in one message.
    pub multiturn: bool,
}

/// An example: a question and its answer.
pub(super) type Shot = (String, String);

impl ChatFormat {
    /// The conversation that asks `question` behind examples; `delimiter` stands between a question and its answer where both
    /// are one text.
    pub(super) fn messages(
        &self,
        description: &str,
        delimiter: &str,
        shots: &[&Shot],
        question: &str,
    ) -> Vec<Message> {
        let system = joined(self.system.as_deref().unwrap_or_default(), description);
        let system = (!system.is_empty()).then(|| Message::new("system", system));
        let mut messages: Vec<Message> = system.into_iter().collect();
        if self.multiturn {
            for (asked, answer) in shots {
                messages.push(Message::new("user", asked.clone()));
                if !answer.is_empty() {
                    messages.push(Message::new("assistant", answer.clone()));
                }
            }
            messages.push(Message::new("user", question));
        } else {
            let text: String = shots.iter().map(|shot| as_text(shot, delimiter)).collect();
            messages.push(Message::new("user", text + question));
        }
        messages
    }
}

/// An example as it stands in front of a question.
pub(super) fn as_text((question, answer): &Shot, delimiter: &str) -> String {
    match answer.is_empty() {
        true => question.clone(),
        false => [question, delimiter, answer, "\n\n"].concat(),
    }
}

/// Two texts with an empty line between them, unless there is white space.
fn joined(first: &str, second: &str) -> String {
    let is_apart = first.ends_with(char::is_whitespace) || second.starts_with(char::is_whitespace);
    match first.is_empty() || second.is_empty() || is_apart {
        true => [first, second].concat(),
        false => [first, "\n\n", second].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_turns_or_one_text() {
        let shots = [("1+1?".to_owned(), "2".to_owned()), ("x".to_owned(), String::new())];
        let shots: Vec<&Shot> = shots.iter().collect();
        let of = |system: Option<&str>, multiturn, description| -> Vec<(String, String)> {
            let format = ChatFormat { system: system.map(str::to_owned), multiturn };
            let messages = format.messages(description, " ", &shots, "2+2?");
            messages.into_iter().map(|message| (message.role, message.content)).collect()
        };
        let turn = |role: &str, content: &str| (role.to_owned(), content.to_owned());
        assert_eq!(
            of(None, true, "Add.\n\n"),
            [
                turn("system", "Add.\n\n"),
                turn("user", "1+1?"),
                turn("assistant", "2"),
                turn("user", "x"),
                turn("user", "2+2?"),
            ]
        );
        assert_eq!(
            of(Some("Be brief."), false, "Add."),
            [turn("system", "Be brief.\n\nAdd."), turn("user", "1+1? 2\n\nx2+2?")]
        );
        assert_eq!(of(Some("Be brief. "), false, "Add.")[0], turn("system", "Be brief. Add."));
        assert_eq!(of(None, false, "").len(), 1);
    }
}
