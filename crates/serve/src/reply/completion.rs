//! Answers of `/v1/completions`.

use model::{PromptToken, Token};
use serde_json::{Map, Value, json};

use super::{Head, reason, token};
use crate::choice::Event;

/// How a completion is answered.
#[derive(Debug)]
pub(crate) struct CompletionForm {
    /// Choices of each prompt.
    pub(crate) n: usize,
    /// Whether the prompt comes back before what was added to it.
    pub(crate) echo: bool,
    /// Whether tokens are listed with their log-probabilities, and how many others beside each.
    pub(crate) logprobs: Option<usize>,
    /// The texts and the ids of the prompts.
    pub(crate) prompts: Vec<(String, Vec<u32>)>,
}

/// An answer that is being put together.
pub(super) struct Answer {
    form: CompletionForm,
    choices: Vec<Choice>,
    /// Scores of each prompt, for choices that come later.
    scores: Vec<Option<Vec<PromptToken>>>,
}

#[derive(Default)]
struct Choice {
    text: String,
    logprobs: Logprobs,
    /// Characters of all text so far: where the next token begins.
    n_chars: usize,
    finish: Option<&'static str>,
    /// Whether the prompt was sent.
    has_echoed: bool,
    /// What came before the scores of its prompt, which another choice reads.
    waiting: Vec<Event>,
}

/// Tokens in four lists, as the older interface has them.
#[derive(Default)]
struct Logprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<Option<f32>>,
    top_logprobs: Vec<Option<Map<String, Value>>>,
    text_offset: Vec<usize>,
}

impl Logprobs {
    fn push(&mut self, head: &Head, id: u32, logprob: Option<f32>, top: &[(u32, f32)], offset: usize) {
        let name = token::name(&head.tokenizer, id);
        let of = |id: u32, logprob: f32| (token::name(&head.tokenizer, id), json!(logprob));
        // The token itself is always among them.
        let all = logprob.map(|logprob| {
            top.iter().map(|&(id, logprob)| of(id, logprob)).chain([(name.clone(), json!(logprob))]).collect()
        });
        self.tokens.push(name);
        self.token_logprobs.push(logprob);
        self.top_logprobs.push(all);
        self.text_offset.push(offset);
    }

    fn json(self) -> Value {
        let Self { tokens, token_logprobs, top_logprobs, text_offset } = self;
        json!({
            "tokens": tokens, "token_logprobs": token_logprobs,
            "top_logprobs": top_logprobs, "text_offset": text_offset,
        })
    }
}

impl Answer {
    pub(super) fn new(form: CompletionForm) -> Self {
        let choices = (0..form.n * form.prompts.len()).map(|_| Choice::default()).collect();
        let scores = form.prompts.iter().map(|_| None).collect();
        Self { form, choices, scores }
    }

    pub(super) fn n_choices(&self) -> usize {
        self.choices.len()
    }

    pub(super) fn take(&mut self, event: Event, head: &Head) -> Vec<Value> {
        let index = match &event {
            Event::Prompt { choice, .. } | Event::Part { choice, .. } | Event::End { choice, .. } => *choice,
            Event::Refused(_) | Event::Failed(_) => return Vec::new(),
        };
        let prompt = index / self.form.n;
        if let Event::Prompt { tokens, .. } = event {
            let is_first = index.is_multiple_of(self.form.n);
            if is_first {
                self.scores[prompt] = Some(tokens);
            }
            // Others of the same prompt may have waited for its scores.
            let others = if is_first { index..index + self.form.n } else { index..index + 1 };
            return others.flat_map(|index| self.go_on(index, head)).collect();
        }
        self.choices[index].waiting.push(event);
        self.go_on(index, head)
    }

    /// Works off what has come for a choice, once its prompt is known.
    fn go_on(&mut self, index: usize, head: &Head) -> Vec<Value> {
        let prompt = index / self.form.n;
        let Some(scores) = &self.scores[prompt] else { return Vec::new() };
        let mut chunks = Vec::new();
        if !self.choices[index].has_echoed {
            self.choices[index].has_echoed = true;
            if self.form.echo {
                let logprobs = self.form.logprobs.map(|_| echoed(&self.form.prompts[prompt].1, scores, head));
                let text = self.form.prompts[prompt].0.clone();
                chunks.extend(self.add(index, text, logprobs.unwrap_or_default(), head));
            }
        }
        for event in std::mem::take(&mut self.choices[index].waiting) {
            match event {
                Event::Part { text, tokens, .. } => {
                    let logprobs = self.listed(index, &tokens, head);
                    chunks.extend(self.add(index, text, logprobs, head));
                }
                Event::End { finish, stop_token, .. } => {
                    let last: Vec<Token> = stop_token.into_iter().collect();
                    let logprobs = self.listed(index, &last, head);
                    self.choices[index].finish = Some(reason(finish));
                    chunks.extend(self.add(index, String::new(), logprobs, head));
                }
                _ => {}
            }
        }
        chunks
    }

    fn listed(&self, index: usize, tokens: &[Token], head: &Head) -> Logprobs {
        let mut logprobs = Logprobs::default();
        if self.form.logprobs.is_some() {
            let mut offset = self.choices[index].n_chars;
            for token in tokens {
                logprobs.push(head, token.id, Some(token.logprob), &token.top, offset);
                offset += head.tokenizer.decode(&[token.id]).chars().count();
            }
        }
        logprobs
    }

    /// Adds to a choice: at once where it is streamed, or else for the end.
    fn add(&mut self, index: usize, text: String, logprobs: Logprobs, head: &Head) -> Option<Value> {
        let choice = &mut self.choices[index];
        choice.n_chars += text.chars().count();
        if head.is_streaming {
            let logprobs = self.form.logprobs.map(|_| logprobs.json());
            let finish = choice.finish;
            return Some(head.object(
                "text_completion",
                json!([{"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}]),
            ));
        }
        choice.text.push_str(&text);
        let all = &mut choice.logprobs;
        all.tokens.extend(logprobs.tokens);
        all.token_logprobs.extend(logprobs.token_logprobs);
        all.top_logprobs.extend(logprobs.top_logprobs);
        all.text_offset.extend(logprobs.text_offset);
        None
    }

    /// The choices of the whole answer.
    pub(super) fn whole(self, _: &Head) -> Value {
        let lists = self.form.logprobs.is_some();
        let choices = self.choices.into_iter().enumerate().map(|(index, choice)| {
            let logprobs = lists.then(|| choice.logprobs.json());
            json!({"index": index, "text": choice.text, "logprobs": logprobs, "finish_reason": choice.finish})
        });
        Value::Array(choices.collect())
    }
}

/// The prompt's tokens: the first of them follows nothing, and has no probability.
fn echoed(ids: &[u32], scores: &[PromptToken], head: &Head) -> Logprobs {
    let mut logprobs = Logprobs::default();
    let mut offset = 0;
    for (i, &id) in ids.iter().enumerate() {
        let score = i.checked_sub(1).and_then(|i| scores.get(i));
        let top = score.map_or(&[][..], |score| &score.top);
        logprobs.push(head, id, score.map(|score| score.logprob), top, offset);
        offset += head.tokenizer.decode(&[id]).chars().count();
    }
    logprobs
}
