//! What a client gets: events in, JSON out.

mod calls;
mod chat;
mod completion;
mod token;

use data::Tokenizer;
use model::Finish;
use serde_json::{Value, json};

use crate::{choice::Event, random};

pub(crate) use calls::CallFormat;
pub(crate) use chat::ChatForm;
pub(crate) use completion::CompletionForm;

/// How a request is answered.
#[derive(Debug)]
pub(crate) enum Form {
    Completion(CompletionForm),
    Chat(ChatForm),
}

impl Form {
    /// Choices of each prompt.
    pub(crate) fn n(&self) -> usize {
        match self {
            Self::Completion(form) => form.n,
            Self::Chat(form) => form.n,
        }
    }
}

/// An answer that is being put together.
pub(crate) struct Reply {
    head: Head,
    body: Body,
    usage: Usage,
    /// Choices of each prompt.
    n: usize,
    n_choices: usize,
    n_ended: usize,
}

/// What every object of an answer begins with.
pub(crate) struct Head {
    id: String,
    created: u64,
    model: String,
    tokenizer: Tokenizer,
    /// Whether chunks carry a `usage` of `null`.
    includes_usage: bool,
    is_streaming: bool,
}

enum Body {
    Completion(completion::Answer),
    Chat(chat::Answer),
}

/// Tokens that were read and written.
#[derive(Debug, Default)]
struct Usage {
    n_prompt: usize,
    n_cached: usize,
    n_drawn: usize,
}

impl Usage {
    fn json(&self) -> Value {
        let &Self { n_prompt, n_cached, n_drawn } = self;
        json!({
            "prompt_tokens": n_prompt,
            "completion_tokens": n_drawn,
            "total_tokens": n_prompt + n_drawn,
            "prompt_tokens_details": {"cached_tokens": n_cached, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0, "audio_tokens": 0,
                "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
            },
        })
    }
}

impl Reply {
    /// An answer in this form; `stream` says whether in chunks, and whether these count tokens. `n_prompt` is the number of tokens of
    /// all prompts.
    pub(crate) fn new(
        form: Form,
        model: &str,
        tokenizer: &Tokenizer,
        stream: Option<crate::ask::Streaming>,
        n_prompt: usize,
    ) -> Self {
        let created = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs());
        let prefix = if matches!(form, Form::Chat(_)) { "chatcmpl-" } else { "cmpl-" };
        let head = Head {
            id: random::name(prefix),
            created,
            model: model.to_owned(),
            tokenizer: tokenizer.clone(),
            includes_usage: stream.is_some_and(|stream| stream.includes_usage),
            is_streaming: stream.is_some(),
        };
        let n = form.n();
        let (body, n_choices) = match form {
            Form::Completion(form) => {
                let answer = completion::Answer::new(form);
                let n_choices = answer.n_choices();
                (Body::Completion(answer), n_choices)
            }
            Form::Chat(form) => (Body::Chat(chat::Answer::new(form)), n),
        };
        Self { head, body, usage: Usage { n_prompt, ..Usage::default() }, n, n_choices, n_ended: 0 }
    }

    /// Takes an event; the chunks that it makes, where the answer is streamed.
    pub(crate) fn take(&mut self, event: Event) -> Vec<Value> {
        match &event {
            // Choices of a prompt have it in common, and it counts once.
            Event::Prompt { choice, n_cached, .. } if choice.is_multiple_of(self.n) => {
                self.usage.n_cached += n_cached;
            }
            Event::End { n_drawn, .. } => {
                self.usage.n_drawn += n_drawn;
                self.n_ended += 1;
            }
            _ => {}
        }
        match &mut self.body {
            Body::Completion(answer) => answer.take(event, &self.head),
            Body::Chat(answer) => answer.take(event, &self.head),
        }
    }

    /// Whether every choice has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.n_ended == self.n_choices
    }

    /// The last chunk, where tokens are to be counted.
    pub(crate) fn last_chunk(&self) -> Option<Value> {
        self.head.includes_usage.then(|| {
            let mut chunk = self.head.object(self.object(), json!([]));
            chunk["usage"] = self.usage.json();
            chunk
        })
    }

    /// The whole answer.
    pub(crate) fn whole(self) -> Value {
        let object = self.object();
        let choices = match self.body {
            Body::Completion(answer) => answer.whole(&self.head),
            Body::Chat(answer) => answer.whole(),
        };
        let mut whole = self.head.object(object, choices);
        whole["usage"] = self.usage.json();
        whole
    }

    fn object(&self) -> &'static str {
        match (&self.body, self.head.is_streaming) {
            (Body::Completion(_), _) => "text_completion",
            (Body::Chat(_), false) => "chat.completion",
            (Body::Chat(_), true) => "chat.completion.chunk",
        }
    }
}

impl Head {
    fn object(&self, object: &str, choices: Value) -> Value {
        let mut whole = json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        });
        if self.is_streaming && self.includes_usage {
            whole["usage"] = Value::Null;
        }
        whole
    }
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length | Finish::ContextFull => "length",
    }
}
