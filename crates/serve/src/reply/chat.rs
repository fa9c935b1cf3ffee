//! Answers of `/v1/chat/completions`.

use model::Token;
use serde_json::{Value, json};

use super::{Head, reason, token};
use crate::choice::Event;

/// How a chat is answered.
#[derive(Debug)]
pub(crate) struct ChatForm {
    /// Answers to give.
    pub(crate) n: usize,
    /// Whether tokens are listed with their log-probabilities.
    pub(crate) logprobs: bool,
}

/// An answer that is being put together.
pub(super) struct Answer {
    form: ChatForm,
    choices: Vec<Choice>,
}

#[derive(Default)]
struct Choice {
    text: String,
    logprobs: Vec<Value>,
    finish: Option<&'static str>,
}

impl Answer {
    pub(super) fn new(form: ChatForm) -> Self {
        let choices = (0..form.n).map(|_| Choice::default()).collect();
        Self { form, choices }
    }

    pub(super) fn take(&mut self, event: Event, head: &Head) -> Vec<Value> {
        match event {
            Event::Prompt { choice, .. } if head.is_streaming => {
                let delta = json!({"role": "assistant", "content": "", "refusal": null});
                vec![self.chunk(choice, delta, Vec::new(), head)]
            }
            Event::Part { choice, text, tokens } => {
                let logprobs = self.listed(&tokens, head);
                if head.is_streaming {
                    return vec![self.chunk(choice, json!({"content": text}), logprobs, head)];
                }
                let choice = &mut self.choices[choice];
                choice.text.push_str(&text);
                choice.logprobs.extend(logprobs);
                Vec::new()
            }
            Event::End { choice, finish, .. } => {
                self.choices[choice].finish = Some(reason(finish));
                match head.is_streaming {
                    true => vec![self.chunk(choice, json!({}), Vec::new(), head)],
                    false => Vec::new(),
                }
            }
            Event::Prompt { .. } | Event::Refused(_) => Vec::new(),
        }
    }

    fn listed(&self, tokens: &[Token], head: &Head) -> Vec<Value> {
        if !self.form.logprobs {
            return Vec::new();
        }
        let object = |id: u32, logprob: f32| token::object(&head.tokenizer, id, logprob);
        let all = tokens.iter().map(|token| {
            let mut all = object(token.id, token.logprob);
            all["top_logprobs"] = token.top.iter().map(|&(id, logprob)| object(id, logprob)).collect();
            all
        });
        all.collect()
    }

    fn chunk(&self, index: usize, delta: Value, logprobs: Vec<Value>, head: &Head) -> Value {
        let logprobs = (!logprobs.is_empty()).then(|| json!({"content": logprobs, "refusal": null}));
        let finish = self.choices[index].finish;
        head.object(
            "chat.completion.chunk",
            json!([{"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}]),
        )
    }

    /// The choices of the whole answer.
    pub(super) fn whole(self) -> Value {
        let lists = self.form.logprobs;
        let choices = self.choices.into_iter().enumerate().map(|(index, choice)| {
            let logprobs = lists.then(|| json!({"content": choice.logprobs, "refusal": null}));
            let message = json!({"role": "assistant", "content": choice.text, "refusal": null});
            json!({"index": index, "message": message, "logprobs": logprobs, "finish_reason": choice.finish})
        });
        Value::Array(choices.collect())
    }
}
