//! A sequence that is being decoded.

use std::{borrow::Cow, collections::BTreeMap};

use base::Rng;
use tensor::{PAGE_LEN, Tensor};

use super::{Finish, PromptToken, Request, SequenceId, Token, TokenSet, distribution, page_pool::PagePool};
use crate::ModelConfig;

/// What the engine knows of a sequence.
#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) id: SequenceId,
    pub(super) request: Request,
    /// The prompt, then what was added.
    pub(super) ids: Vec<u32>,
    /// The same tokens as pages are found by: placeholders are replaced by what names their image.
    pub(super) keys: Vec<u32>,
    /// Rows of its images, `[n·P, C]`, from when the first of them is read.
    pub(super) features: Option<Tensor>,
    /// How many of `ids` the model has read, or found in pages.
    pub(super) n_read: usize,
    /// The pages of what it has read, in their order.
    pub(super) pages: Vec<usize>,
    /// Pages that it will have at its longest.
    pub(super) n_pages_needed: usize,
    /// How many tokens were found in pages.
    pub(super) n_reused: usize,
    /// Tokens of the prompt behind the first, as far as they were scored.
    pub(super) scored: Vec<PromptToken>,
    /// The tokens that may be drawn next; all where it is not set.
    pub(super) allowed: Option<TokenSet>,
    /// The token that stands for images, which is never drawn.
    never: Option<u32>,
    rng: Rng,
}

/// What reading the prompt begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    /// The next token is in no page.
    Used,
    /// Somebody else is reading the next tokens in this step.
    Awaited,
    /// The next tokens are in this page, whose first ones are to be copied to one of its own.
    Copied { from: usize },
}

/// Tokens of somebody else's that are worth waiting a step for.
const WORTH_WAITING: usize = 8;

impl Sequence {
    pub(super) fn new(id: SequenceId, request: Request, keys: Vec<u32>, config: &ModelConfig) -> Self {
        // The last new token is not read.
        let n_most = request.prompt.len().saturating_add(request.max_new_tokens) - 1;
        let n_most = n_most.min(config.max_seq_len).max(request.prompt.len());
        let rng = Rng::named(request.seed, "sampling");
        let (ids, pages) = (request.prompt.clone(), Vec::new());
        Self {
            id,
            ids,
            keys,
            features: None,
            n_read: 0,
            pages,
            n_pages_needed: n_most.div_ceil(PAGE_LEN),
            n_reused: 0,
            scored: Vec::new(),
            allowed: None,
            never: config.never_written(),
            rng,
            request,
        }
    }

    /// How many tokens were added.
    pub(super) fn n_new(&self) -> usize {
        self.ids.len() - self.request.prompt.len()
    }

    /// Pages that it may still take.
    pub(super) fn n_pages_owed(&self) -> usize {
        self.n_pages_needed - self.pages.len()
    }

    /// Whether tokens of its prompt are to be scored, for which they have to be read.
    pub(super) fn is_scoring(&self) -> bool {
        self.request.prompt_top.is_some() && self.n_new() == 0
    }

    /// Pages in use by others that it will share: they need not be taken.
    pub(super) fn n_shared_pages(&self, pool: &PagePool) -> usize {
        if self.is_scoring() {
            return 0;
        }
        let mut parent = None;
        let mut n = 0;
        for ids in self.keys[..self.keys.len() - 1].chunks_exact(PAGE_LEN) {
            match pool.find_ready(parent, ids) {
                Some(found) if found.n == PAGE_LEN && pool.n_users(found.page) > 0 => {
                    parent = Some(found.page)
                }
                _ => break,
            }
            n += 1;
        }
        n
    }

    /// Takes every page over that holds the next tokens; returns what is to be done about the rest, and how many tokens of
    /// a page that begins with them it shares.
    pub(super) fn take_prefix(&mut self, pool: &mut PagePool) -> (Prefix, usize) {
        if self.is_scoring() {
            return (Prefix::Used, 0);
        }
        // The last token is read in any case: its logits are wanted.
        while self.n_read.is_multiple_of(PAGE_LEN) && self.n_read + 1 < self.ids.len() {
            let parent = self.pages.last().copied();
            let rest = &self.keys[self.n_read..self.keys.len() - 1];
            let rest = &rest[..PAGE_LEN.min(rest.len())];
            let ready = pool.find_ready(parent, rest);
            let n_ready = ready.map_or(0, |found| found.n);
            if let Some(best) = pool.find(parent, rest)
                && !best.is_ready
                && best.n >= n_ready + WORTH_WAITING
            {
                return (Prefix::Awaited, 0);
            }
            let Some(found) = ready else { return (Prefix::Used, 0) };
            let is_idle = pool.n_users(found.page) == 0;
            if found.n == PAGE_LEN || is_idle && pool.ends_after(found.page, found.n) {
                pool.retain(found.page);
            } else if is_idle && !pool.has_other_than(found.page) {
                // The last page that can be had: what it holds besides would go in any case.
                pool.retain(found.page);
                pool.truncate(found.page, found.n);
            } else {
                return (Prefix::Copied { from: found.page }, found.n);
            }
            self.pages.push(found.page);
            self.n_read += found.n;
        }
        (Prefix::Used, 0)
    }

    /// Makes room for the next `n` tokens and says which they are.
    ///
    /// # Panics
    /// If there is no page, which is held free for it.
    #[track_caller]
    pub(super) fn extend(&mut self, pool: &mut PagePool, n: usize) {
        let end = self.n_read + n;
        while self.n_read < end {
            let used = self.n_read % PAGE_LEN;
            if used == 0 {
                let page = pool.take(self.pages.last().copied());
                self.pages.push(page.expect("pages are held free for every sequence that was let in"));
            }
            let n = (PAGE_LEN - used).min(end - self.n_read);
            let page = self.pages[self.n_read / PAGE_LEN];
            pool.append(page, &self.keys[self.n_read..self.n_read + n]);
            self.n_read += n;
        }
    }

    /// The number that chooses the next token.
    pub(super) fn uniform(&mut self) -> f64 {
        self.rng.uniform()
    }

    /// The token that follows, given its logits and the logarithm of their softmax's denominator.
    pub(super) fn choose(&self, logits: &[f32], log_sum_exp: f64, uniform: f64) -> Token {
        let Request { sampling, n_top, lists_kept, .. } = &self.request;
        let allowed = self.allowed.as_ref();
        let distribution = sampling.distribution_within(logits, &self.ids, &self.bias(), allowed, self.never);
        let id = distribution.draw(uniform);
        Token {
            id,
            logprob: distribution::logprob(logits[id as usize], log_sum_exp),
            processed_logprob: distribution.logprob(id),
            top: distribution::top(logits, log_sum_exp, *n_top),
            kept: lists_kept.then(|| distribution.kept()),
        }
    }

    /// What is added to logits: the request's biases, less the penalties of tokens that were added.
    fn bias(&self) -> Cow<'_, [(u32, f64)]> {
        let &Request { frequency_penalty, presence_penalty, ref logit_bias, .. } = &self.request;
        if frequency_penalty == 0.0 && presence_penalty == 0.0 {
            return Cow::Borrowed(logit_bias);
        }
        let mut counts = BTreeMap::new();
        for id in &self.ids[self.request.prompt.len()..] {
            *counts.entry(*id).or_insert(0u32) += 1;
        }
        let penalties =
            counts.into_iter().map(|(id, n)| (id, -(f64::from(n) * frequency_penalty + presence_penalty)));
        logit_bias.iter().copied().chain(penalties).collect()
    }

    /// The token `next` of the prompt, given the logits before it.
    pub(super) fn score(&self, next: u32, logits: &[f32], log_sum_exp: f64) -> PromptToken {
        PromptToken {
            id: next,
            logprob: distribution::logprob(logits[next as usize], log_sum_exp),
            top: distribution::top(logits, log_sum_exp, self.request.prompt_top.unwrap_or(0)),
        }
    }

    /// Adds the token; why the sequence ends with it, if it does.
    pub(super) fn push(&mut self, id: u32, max_seq_len: usize) -> Option<Finish> {
        self.ids.push(id);
        self.keys.push(id);
        if self.n_new() == self.request.max_new_tokens {
            return Some(Finish::Length);
        }
        (self.ids.len() > max_seq_len).then_some(Finish::ContextFull)
    }
}
