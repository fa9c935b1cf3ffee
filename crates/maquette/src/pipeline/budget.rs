//! Minutes on this machine as FLOPs.

use std::{sync::Arc, time::Instant};

use model::{Gpt, ModelConfig, Tokens};
use tensor::{Kernels, Rng};
use train::{Learner, TrainSettings, Update};

use crate::{machine, recipe::Recipe};

/// FLOP/s that the first guess of a model's size is made with; measured once and measured again on that size.
const FIRST_GUESS: f64 = 1e11;
/// Seconds of measuring.
const MEASURE_S: f64 = 2.0;

/// How many FLOPs of training fit into `minutes` here: measured on steps of a model about as large.
pub(super) fn measured_flops(
    recipe: &Recipe,
    kernels: &Arc<dyn Kernels>,
    vocab_size: usize,
    minutes: f64,
) -> anyhow::Result<f64> {
    let mut flops = FIRST_GUESS * 60.0 * minutes;
    // The size decides the speed and the speed the size: two rounds settle it.
    for _ in 0..2 {
        let (config, settings) =
            train::plan(Some(flops), vocab_size, &recipe.model, &recipe.train, recipe.seed)?;
        machine::check_memory(&config, &settings)?;
        flops = flops_per_second(&**kernels, &config, &settings, MEASURE_S / 2.0) * 60.0 * minutes;
    }
    // Three digits: what is measured is not known better, and the recipe is easier to read.
    let unit = 10f64.powf(flops.log10().floor() - 2.0);
    Ok((flops / unit).round() * unit)
}

/// Training speed of a model of this shape on random tokens.
pub(super) fn flops_per_second(
    kernels: &dyn Kernels,
    config: &ModelConfig,
    settings: &TrainSettings,
    seconds: f64,
) -> f64 {
    let gpt = Gpt::new(config.clone(), 0)
        .with_dtype(settings.dtype.into())
        .with_recomputation(settings.recompute_activations);
    let mut learner = Learner::new(gpt, settings.optimizer);
    let mut rng = Rng::new(0, 0);
    let (rows, seq_len) = (settings.micro_batch_rows.min(settings.batch_rows), settings.seq_len);
    let ids: Vec<u32> = (0..rows * seq_len).map(|_| rng.below(config.vocab_size as u64) as u32).collect();
    let mut step = || {
        // As many micro-batches as a real step: the optimizer's share is theirs.
        learner.clear_gradients();
        for _ in 0..settings.batch_rows.div_ceil(rows) {
            let tokens = Tokens::packed(ids.clone(), vec![seq_len; rows]);
            learner.add_gradients(kernels, &tokens, &ids, 1e-3);
        }
        let grad_norm = learner.grad_norm(kernels);
        learner.update(kernels, settings, grad_norm, Update { lr_fraction: 1e-6, step: 1 });
    };
    step(); // the first pays for memory
    let (start, mut n_steps) = (Instant::now(), 0);
    while n_steps == 0 || start.elapsed().as_secs_f64() < seconds {
        step();
        n_steps += 1;
    }
    let tokens = (n_steps * settings.batch_rows.div_ceil(rows) * rows * seq_len) as f64;
    tokens * config.train_flops_per_token(seq_len) / start.elapsed().as_secs_f64()
}
