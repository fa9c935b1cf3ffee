//! What a grader that is a model is asked.

use std::collections::BTreeMap;

use data::Message;
use serde::{Deserialize, Serialize};

/// Where a file of propositions has no `prompt_template`.
const TEMPLATE: &str = "Read the conversation above and answer the following question about the last response of the assistant:\n\
    {question}\n\nAs a reminder, this is the last response:\n```\nASSISTANT: {response}\n```\n\n\
    Answer with \"yes\" or \"no\". Do not write any other text.";

/// What a grader that is a model is asked: a question about each proposition, in words around it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Questions {
    /// The words around a question, with `{question}` and `{response}`.
    pub template: String,
    /// By proposition.
    pub of: BTreeMap<String, String>,
}

impl Questions {
    /// Of questions; `template` is that of their file, if it has one.
    pub fn new(template: Option<String>, of: BTreeMap<String, String>) -> Self {
        Self { template: template.unwrap_or_else(|| TEMPLATE.into()), of }
    }

    /// What is asked about the answer to a conversation; nothing where a proposition has no question.
    ///
    /// The conversation with the answer stands in front, unless the template has a place for it as `{conversation}` or `{prompt}`.
    pub fn text(&self, name: &str, messages: &[Message], answer: &str) -> Option<String> {
        let question = self.of.get(name).filter(|question| !question.trim().is_empty())?;
        let turn = |role: &str, content: &str| format!("{}: {content}\n", role.to_uppercase());
        let mut conversation: String =
            messages.iter().map(|message| turn(&message.role, &message.content)).collect();
        conversation += &turn("assistant", answer);
        let (filled, has_conversation) = filled(&self.template, |name| match name {
            "question" => Some((question, false)),
            "response" | "completion" => Some((answer, false)),
            "conversation" | "prompt" => Some((&conversation, true)),
            _ => None,
        });
        Some(if has_conversation {
            filled
        } else {
            format!("# Conversation\n```\n{conversation}```\n\n{filled}")
        })
    }
}

/// The template with what stands for each name in braces, read once: what is filled in is not looked through again. Beside it whether
/// one was filled in that the second part of its value marks.
fn filled<'a>(template: &str, value: impl Fn(&str) -> Option<(&'a str, bool)>) -> (String, bool) {
    let (mut text, mut is_marked, mut rest) = (String::new(), false, template);
    while let Some(open) = rest.find('{') {
        text += &rest[..open];
        let inner = &rest[open + 1..];
        match inner.find('}').and_then(|close| Some((value(&inner[..close])?, &inner[close + 1..]))) {
            Some(((value, marks), after)) => {
                text += value;
                is_marked |= marks;
                rest = after;
            }
            None => {
                text.push('{');
                rest = inner;
            }
        }
    }
    (text + rest, is_marked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_filled_in_once() {
        let of = [("apology".to_owned(), "Is it an apology? {response}".to_owned())].into();
        let mut questions = Questions::new(None, of);
        let asked = [Message::new("system", "Be kind."), Message::new("user", "{question}")];
        let text = questions.text("apology", &asked, "Sorry {question}.").unwrap();
        assert!(text.starts_with(
            "# Conversation\n```\nSYSTEM: Be kind.\nUSER: {question}\nASSISTANT: Sorry {question}.\n```\n"
        ));
        assert!(
            text.contains("Is it an apology? {response}\n")
                && text.contains("```\nASSISTANT: Sorry {question}.\n```")
        );
        assert!(questions.text("judgement", &asked, "x").is_none(), "no question is made up");
        questions.template = "{prompt}|{question}|{completion}|{a: 1}".into();
        let text = questions.text("apology", &asked[1..], "No.").unwrap();
        assert_eq!(text, "USER: {question}\nASSISTANT: No.\n|Is it an apology? {response}|No.|{a: 1}");
    }
}
