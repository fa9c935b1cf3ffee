//! Requests behind the same context, which is read once for all of them.

use super::{Pair, reading::Target};

/// What is scored behind one context.
#[derive(Debug, PartialEq)]
pub(super) struct Family<'p> {
    /// What stands before the first token that is scored.
    pub(super) context: &'p [u32],
    /// Requests with the first token of their continuation.
    pub(super) first: Vec<(usize, u32)>,
    /// What is read behind the context.
    pub(super) rests: Vec<Rest<'p>>,
}

/// Continuations without their last token, one of which begins as all the others do.
#[derive(Debug, PartialEq)]
pub(super) struct Rest<'p> {
    pub(super) ids: &'p [u32],
    /// By position.
    pub(super) targets: Vec<Target>,
}

impl Family<'_> {
    /// Tokens that are read behind the context.
    pub(super) fn n_behind(&self) -> usize {
        self.rests.iter().map(|rest| rest.ids.len()).sum()
    }
}

/// The requests by their contexts, which are sorted by their ids.
pub(super) fn families(pairs: &[Pair], max_len: usize) -> Vec<Family<'_>> {
    let mut requests: Vec<(&[u32], &[u32], usize)> = pairs
        .iter()
        .enumerate()
        .map(|(request, pair)| {
            let input = pair.input(max_len);
            let (context, rest) = input.split_at(input.len() + 1 - pair.n_scored());
            (context, rest, request)
        })
        .collect();
    requests.sort_unstable();
    let of_context = |requests: &[(&'_ [u32], &'_ [u32], usize)]| -> Vec<(usize, u32)> {
        requests.iter().map(|&(.., request)| (request, pairs[request].continuation()[0])).collect()
    };
    requests
        .chunk_by(|a, b| a.0 == b.0)
        .map(|of| Family { context: of[0].0, first: of_context(of), rests: rests(of, pairs) })
        .collect()
}

/// What is read behind one context: none twice, and none that another begins with.
fn rests<'p>(requests: &[(&'p [u32], &'p [u32], usize)], pairs: &'p [Pair]) -> Vec<Rest<'p>> {
    let mut rests: Vec<Rest<'p>> = Vec::new();
    // Sorted, so that what begins with another stands behind it.
    for &(_, ids, request) in requests.iter().rev().filter(|(_, ids, _)| !ids.is_empty()) {
        if rests.last().is_none_or(|longer| !longer.ids.starts_with(ids)) {
            rests.push(Rest { ids, targets: Vec::new() });
        }
        let targets = pairs[request].continuation()[1..].iter().enumerate();
        let rest = rests.last_mut().expect("one was pushed");
        rest.targets.extend(targets.map(|(at, &id)| Target { at, request, id }));
    }
    rests.iter_mut().for_each(|rest| rest.targets.sort_by_key(|target| target.at));
    rests
}

#[cfg(test)]
mod tests {
    use data::Tokenizer;

    use super::*;

    #[test]
    fn what_requests_begin_with_is_read_once() {
        let tokenizer = Tokenizer::bytes();
        let pair = |context, continuation| Pair::encode(&tokenizer, context, continuation);
        let pairs = [pair("b", " no"), pair("a", "x"), pair("b", " not"), pair("b", " y"), pair("b", " no")];
        let families = families(&pairs, 64);
        assert_eq!(families.len(), 2);
        assert!(families[0].context == pairs[1].context() && families[0].rests.is_empty());
        assert_eq!(families[1].context, pairs[0].context());
        let mut requests: Vec<usize> = families[1].first.iter().map(|(request, _)| *request).collect();
        requests.sort_unstable();
        assert_eq!(requests, [0, 2, 3, 4]);
        assert_eq!(families[1].rests.len(), 1);
        assert_eq!(families[1].rests[0].ids, tokenizer.encode(" no"));
        // Every token of every continuation but the first, each once.
        assert_eq!(families[1].rests[0].targets.len(), 2 + 3 + 1 + 2);
    }

    #[test]
    fn what_is_longer_than_the_model_reads_is_cut_before_it_is_shared() {
        let tokenizer = Tokenizer::bytes();
        let pairs = ["xabc", "yabc"].map(|context| Pair::encode(&tokenizer, context, "de"));
        let families = families(&pairs, 4);
        assert_eq!(families.len(), 1);
        assert_eq!(families[0].context, tokenizer.encode("abc"));
        assert_eq!(families[0].rests.len(), 1);
    }
}
