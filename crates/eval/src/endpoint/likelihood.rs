//! How likely an endpoint holds a continuation to be: the prompt comes back with the log-probability of each token.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::{Endpoint, Failure};
use crate::{Likelihood, python};

/// The tokens of a text with their log-probabilities.
struct Scored {
    /// None of a token that nothing stands before.
    logprobs: Vec<Option<f64>>,
    /// Whether no listed token is likelier; none where none are listed.
    is_greedy: Vec<Option<bool>>,
}

/// A likelihood with the number of tokens before and in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) likelihood: Likelihood,
    pub(super) n_context: usize,
    pub(super) n_continuation: usize,
}

impl Endpoint {
    /// The likelihood of each continuation behind its context.
    ///
    /// The context is read alone and with the continuation, and what the whole has behind the length of the context's own
    /// tokens is the continuation, as where ids are known. White space at the end of the context belongs to the
    /// continuation.
    pub(super) fn likelihoods<'a>(
        &self,
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Vec<Measured>, Failure> {
        let mut measured = Vec::new();
        let mut known: Option<(&str, usize)> = None;
        for (context, continuation) in pairs {
            let kept = python::rstrip(context);
            let n_context = match known {
                Some((same, n)) if same == kept => n,
                _ if kept.is_empty() => 0,
                _ => self.echo(kept)?.logprobs.len(),
            };
            known = Some((kept, n_context));
            let scored = self.echo(&[context, continuation].concat())?;
            let first = if kept.is_empty() { 1 } else { n_context };
            if kept.is_empty() && !self.adds_a_token() {
                return Err(Failure::NoContext);
            }
            if scored.logprobs.len() <= first {
                return Err(Failure::OtherTokens);
            }
            let mut loglikelihood = 0.0;
            for logprob in &scored.logprobs[first..] {
                loglikelihood += logprob.ok_or(Failure::NoLogprobs)?;
            }
            let greedy: Option<Vec<bool>> = scored.is_greedy[first..].iter().copied().collect();
            let is_greedy = greedy.is_some_and(|all| all.iter().all(|is| *is));
            measured.push(Measured {
                likelihood: Likelihood { loglikelihood, is_greedy },
                n_context: first,
                n_continuation: scored.logprobs.len() - first,
            });
        }
        // No model is certain of everything: such a server fills the fields without having computed anything.
        if measured.iter().all(|choice| choice.likelihood.loglikelihood == 0.0) {
            return Err(Failure::BadLogprobs);
        }
        Ok(measured)
    }

    /// Whether the server puts a token of its own in front of every text.
    fn adds_a_token(&self) -> bool {
        self.echo("\n").is_ok_and(|line| line.logprobs.len() == 2)
    }

    /// The tokens of a text.
    fn echo(&self, text: &str) -> Result<Scored, Failure> {
        let ask = |n_new: usize| {
            let body = json!({ "prompt": text, "echo": true, "logprobs": 1, "max_tokens": n_new, "temperature": 0.0 });
            self.post("completions", &body)
        };
        let mut n_new = usize::from(self.needs_token.load(Ordering::Relaxed));
        let mut reply = ask(n_new);
        if n_new == 0 && matches!(reply, Err(Failure::Status { status: 400 | 422, .. })) {
            n_new = 1;
            reply = ask(n_new);
            if reply.is_ok() {
                self.needs_token.store(true, Ordering::Relaxed);
            }
        }
        let reply = reply?;
        let choice = &reply["choices"][0];
        if choice.is_null() {
            return Err(Failure::Missing { field: "choices[0]" });
        }
        // A server that ignores `echo` answers with new tokens alone.
        if !choice["text"].as_str().is_some_and(|echoed| echoed.starts_with(text)) {
            return Err(Failure::NoLogprobs);
        }
        let lists = &choice["logprobs"];
        let listed = lists["token_logprobs"].as_array().ok_or(Failure::NoLogprobs)?;
        let n_prompt = match reply["usage"]["prompt_tokens"].as_u64() {
            Some(n) => n as usize,
            None => listed.len().saturating_sub(n_new),
        };
        if n_prompt == 0 || listed.len() < n_prompt || listed.len() > n_prompt + n_new {
            return Err(Failure::NoLogprobs);
        }
        let mut logprobs = Vec::with_capacity(n_prompt);
        let mut is_greedy = Vec::with_capacity(n_prompt);
        for (i, value) in listed[..n_prompt].iter().enumerate() {
            let logprob = match value {
                // Of the first token alone there is none.
                Value::Null if i == 0 => None,
                Value::Null => return Err(Failure::NoLogprobs),
                // Rounding may leave a little more than 0.
                value => {
                    Some(value.as_f64().filter(|x| x.is_finite() && *x < 1e-3).ok_or(Failure::BadLogprobs)?)
                }
            };
            let top = lists["top_logprobs"][i].as_object();
            let most = top.and_then(|top| top.values().filter_map(Value::as_f64).reduce(f64::max));
            is_greedy.push(logprob.zip(most).map(|(own, most)| own >= most));
            // As at servers that give the first token a value of 0 for want of another.
            logprobs.push(logprob.filter(|x| i > 0 || *x != 0.0));
        }
        if logprobs.len() > 1 && logprobs[1..].iter().all(|x| *x == Some(0.0)) {
            return Err(Failure::BadLogprobs);
        }
        Ok(Scored { logprobs, is_greedy })
    }
}
