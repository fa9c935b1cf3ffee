//! Answers that an endpoint writes.

use data::Message;
use serde_json::{Value, json};

use super::{Endpoint, Failure};

/// Stop texts that a request may have at most.
const MAX_STOPS: usize = 4;

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The text.
    pub text: String,
    /// Tokens that it took, as the endpoint counts; 0 where it does not say.
    pub n_tokens: usize,
    /// Tokens of what was asked; 0 where it does not say.
    pub n_prompt: usize,
    /// `stop` or `length`.
    pub finish: String,
}

/// How an answer is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw<'a> {
    pub(crate) max_tokens: usize,
    pub(crate) temperature: f64,
    pub(crate) top_p: f64,
    pub(crate) seed: Option<u64>,
    pub(crate) stops: &'a [String],
}

/// The most likely answer.
pub(crate) fn deterministic(max_tokens: usize) -> Draw<'static> {
    Draw { max_tokens, temperature: 0.0, top_p: 1.0, seed: None, stops: &[] }
}

impl Draw<'_> {
    fn body(&self) -> Value {
        let mut body =
            json!({ "max_tokens": self.max_tokens, "temperature": self.temperature, "top_p": self.top_p });
        if let Some(seed) = self.seed {
            body["seed"] = json!(seed);
        }
        if !self.stops.is_empty() {
            // Others are cut off afterwards.
            body["stop"] = json!(&self.stops[..self.stops.len().min(MAX_STOPS)]);
        }
        body
    }
}

impl Endpoint {
    /// The answer to a conversation.
    pub(crate) fn chat(&self, messages: &[Message], draw: &Draw<'_>) -> Result<Answer, Failure> {
        let mut body = draw.body();
        let list = messages.iter().map(|message| json!({ "role": message.role, "content": message.content }));
        body["messages"] = list.collect();
        let reply = self.post("chat/completions", &body)?;
        let message = &reply["choices"][0]["message"];
        // A refusal of its own stands in a field of its own.
        let text = message["content"].as_str().or_else(|| message["refusal"].as_str());
        answer(&reply, text.ok_or(Failure::Missing { field: "choices[0].message.content" })?)
    }

    /// What follows a text.
    pub(crate) fn complete(&self, prompt: &str, draw: &Draw<'_>) -> Result<Answer, Failure> {
        let mut body = draw.body();
        body["prompt"] = json!(prompt);
        let reply = self.post("completions", &body)?;
        let text = reply["choices"][0]["text"].as_str();
        answer(&reply, text.ok_or(Failure::Missing { field: "choices[0].text" })?)
    }
}

fn answer(reply: &Value, text: &str) -> Result<Answer, Failure> {
    let count = |name: &str| reply["usage"][name].as_u64().unwrap_or(0) as usize;
    let finish = reply["choices"][0]["finish_reason"].as_str().unwrap_or("stop");
    Ok(Answer {
        text: text.to_owned(),
        n_tokens: count("completion_tokens"),
        n_prompt: count("prompt_tokens"),
        finish: finish.to_owned(),
    })
}
