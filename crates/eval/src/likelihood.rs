//! How likely a model holds continuations of contexts to be.

mod encode;
mod family;
mod pages;
mod reading;

use model::{Gpt, KvCache};
use tensor::{Kernels, PAGE_LEN};

pub use encode::Pair;
pub(crate) use encode::{with_bos, without_system};

use family::{Family, families};
use pages::Pages;
use reading::{Limits, Reading, Target};

/// What a model makes of one continuation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likelihood {
    /// `Σ ln p(token | what stands before)` over the continuation, in nats.
    pub loglikelihood: f64,
    /// Whether each of its tokens is the most likely there; of equally likely ones, that of the smallest id.
    pub is_greedy: bool,
}

/// Ids that another context of the same step has in common with one beyond what was read before, from which on it is worth
/// to wait until they were read.
const WORTH_WAITING: usize = 16;

/// Scores continuations, many at a time.
///
/// A context is read once for all of its continuations, and what contexts begin with in common once for all of them:
/// contexts are sorted by their ids, every slot walks through a stretch of them, and a context goes on from what any slot
/// has read. The head runs only where a token is scored.
///
/// A score has the same bits with any number of slots, whatever else is scored with it, and on any number of threads:
/// those of the model's logits do, and the softmax of a row is taken over that row alone.
pub struct Scorer<'a> {
    gpt: &'a Gpt,
    kernels: &'a dyn Kernels,
    cache: KvCache,
    pages: Pages,
    slots: Vec<Held>,
    limits: Limits,
    n_read: usize,
}

/// Ids whose keys and values are in the cache.
#[derive(Clone, Debug, Default)]
struct Held {
    ids: Vec<u32>,
    pages: Vec<usize>,
}

impl<'a> Scorer<'a> {
    /// A scorer that reads `n_slots` contexts at a time; memory grows with it and with the longest context.
    pub fn new(gpt: &'a Gpt, kernels: &'a dyn Kernels, n_slots: usize) -> Self {
        let cache = KvCache::new(gpt.config(), gpt.dtype(), kernels);
        let slots = vec![Held::default(); n_slots.max(1)];
        Self { gpt, kernels, cache, pages: Pages::default(), slots, limits: Limits::default(), n_read: 0 }
    }

    /// Most tokens that the model reads.
    pub fn max_seq_len(&self) -> usize {
        self.gpt.config().max_seq_len
    }

    /// Tokens that the model has read so far, each as often as it was read.
    pub fn n_read(&self) -> usize {
        self.n_read
    }

    /// The likelihood of each pair's continuation behind its context, in their order. What is longer than the model's
    /// context is cut from the left.
    ///
    /// # Panics
    /// If a continuation is empty, or longer than the model's context.
    pub fn score(&mut self, pairs: &[Pair]) -> Vec<Likelihood> {
        let families = families(pairs, self.gpt.config().max_seq_len);
        let mut waiting = stretches(&families, self.slots.len());
        let mut likelihoods = vec![Likelihood { loglikelihood: 0.0, is_greedy: true }; pairs.len()];
        while waiting.iter().any(|stretch| !stretch.is_empty()) {
            let read = self.read_contexts(&mut waiting, &mut likelihoods);
            self.read_continuations(&read, &mut likelihoods);
        }
        likelihoods
    }

    /// Reads the next context of every slot that need not wait. Returns the slots with what they hold now.
    fn read_contexts<'f, 'p>(
        &mut self,
        waiting: &mut [&'f [Family<'p>]],
        likelihoods: &mut [Likelihood],
    ) -> Vec<(usize, &'f Family<'p>)> {
        // Where each begins as what was read before does: the slot that read it, and how many ids.
        let mut begun: Vec<(usize, &'f Family<'p>, usize, usize)> = Vec::new();
        let mut n_new = 0;
        for (slot, stretch) in waiting.iter_mut().enumerate() {
            let Some((family, rest)) = stretch.split_first() else { continue };
            let context = family.context;
            let shared = self.slots.iter().enumerate().map(|(i, held)| (common(&held.ids, context), i));
            // Of equal ones the first.
            let (n_kept, from) = shared.rev().max_by_key(|(n, _)| *n).unwrap_or((0, slot));
            // The last id is read in any case: continuations are scored behind it.
            let n_kept = n_kept.min(context.len() - 1);
            let in_step = begun.iter().map(|(_, other, ..)| common(other.context, context)).max();
            let is_full = n_new + context.len() - n_kept > self.limits.tokens;
            if !begun.is_empty() && (is_full || in_step > Some(n_kept + WORTH_WAITING)) {
                continue;
            }
            n_new += context.len() - n_kept;
            begun.push((slot, family, from, n_kept));
            *stretch = rest;
        }
        let kept: Vec<Vec<usize>> = begun
            .iter()
            .map(|&(_, _, from, n_kept)| {
                let pages = self.slots[from].pages[..n_kept.div_ceil(PAGE_LEN)].to_vec();
                pages.iter().for_each(|&page| self.pages.share(page));
                pages
            })
            .collect();
        for &(slot, ..) in &begun {
            let held = std::mem::take(&mut self.slots[slot]);
            self.pages.release(&held.pages);
        }
        let mut readings = Vec::new();
        for (&(slot, family, _, n_kept), kept) in begun.iter().zip(&kept) {
            let pages = self.continued(kept, n_kept, family.context.len());
            self.pages.release(kept);
            let (ids, at_end) = (&family.context[n_kept..], family.context.len() - 1 - n_kept);
            let targets = family.first.iter().map(|&(request, id)| Target { at: at_end, request, id });
            readings.push(Reading { ids, start: n_kept, pages: pages.clone(), targets: targets.collect() });
            self.slots[slot] = Held { ids: family.context.to_vec(), pages };
        }
        self.read(&readings, likelihoods);
        begun.into_iter().map(|(slot, family, ..)| (slot, family)).collect()
    }

    /// Reads what stands behind the first token of continuations, each after its own context.
    fn read_continuations(&mut self, read: &[(usize, &Family<'_>)], likelihoods: &mut [Likelihood]) {
        let mut readings: Vec<Reading<'_>> = Vec::new();
        let mut n_rows = 0;
        for &(slot, family) in read {
            for rest in &family.rests {
                if n_rows + rest.ids.len() > self.limits.rows && !readings.is_empty() {
                    self.read_apart(std::mem::take(&mut readings), likelihoods);
                    n_rows = 0;
                }
                n_rows += rest.ids.len();
                let start = family.context.len();
                let kept = self.slots[slot].pages.clone();
                let pages = self.continued(&kept, start, start + rest.ids.len());
                readings.push(Reading { ids: rest.ids, start, pages, targets: rest.targets.clone() });
            }
        }
        self.read_apart(readings, likelihoods);
    }

    /// Reads what nothing will go on from.
    fn read_apart(&mut self, readings: Vec<Reading<'_>>, likelihoods: &mut [Likelihood]) {
        self.read(&readings, likelihoods);
        readings.iter().for_each(|reading| self.pages.release(&reading.pages));
    }

    fn read(&mut self, readings: &[Reading<'_>], likelihoods: &mut [Likelihood]) {
        self.n_read += readings.iter().map(|reading| reading.ids.len()).sum::<usize>();
        reading::read(self.gpt, self.kernels, &mut self.cache, readings, self.limits, likelihoods);
    }

    /// Pages for `len` ids that go on from the first `n_kept` in the pages `kept`: full ones are shared, of the last, which is
    /// written to, a copy is made.
    fn continued(&mut self, kept: &[usize], n_kept: usize, len: usize) -> Vec<usize> {
        let (n_full, n_pages) = (n_kept / PAGE_LEN, len.div_ceil(PAGE_LEN));
        let mut pages = kept[..n_full].to_vec();
        pages.iter().for_each(|&page| self.pages.share(page));
        pages.extend((n_full..n_pages).map(|_| self.pages.take()));
        self.cache.grow_to(self.pages.n_all());
        if !n_kept.is_multiple_of(PAGE_LEN) {
            self.cache.copy(kept[n_full], pages[n_full]);
        }
        pages
    }
}

/// Cuts the sorted families into a stretch for each slot, of about the same number of tokens to read.
fn stretches<'f, 'p>(families: &'f [Family<'p>], n_slots: usize) -> Vec<&'f [Family<'p>]> {
    let mut costs = Vec::with_capacity(families.len());
    let mut before: &[u32] = &[];
    for family in families {
        costs.push(family.context.len() - common(before, family.context) + family.n_behind());
        before = family.context;
    }
    let total: usize = costs.iter().sum();
    let (mut stretches, mut start, mut n_read) = (Vec::with_capacity(n_slots), 0, 0);
    for (i, cost) in costs.iter().enumerate() {
        let is_due = n_read >= total * (stretches.len() + 1) / n_slots;
        if is_due && i > start && stretches.len() + 1 < n_slots {
            stretches.push(&families[start..i]);
            start = i;
        }
        n_read += cost;
    }
    stretches.push(&families[start..]);
    stretches
}

/// How many ids two sequences begin with in common.
fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests;
