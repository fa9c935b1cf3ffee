//! `maquette dpo`

use std::{path::PathBuf, sync::Arc};

use align::{Dpo, DpoSettings};
use model::checkpoint;
use tensor::Cpu;

use super::tuned;
use crate::{
    progress,
    tune::{Base, Made, TuneOptions, Tuned, preferences, train},
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
    let (pairs, held_out) = preferences(options, &base, seq_len)?;
    let settings = options.settings(&base, seq_len, pairs.len())?;
    let dpo = DpoSettings { beta: args.beta };
    let kernels = Arc::new(Cpu::new(options.threads));
    let reference = checkpoint::read_model(&base.dir)?.with_dtype(settings.dtype.into());
    progress::say("reference", "log-probabilities of every answer before the training");
    let objective = Dpo::new(pairs, held_out, &reference, &*kernels, dpo, &settings)?;
    let objective = options.replay.beside(Box::new(objective), &base, &settings)?;
    let made = Made {
        method: "dpo".into(),
        base_weights: base.weights.clone(),
        data: objective.fingerprint().to_owned(),
        train: settings,
        tuning: options.tuning(),
        settings: serde_json::to_value(dpo)?,
    };
    let folder = Tuned::open(&options.out, &made)?;
    let finished = train("dpo", &folder, &made, &base, objective, &kernels)?;
    tuned::print(&finished, options.json)
}
