//! Answers of `/v1/chat/completions`.

use model::{Finish, Token};
use serde_json::{Value, json};

use super::{
    Head,
    calls::{CallFormat, CallReader, Piece},
    reason, token,
};
use crate::{choice::Event, random};

/// How a chat is answered.
#[derive(Debug)]
pub(crate) struct ChatForm {
    /// Answers to give.
    pub(crate) n: usize,
    /// Whether tokens are listed with their log-probabilities.
    pub(crate) logprobs: bool,
    /// How the model writes calls of tools, where it may.
    pub(crate) calls: Option<CallFormat>,
    /// Whether an answer may have several calls.
    pub(crate) is_parallel: bool,
}

/// An answer that is being put together.
pub(super) struct Answer {
    form: ChatForm,
    choices: Vec<Choice>,
}

#[derive(Default)]
struct Choice {
    text: String,
    calls: Vec<Called>,
    /// Calls that the model began, those that are left out among them.
    n_begun: usize,
    reader: Option<CallReader>,
    logprobs: Vec<Value>,
    finish: Option<&'static str>,
}

/// The call of a tool.
struct Called {
    id: String,
    name: String,
    arguments: String,
}

impl Called {
    fn json(&self) -> Value {
        let Self { id, name, arguments } = self;
        json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
    }
}

impl Answer {
    pub(super) fn new(form: ChatForm) -> Self {
        let reader = || form.calls.map(CallReader::new);
        let choices = (0..form.n).map(|_| Choice { reader: reader(), ..Choice::default() }).collect();
        Self { form, choices }
    }

    pub(super) fn take(&mut self, event: Event, head: &Head) -> Vec<Value> {
        match event {
            Event::Prompt { choice, .. } if head.is_streaming => {
                let delta = json!({"role": "assistant", "content": "", "refusal": null});
                vec![self.chunk(choice, delta, Vec::new(), head)]
            }
            Event::Part { choice, text, tokens } => {
                let pieces = match &mut self.choices[choice].reader {
                    Some(reader) => reader.push(&text),
                    None => vec![Piece::Text(text)],
                };
                let logprobs = self.listed(&tokens, head);
                self.add(choice, pieces, logprobs, head)
            }
            Event::End { choice, finish, .. } => {
                let rest = self.choices[choice].reader.as_mut().map(CallReader::finish).unwrap_or_default();
                let mut chunks = self.add(choice, rest, Vec::new(), head);
                let has_called = !self.choices[choice].calls.is_empty();
                let finish = if has_called && finish == Finish::Stop { "tool_calls" } else { reason(finish) };
                self.choices[choice].finish = Some(finish);
                if head.is_streaming {
                    chunks.push(self.chunk(choice, json!({}), Vec::new(), head));
                }
                chunks
            }
            Event::Prompt { .. } | Event::Refused(_) | Event::Failed(_) => Vec::new(),
        }
    }

    /// Adds pieces to an answer: at once where it is streamed, or else for the end.
    fn add(&mut self, index: usize, pieces: Vec<Piece>, mut logprobs: Vec<Value>, head: &Head) -> Vec<Value> {
        let mut deltas = Vec::new();
        let choice = &mut self.choices[index];
        if !head.is_streaming {
            choice.logprobs.append(&mut logprobs);
        }
        for piece in pieces {
            match piece {
                Piece::Text(text) if head.is_streaming => deltas.push(json!({"content": text})),
                Piece::Text(text) => choice.text.push_str(&text),
                // Where one is allowed, others that a model writes are left out.
                Piece::Call(_) if !self.form.is_parallel && !choice.calls.is_empty() => choice.n_begun += 1,
                Piece::Call(name) => {
                    choice.n_begun += 1;
                    let call = Called { id: random::name("call_"), name, arguments: String::new() };
                    let mut begun = call.json();
                    begun["index"] = json!(choice.calls.len());
                    choice.calls.push(call);
                    deltas.push(json!({"tool_calls": [begun]}));
                }
                Piece::Arguments(_) if choice.n_begun > choice.calls.len() => {}
                Piece::Arguments(text) => {
                    let Some(call) = choice.calls.last_mut() else { continue };
                    call.arguments.push_str(&text);
                    let index = choice.calls.len() - 1;
                    deltas.push(json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]}));
                }
            }
        }
        if !head.is_streaming {
            return Vec::new();
        }
        // Tokens of a call that is not whole yet come by themselves.
        if deltas.is_empty() && !logprobs.is_empty() {
            deltas.push(json!({}));
        }
        let all =
            deltas.into_iter().map(|delta| self.chunk(index, delta, std::mem::take(&mut logprobs), head));
        all.collect()
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
            let mut message =
                json!({"role": "assistant", "content": choice.text, "refusal": null, "annotations": []});
            if !choice.calls.is_empty() {
                message["tool_calls"] = choice.calls.iter().map(Called::json).collect();
                if choice.text.is_empty() {
                    message["content"] = Value::Null;
                }
            }
            json!({"index": index, "message": message, "logprobs": logprobs, "finish_reason": choice.finish})
        });
        Value::Array(choices.collect())
    }
}
