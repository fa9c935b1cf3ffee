//! A conversation with an environment, in token ids.

use data::{ChatTemplate, DataError, Message, Said, Tokenizer};

use super::{Dialogue, Environment, EnvironmentError, Side, TokenDialogue, TokenEnvironment};

/// An environment that a policy talks to through its chat template.
///
/// What the policy wrote stays as the ids that it drew: they are never made from text again. What the template writes between two
/// answers comes from the template, behind the token that ends an answer.
pub struct Chat {
    environment: Box<dyn Environment>,
    template: ChatTemplate,
    tokenizer: Tokenizer,
}

impl Chat {
    /// The policy's own template and tokenizer.
    pub fn new(environment: Box<dyn Environment>, template: ChatTemplate, tokenizer: Tokenizer) -> Self {
        Self { environment, template, tokenizer }
    }
}

impl TokenEnvironment for Chat {
    fn begin(&self, side: Side, n: u64) -> Result<Box<dyn TokenDialogue + '_>, EnvironmentError> {
        let dialogue = self.environment.begin(side, n)?;
        let messages = dialogue.messages();
        let prompt = self.template.encode(&self.tokenizer, &messages, true)?;
        Ok(Box::new(ChatDialogue { chat: self, dialogue, messages, prompt }))
    }

    fn rewards(&self, side: Side, answered: &[(u64, &[u32])]) -> Option<Vec<Result<f64, String>>> {
        let text = |&(problem, ids): &(u64, &[u32])| (problem, self.tokenizer.decode(ids));
        self.environment.rewards(side, &answered.iter().map(text).collect::<Vec<_>>())
    }
}

struct ChatDialogue<'a> {
    chat: &'a Chat,
    dialogue: Box<dyn Dialogue + 'a>,
    messages: Vec<Message>,
    prompt: Vec<u32>,
}

impl TokenDialogue for ChatDialogue<'_> {
    fn prompt(&self) -> Vec<u32> {
        self.prompt.clone()
    }

    fn answer(&mut self, ids: &[u32], is_whole: bool) -> Result<(f64, Option<Vec<u32>>), EnvironmentError> {
        let text = self.chat.tokenizer.decode(ids);
        let turn = self.dialogue.answer(&text, is_whole)?;
        let Some(observation) = turn.observation else { return Ok((turn.reward, None)) };
        self.messages.push(Message::new("assistant", text));
        self.messages.push(observation);
        let between = between(&self.chat.template, &self.chat.tokenizer, &self.messages)?;
        Ok((turn.reward, Some(between)))
    }
}

/// What the template writes from the end of the last answer to the beginning of the next.
fn between(
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    messages: &[Message],
) -> Result<Vec<u32>, EnvironmentError> {
    let turns = template.encode_turns(tokenizer, messages, Said::Last)?;
    let end = turns.is_said.iter().rposition(|is_said| *is_said).map_or(0, |last| last + 1);
    let with_prompt = template.encode(tokenizer, messages, true)?;
    match with_prompt.strip_prefix(&turns.ids[..end]) {
        Some(rest) => Ok(rest.to_vec()),
        None => Err(DataError::ChatTemplate {
            expected: "a chat template that writes a turn in the same way, whatever follows it".into(),
            found: "one that writes it otherwise before the prompt for another".into(),
        }
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Turn;

    struct Echo;

    impl Environment for Echo {
        fn name(&self) -> &str {
            "echo"
        }

        fn begin(&self, _: Side, n: u64) -> Result<Box<dyn Dialogue + '_>, EnvironmentError> {
            struct Once(u64, usize);
            impl Dialogue for Once {
                fn messages(&self) -> Vec<Message> {
                    vec![Message::new("user", format!("q{}", self.0))]
                }

                fn answer(&mut self, text: &str, _: bool) -> Result<Turn, EnvironmentError> {
                    self.1 += 1;
                    let observation = (self.1 < 2).then(|| Message::new("tool", format!("heard {text}")));
                    Ok(Turn { reward: self.1 as f64, observation })
                }
            }
            Ok(Box::new(Once(n, 0)))
        }
    }

    /// Prompt, answer, its end and what stands between are the ids of the whole conversation.
    #[test]
    fn turns_join_to_the_conversation() {
        let (template, tokenizer) = (ChatTemplate::chatml(), Tokenizer::bytes());
        let chat = Chat::new(Box::new(Echo), template.clone(), tokenizer.clone());
        let mut dialogue = chat.begin(Side::Training, 7).unwrap();
        let mut ids = dialogue.prompt();
        let answer = tokenizer.encode("a<|im_end|>b");
        let (reward, between) = dialogue.answer(&answer, true).unwrap();
        assert_eq!(reward, 1.0);
        ids.extend(&answer);
        ids.push(tokenizer.special("<|im_end|>").unwrap());
        ids.extend(between.unwrap());
        let messages = [
            Message::new("user", "q7"),
            Message::new("assistant", "a<|im_end|>b"),
            Message::new("tool", "heard a<|im_end|>b"),
        ];
        assert_eq!(ids, template.encode(&tokenizer, &messages, true).unwrap());
        assert_eq!(dialogue.answer(&answer, true).unwrap(), (2.0, None));
    }
}
