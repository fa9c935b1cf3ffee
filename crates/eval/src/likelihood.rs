//! How likely a model holds continuations of contexts to be.

mod encode;

use model::{Gpt, KvCache, Piece, Tokens};
use rayon::prelude::*;
use tensor::{Kernels, PAGE_LEN};

pub use encode::Pair;

/// Tokens of one forward pass: enough to keep the kernels busy, few enough to stay in the caches.
const STEP_TOKENS: usize = 2048;
/// Rows of logits that are held at a time.
const STEP_ROWS: usize = 256;

/// What a model makes of one continuation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likelihood {
    /// `Σ ln p(token | what stands before)` over the continuation, in nats.
    pub loglikelihood: f64,
    /// Whether each of its tokens is the most likely there; of equally likely ones, that of the smallest id.
    pub is_greedy: bool,
}

/// Scores continuations, many at a time.
///
/// What consecutive contexts have in common is read once: requests are sorted by their ids, every slot of a cache walks
/// through a stretch of them, and keeps what the next one begins with. The head runs only where a token is scored.
///
/// A score has the same bits with any number of slots, whatever else is scored with it, and on any number of threads:
/// those of the model's logits do, and the softmax of a row is taken in f64 over that row alone.
pub struct Scorer<'a> {
    gpt: &'a Gpt,
    kernels: &'a dyn Kernels,
    cache: KvCache,
    slots: Vec<Slot>,
    n_pages: usize,
}

/// A sequence in the cache.
#[derive(Clone, Default)]
struct Slot {
    ids: Vec<u32>,
    pages: Vec<usize>,
}

/// One row of logits to be read: where it stands and which token follows there.
struct Scored {
    request: usize,
    target: u32,
}

impl<'a> Scorer<'a> {
    /// A scorer that reads `n_slots` sequences at a time; memory grows with it and with the longest sequence.
    pub fn new(gpt: &'a Gpt, kernels: &'a dyn Kernels, n_slots: usize) -> Self {
        let cache = KvCache::new(gpt.config(), gpt.dtype(), kernels);
        Self { gpt, kernels, cache, slots: vec![Slot::default(); n_slots.max(1)], n_pages: 0 }
    }

    /// The likelihood of each pair's continuation behind its context, in their order. What is longer than the model's
    /// context is cut from the left.
    ///
    /// # Panics
    /// If a continuation is empty, or longer than the model's context.
    pub fn score(&mut self, pairs: &[Pair]) -> Vec<Likelihood> {
        let max_len = self.gpt.config().max_seq_len;
        let inputs: Vec<&[u32]> = pairs.iter().map(|pair| pair.input(max_len)).collect();
        let mut order: Vec<usize> = (0..pairs.len()).collect();
        order.sort_by(|&a, &b| inputs[a].cmp(inputs[b]).then(a.cmp(&b)));

        let mut waiting = stretches(&order, &inputs, pairs, self.slots.len());
        let none = Likelihood { loglikelihood: 0.0, is_greedy: true };
        let mut likelihoods = vec![none; pairs.len()];
        loop {
            let (mut news, mut scored, mut rows) = (Vec::new(), Vec::new(), Vec::new());
            let mut n_new = 0;
            for (slot, stretch) in waiting.iter_mut().enumerate() {
                let Some(&request) = stretch.first() else { continue };
                let (input, pair) = (inputs[request], &pairs[request]);
                let first_scored = input.len() - pair.n_scored();
                let n_kept = common(&self.slots[slot].ids, input).min(first_scored);
                let n_rows = pair.n_scored();
                let is_full = n_new + input.len() - n_kept > STEP_TOKENS || rows.len() + n_rows > STEP_ROWS;
                if is_full && !news.is_empty() {
                    continue;
                }
                *stretch = &stretch[1..];
                self.hold(slot, input);
                rows.extend((first_scored..input.len()).map(|at| n_new + at - n_kept));
                scored.extend(pair.continuation().iter().map(|&target| Scored { request, target }));
                n_new += input.len() - n_kept;
                news.push((slot, n_kept, &input[n_kept..]));
            }
            if news.is_empty() {
                return likelihoods;
            }
            let pieces = news.into_iter().map(|(slot, start, ids)| {
                let pages = &self.slots[slot].pages;
                Piece { ids, start, pages }
            });
            let tokens = Tokens::continued(pieces);
            let logits = self.gpt.logits(self.kernels, &tokens, &rows, Some(&mut self.cache));
            let vocab_size = logits.last_dim();
            let read: Vec<(f64, bool)> = logits
                .f32()
                .par_chunks(vocab_size)
                .zip(&scored)
                .map(|(row, scored)| log_prob(row, scored.target as usize))
                .collect();
            for (Scored { request, .. }, (log_prob, is_first)) in scored.iter().zip(read) {
                likelihoods[*request].loglikelihood += log_prob;
                likelihoods[*request].is_greedy &= is_first;
            }
        }
    }

    /// Notes what a slot is about to hold, and gives it the pages for that.
    fn hold(&mut self, slot: usize, ids: &[u32]) {
        let slot = &mut self.slots[slot];
        slot.ids.clear();
        slot.ids.extend_from_slice(ids);
        while slot.pages.len() * PAGE_LEN < ids.len() {
            slot.pages.push(self.n_pages);
            self.n_pages += 1;
        }
        self.cache.grow_to(self.n_pages);
    }
}

/// Cuts the sorted requests into a stretch for each slot, of about the same number of tokens to read. Where it can be,
/// requests of the same context stay together.
fn stretches<'o>(order: &'o [usize], inputs: &[&[u32]], pairs: &[Pair], n_slots: usize) -> Vec<&'o [usize]> {
    let mut costs = Vec::with_capacity(order.len());
    let mut before: &[u32] = &[];
    for &request in order {
        let input = inputs[request];
        let n_kept = common(before, input).min(input.len() - pairs[request].n_scored());
        costs.push(input.len() - n_kept);
        before = input;
    }
    let total: usize = costs.iter().sum();
    let (mut stretches, mut start, mut n_read) = (Vec::with_capacity(n_slots), 0, 0);
    for (i, cost) in costs.iter().enumerate() {
        let is_due = n_read >= total * (stretches.len() + 1) / n_slots;
        let is_new_context = i > 0 && pairs[order[i]].context() != pairs[order[i - 1]].context();
        if is_due && is_new_context && stretches.len() + 1 < n_slots {
            stretches.push(&order[start..i]);
            start = i;
        }
        n_read += cost;
    }
    stretches.push(&order[start..]);
    stretches
}

/// How many ids two sequences begin with in common.
fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// `ln p(target)` under the softmax of a row of logits, in f64, and whether no other is likelier.
fn log_prob(row: &[f32], target: usize) -> (f64, bool) {
    let mut largest = 0;
    for (i, logit) in row.iter().enumerate() {
        if *logit > row[largest] {
            largest = i;
        }
    }
    let max = f64::from(row[largest]);
    // Sixteen sums by index, joined in order: fast, and the same everywhere.
    let mut sums = [0.0_f64; 16];
    for part in row.chunks(16) {
        for (sum, logit) in sums.iter_mut().zip(part) {
            *sum += (f64::from(*logit) - max).exp();
        }
    }
    let sum: f64 = sums.iter().sum();
    (f64::from(row[target]) - max - sum.ln(), largest == target)
}

#[cfg(test)]
mod tests;
