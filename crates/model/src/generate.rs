//! The decode loop: prompts in, tokens out, many sequences at a time.

use tensor::Kernels;

use crate::{Gpt, KvCache, Sampler, Tokens};

/// One sequence to continue.
#[derive(Clone, Debug)]
pub struct Request {
    /// Tokens to continue; at least one.
    pub prompt: Vec<u32>,
    /// Most tokens to add.
    pub max_new_tokens: usize,
    /// How each is chosen.
    pub sampler: Sampler,
    /// Tokens that end the sequence; the one that does is not part of the result.
    pub stop: Vec<u32>,
}

/// Why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// A stop token came.
    Stop,
    /// As many tokens as were asked for.
    Length,
    /// The model's longest sequence is reached.
    ContextFull,
}

/// What was added to one prompt.
#[derive(Clone, Debug)]
pub struct Completion {
    /// The new tokens.
    pub ids: Vec<u32>,
    /// Log-probability of each under the model's own distribution (temperature 1, nothing cut), in nats.
    pub logprobs: Vec<f32>,
    /// Why it ended.
    pub finish: Finish,
}

/// Continues every request; `on_token(request, id)` hears of each token as it comes and may return `false` to end
/// that sequence.
///
/// A sequence's tokens do not depend on what is decoded beside it.
///
/// # Panics
/// If a prompt is empty, longer than the model's `max_seq_len`, or holds an id past the vocabulary: check at
/// the door.
#[track_caller]
pub fn generate(
    gpt: &Gpt,
    kernels: &dyn Kernels,
    requests: Vec<Request>,
    on_token: &mut dyn FnMut(usize, u32) -> bool,
) -> Vec<Completion> {
    let max_seq_len = gpt.config().max_seq_len;
    let longest = requests.iter().map(|r| r.prompt.len().saturating_add(r.max_new_tokens)).max().unwrap_or(0);
    let mut cache = KvCache::new(gpt.config(), gpt.dtype(), requests.len(), longest.min(max_seq_len));
    let mut done: Vec<Completion> = requests
        .iter()
        .map(|_| Completion { ids: Vec::new(), logprobs: Vec::new(), finish: Finish::Length })
        .collect();
    // Per sequence: the tokens that the model has not read yet, and all that it has.
    let mut active: Vec<Sequence> = requests
        .into_iter()
        .enumerate()
        .filter(|(_, request)| request.max_new_tokens > 0)
        .map(|(slot, request)| Sequence { slot, unread: request.prompt.clone(), request })
        .collect();

    while !active.is_empty() {
        let tokens = Tokens::continued(&cache, active.iter().map(|s| (s.slot, s.unread.as_slice())));
        let logits = gpt.logits(kernels, &tokens, &tokens.last_rows(), Some(&mut cache));
        let mut rows = logits.f32().chunks_exact(logits.last_dim());
        active.retain_mut(|sequence| {
            let logits = rows.next().expect("one row of logits a sequence");
            let done = &mut done[sequence.slot];
            match sequence.step(logits, done, max_seq_len, on_token) {
                None => true,
                Some(finish) => {
                    done.finish = finish;
                    false
                }
            }
        });
    }
    done
}

struct Sequence {
    slot: usize,
    unread: Vec<u32>,
    request: Request,
}

impl Sequence {
    /// Takes the next token; returns why the sequence ends, if it does.
    fn step(
        &mut self,
        logits: &[f32],
        done: &mut Completion,
        max_seq_len: usize,
        on_token: &mut dyn FnMut(usize, u32) -> bool,
    ) -> Option<Finish> {
        let request = &mut self.request;
        let seen = [request.prompt.as_slice(), &done.ids].concat();
        let id = request.sampler.next(logits, &seen);
        if request.stop.contains(&id) {
            return Some(Finish::Stop);
        }
        done.ids.push(id);
        done.logprobs.push(log_probability(logits, id));
        if !on_token(self.slot, id) {
            return Some(Finish::Stop);
        }
        if done.ids.len() == request.max_new_tokens {
            return Some(Finish::Length);
        }
        if request.prompt.len() + done.ids.len() > max_seq_len {
            return Some(Finish::ContextFull);
        }
        self.unread = vec![id];
        None
    }
}

fn log_probability(logits: &[f32], id: u32) -> f32 {
    let max = logits.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - max).exp()).sum();
    (f64::from(logits[id as usize] - max) - sum.ln()) as f32
}
