//! Forward passes of bounded size over any number of sequences.

use model::{Gpt, KvCache, Piece, Tokens};
use rayon::prelude::*;
use tensor::{Kernels, Slice};

use super::Likelihood;

/// How much one forward pass reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) tokens: usize,
    /// Rows of logits.
    pub(super) rows: usize,
}

impl Default for Limits {
    /// Enough to keep the kernels busy, few enough to stay in the caches.
    fn default() -> Self {
        Self { tokens: 2048, rows: 256 }
    }
}

/// New ids of a sequence, with the tokens that are scored behind them.
#[derive(Debug)]
pub(super) struct Reading<'p> {
    pub(super) ids: &'p [u32],
    /// Ids that stand before, in the first of the pages.
    pub(super) start: usize,
    pub(super) pages: Vec<usize>,
    /// By position.
    pub(super) targets: Vec<Target>,
}

/// A token that is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The place among the new ids behind which it stands.
    pub(super) at: usize,
    pub(super) request: usize,
    pub(super) id: u32,
}

/// Reads all of them in as many passes as it takes, and adds what is scored to the likelihoods of the requests.
pub(super) fn read(
    gpt: &Gpt,
    kernels: &dyn Kernels,
    cache: &mut KvCache,
    readings: &[Reading<'_>],
    limits: Limits,
    likelihoods: &mut [Likelihood],
) {
    let mut at = Place::default();
    while at.reading < readings.len() {
        let (mut pieces, mut rows, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        let mut n_tokens = 0;
        while let Some(reading) = readings.get(at.reading) {
            let first = at.token;
            let due = &reading.targets[at.target..];
            let mut end = reading.ids.len().min(first + limits.tokens - n_tokens);
            // As many rows as there is room for: positions with a token that is scored.
            let mut positions: Vec<usize> =
                due.iter().map(|target| target.at).take_while(|&position| position < end).collect();
            positions.dedup();
            if let Some(&too_many) = positions.get(limits.rows - rows.len()) {
                end = too_many;
                positions.truncate(limits.rows - rows.len());
            }
            if end == first {
                break;
            }
            let now = due.iter().take_while(|target| target.at < end);
            let row_of = |position: usize| {
                rows.len() + positions.binary_search(&position).expect("every target's position is a row")
            };
            targets.extend(now.clone().map(|target| (row_of(target.at), target)));
            at.target += now.count();
            rows.extend(positions.iter().map(|position| n_tokens + position - first));
            let (ids, start) = (&reading.ids[first..end], reading.start + first);
            pieces.push(Piece { ids, start, pages: &reading.pages });
            n_tokens += end - first;
            at.token = end;
            if end < reading.ids.len() {
                break;
            }
            at = Place { reading: at.reading + 1, ..Place::default() };
        }
        let tokens = Tokens::continued(pieces);
        if rows.is_empty() {
            rows.push(0);
        }
        let logits = gpt.logits(kernels, &tokens, &rows, Some(cache));
        let vocab_size = logits.last_dim();
        let logits = logits.f32();
        let mut log_sum_exps = vec![0.0; rows.len()];
        kernels.log_sum_exp(Slice::F32(logits), &mut log_sum_exps, vocab_size);
        let most_likely: Vec<usize> = logits.par_chunks(vocab_size).map(first_largest).collect();
        for (row, target) in targets {
            let id = target.id as usize;
            let likelihood = &mut likelihoods[target.request];
            likelihood.loglikelihood += f64::from(logits[row * vocab_size + id]) - log_sum_exps[row];
            likelihood.is_greedy &= most_likely[row] == id;
        }
    }
}

/// How far everything was read.
#[derive(Clone, Copy, Default)]
struct Place {
    reading: usize,
    token: usize,
    target: usize,
}

/// The first of the largest.
fn first_largest(row: &[f32]) -> usize {
    // Blocks first: the compiler makes a maximum of many at a time.
    const BLOCK: usize = 512;
    let largest = |block: &[f32]| block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let max = row.chunks(BLOCK).map(largest).fold(f32::NEG_INFINITY, f32::max);
    row.iter().position(|&x| x == max).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::first_largest;

    #[test]
    fn of_equally_likely_tokens_the_first_counts() {
        assert_eq!(first_largest(&[1.0, 3.0, 3.0, f32::NEG_INFINITY]), 1);
        assert_eq!(first_largest(&[f32::NEG_INFINITY; 3]), 0);
        let mut row = vec![-1.0; 2000];
        row[1999] = 2.0;
        assert_eq!(first_largest(&row), 1999);
        row[700] = 2.0;
        assert_eq!(first_largest(&row), 700);
    }
}
