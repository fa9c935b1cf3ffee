//! Pairs of answers as `dpo` and `reward` read them.

use align::{OnRow, PairExample, pair_examples, read_pairs};

use super::{Base, TuneOptions, split};
use crate::progress;

/// The pairs of the options' files, of at most `n_tokens` each: those to learn from, and those held out.
pub(crate) fn preferences(
    options: &TuneOptions,
    base: &Base,
    n_tokens: usize,
) -> anyhow::Result<(Vec<PairExample>, Vec<PairExample>)> {
    let on_row = if options.skip_bad_rows { OnRow::Skip } else { OnRow::Refuse };
    let read = read_pairs(&options.data, on_row)?;
    let (pairs, more) = pair_examples(&read.rows, &base.template, &base.tokenizer, n_tokens)?;
    let mut dropped = read.dropped;
    dropped.join(more);
    // By the prompt and both answers: the better one alone may come again beside another.
    let key = |pair: &PairExample| [&pair.chosen.ids[..], &pair.rejected.ids].concat();
    let (pairs, held_out) = split(pairs, options.held_out, key);
    let left_out = if dropped.0.is_empty() { String::new() } else { format!("; left out: {dropped}") };
    progress::say("data", &format!("{} pairs, {} held out{left_out}", pairs.len(), held_out.len()));
    anyhow::ensure!(
        !pairs.is_empty() && !held_out.is_empty(),
        "expected at least two different pairs, found one\nhint: one is learned from, one is held out"
    );
    Ok((pairs, held_out))
}
