//! `maquette dpo`

use std::{path::PathBuf, sync::Arc};

use align::{Dpo, DpoSettings, OnRow, pair_examples, read_pairs};
use model::checkpoint;
use tensor::Cpu;
use train::Objective as _;

use super::tuned;
use crate::{
    progress,
    tune::{Base, Made, TuneOptions, Tuned, split, train},
};

/// Teach a model which of two answers is better: direct preference optimisation
///
/// Pairs are read as `chosen` and `rejected`: lists of messages, texts of Anthropic's HH, or answers beside a `prompt`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of a fine-tuned model, of a checkpoint, or of a run
    base: PathBuf,
    /// How strongly the model is held to what it was: the optimum is the reference times e^(reward/beta)
    #[arg(long, value_name = "B", default_value_t = 0.1)]
    beta: f64,
    #[command(flatten)]
    options: TuneOptions,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let options = &args.options;
    options.check()?;
    let base = Base::open(&args.base)?;
    let seq_len = options.seq_len(&base)?;
    let on_row = if options.skip_bad_rows { OnRow::Skip } else { OnRow::Refuse };
    let read = read_pairs(&options.data, on_row)?;
    let (pairs, more) = pair_examples(&read.rows, &base.template, &base.tokenizer, seq_len)?;
    let mut dropped = read.dropped;
    dropped.join(more);
    // By the prompt and both answers: the better one alone may come again beside another.
    let key = |pair: &align::PairExample| [&pair.chosen.ids[..], &pair.rejected.ids].concat();
    let (pairs, held_out) = split(pairs, options.held_out, key);
    let left_out = if dropped.0.is_empty() { String::new() } else { format!("; left out: {dropped}") };
    progress::say("data", &format!("{} pairs, {} held out{left_out}", pairs.len(), held_out.len()));
    anyhow::ensure!(
        !pairs.is_empty() && !held_out.is_empty(),
        "expected at least two different pairs, found one\nhint: one is learned from, one is held out"
    );
    let settings = options.settings(&base, seq_len, pairs.len())?;
    let dpo = DpoSettings { beta: args.beta };
    let kernels = Arc::new(Cpu::new(options.threads));
    let reference = checkpoint::read_model(&base.dir)?.with_dtype(settings.dtype.into());
    progress::say("reference", "log-probabilities of every answer before the training");
    let objective = Dpo::new(pairs, held_out, &reference, &*kernels, dpo, &settings)?;
    let made = Made {
        method: "dpo".into(),
        base_weights: base.weights.clone(),
        data: objective.fingerprint().to_owned(),
        train: settings,
        tuning: options.tuning(),
        settings: serde_json::to_value(dpo)?,
    };
    let folder = Tuned::open(&options.out, &made)?;
    let finished = train("dpo", &folder, &made, &base, Box::new(objective), &kernels)?;
    tuned::print(&finished, options.json)
}
