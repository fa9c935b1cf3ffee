//! A conversation as ids, with what the assistant says in it.

use super::{ChatTemplate, Message, encode, jinja::Char};
use crate::{DataError, Tokenizer};

/// A conversation as ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turns {
    /// Of the whole conversation.
    pub ids: Vec<u32>,
    /// Whether the assistant says each of them; the token that ends its turn is among them.
    pub is_said: Vec<bool>,
}

/// Which of the assistant's turns count as said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Said {
    /// Every turn.
    #[default]
    All,
    /// The last one alone.
    Last,
}

impl ChatTemplate {
    /// The conversation as ids, and which of them the assistant says.
    ///
    /// A turn of the assistant begins where the conversation before it, with the prompt for an answer, ends: these ids are what
    /// the model is given when it answers, and those of the turn are what it is to write, up to and with the special token that
    /// ends it. What follows that token, such as a line feed, is written by the template again.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`]; and if the template writes a turn in another way once others follow it, so that nothing
    /// that the model was given would be what it is trained on.
    pub fn encode_turns(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        said: Said,
    ) -> Result<Turns, DataError> {
        let written = self.write(messages, false)?;
        let written = written.chars();
        let mut turns = Turns { ids: Vec::new(), is_said: Vec::new() };
        let mut at = 0;
        let last = messages.iter().rposition(|message| message.role == "assistant");
        for (i, message) in messages.iter().enumerate() {
            let counts = said == Said::All || Some(i) == last;
            if message.role != "assistant" || !counts {
                continue;
            }
            let before = self.write(&messages[..i], true)?;
            let through = self.write(&messages[..=i], false)?;
            let (start, end) = (before.chars().len(), through.chars().len());
            if start < at
                || end < start
                || !is_beginning(before.chars(), written)
                || !is_beginning(through.chars(), written)
            {
                return Err(DataError::ChatTemplate {
                    expected: format!(
                        "a chat template that writes turn {} in the same way, whatever follows it",
                        i + 1
                    ),
                    found: "one that writes it otherwise than its beginning promises".into(),
                });
            }
            turns.push(encode::ids(tokenizer, &written[at..start]), false);
            // Up to the token that ends the turn: what the template writes behind it is not the model's.
            let end =
                start + encode::end_of_last_special(tokenizer, &written[start..end]).unwrap_or(end - start);
            turns.push(encode::ids(tokenizer, &written[start..end]), true);
            at = end;
        }
        turns.push(encode::ids(tokenizer, &written[at..]), false);
        Ok(turns)
    }
}

fn is_beginning(beginning: &[Char], of: &[Char]) -> bool {
    of.starts_with(beginning)
}

impl Turns {
    /// The same with every token `id` written `n` times, such as a placeholder for each patch of an image.
    #[must_use]
    pub fn expanded(&self, id: u32, n: usize) -> Self {
        let mut turns = Self { ids: Vec::new(), is_said: Vec::new() };
        for (&own, &is_said) in self.ids.iter().zip(&self.is_said) {
            turns.push(vec![own; if own == id { n } else { 1 }], is_said);
        }
        turns
    }

    fn push(&mut self, ids: Vec<u32>, is_said: bool) {
        self.is_said.resize(self.is_said.len() + ids.len(), is_said);
        self.ids.extend(ids);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(turns: &[(&str, &str)]) -> Vec<Message> {
        turns.iter().map(|(role, content)| Message::new(role, *content)).collect()
    }

    /// What is said, turn by turn.
    fn said(turns: &Turns, tokenizer: &Tokenizer) -> Vec<String> {
        let mut said = Vec::new();
        let mut was_said = false;
        for (id, is_said) in turns.ids.iter().zip(&turns.is_said) {
            if *is_said && !was_said {
                said.push(Vec::new());
            }
            if *is_said {
                said.last_mut().unwrap().push(*id);
            }
            was_said = *is_said;
        }
        said.iter().map(|ids: &Vec<u32>| ids.iter().map(|id| tokenizer.show(*id)).collect()).collect()
    }

    #[test]
    fn the_assistants_words_and_the_end_of_its_turn_are_said() {
        let (template, tokenizer) = (ChatTemplate::chatml(), Tokenizer::bytes());
        let messages = chat(&[
            ("system", "s"),
            ("user", "q<|im_end|>"),
            ("assistant", "a"),
            ("user", "r"),
            ("assistant", "bc"),
        ]);
        let turns = template.encode_turns(&tokenizer, &messages, Said::All).unwrap();
        assert_eq!(turns.ids, template.encode(&tokenizer, &messages, false).unwrap());
        assert_eq!(said(&turns, &tokenizer), ["a<|im_end|>", "bc<|im_end|>"]);
        let last = template.encode_turns(&tokenizer, &messages, Said::Last).unwrap();
        assert_eq!(last.ids, turns.ids);
        assert_eq!(said(&last, &tokenizer), ["bc<|im_end|>"]);
        // What the model is given before it answers is what stands before the answer.
        let given = template.encode(&tokenizer, &messages[..4], true).unwrap();
        assert!(
            turns.ids.starts_with(&given) && turns.is_said[given.len()] && !turns.is_said[given.len() - 1]
        );
        let none = template.encode_turns(&tokenizer, &messages[..2], Said::All).unwrap();
        assert!(none.is_said.iter().all(|is_said| !is_said));
    }

    #[test]
    fn a_template_without_end_tokens_says_the_whole_turn() {
        let source = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}\
            {% if add_generation_prompt %}assistant: {% endif %}";
        let (template, tokenizer) = (ChatTemplate::parse(source, "", "").unwrap(), Tokenizer::bytes());
        let messages = chat(&[("user", "q"), ("assistant", "a"), ("user", "r")]);
        let turns = template.encode_turns(&tokenizer, &messages, Said::All).unwrap();
        assert_eq!(said(&turns, &tokenizer), ["a\n"]);
    }

    #[test]
    fn a_template_that_rewrites_earlier_turns_is_refused() {
        let source = "{% for m in messages %}{{ m.role }}: {{ m.content if loop.last else '(cut)' }}\n{% endfor %}\
            {% if add_generation_prompt %}assistant: {% endif %}";
        let (template, tokenizer) = (ChatTemplate::parse(source, "", "").unwrap(), Tokenizer::bytes());
        let messages = chat(&[("user", "q"), ("assistant", "a"), ("user", "r"), ("assistant", "b")]);
        let error = template.encode_turns(&tokenizer, &messages, Said::All).unwrap_err().to_string();
        assert!(error.contains("turn 2"), "{error}");
    }
}
