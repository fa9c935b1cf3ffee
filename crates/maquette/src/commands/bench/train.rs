//! `maquette bench train`

use std::time::Instant;

use anyhow::Context as _;
use base::Rng;
use clap::ValueEnum;
use model::{Gpt, ModelConfig, Tokens};
use serde::Serialize;
use tensor::{Cpu, DType, Isa};
use train::{Learner, MicroBatch, OptimizerKind, Precision, TrainOverrides, TrainSettings, Update};

use super::{median, shape::Shape};
use crate::{commands::Dtype, machine};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    shape: Shape,
    /// Rows per step
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Tokens per row
    #[arg(long, default_value_t = 256)]
    seq_len: usize,
    /// Data type of activations and of the inputs of matrix products
    #[arg(long, value_enum, default_value_t)]
    dtype: Dtype,
    /// Keep only the input of each block and recompute the rest in the backward pass
    #[arg(long)]
    recompute: bool,
    /// Optimizer of the matrices
    #[arg(long, value_enum, default_value_t = Optim::Adamw)]
    optimizer: Optim,
    /// Steps measured, after two warm-up steps
    #[arg(long, default_value_t = 9)]
    steps: usize,
    /// Compute threads; 0 uses every core
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Optim {
    Adamw,
    Muon,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Output {
    /// Tokens of a step over its median time.
    tokens_per_second: f64,
    /// 10⁹ FLOPs of products a second, counted as [`ModelConfig::train_flops_per_token`] does.
    gflops: f64,
    /// What fused multiply-adds alone reach on these threads here.
    peak_gflops: f64,
    /// Median.
    step_ms: f64,
    step_ms_min: f64,
    step_ms_max: f64,
    peak_rss_mb: f64,
    loss_nats: f64,
    n_params: usize,
    /// Memory for tensors that the last step asked the system for.
    fresh_bytes_per_step: u64,
    dtype: &'static str,
    instruction_set: &'static str,
    threads: usize,
    steps: usize,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let kernels = Cpu::new(args.threads);
    let (config, settings) = shape(args, args.dtype.precision()).context("this shape cannot be trained")?;
    machine::check_memory(&config, &settings)?;
    let output = measure(args, &kernels, &config, &settings);
    if args.json {
        crate::output::line(serde_json::to_string(&output)?)
    } else {
        crate::output::line(format_args!(
            "{:.0} tokens/s  {:.1} ms a step ({:.1} to {:.1})  {:.0} of {:.0} GFLOP/s  {:.0} MB  {} threads, {}, {}",
            output.tokens_per_second,
            output.step_ms,
            output.step_ms_min,
            output.step_ms_max,
            output.gflops,
            output.peak_gflops,
            output.peak_rss_mb,
            output.threads,
            output.instruction_set,
            output.dtype
        ))
    }
}

/// The model and a training that takes one whole batch at a time.
fn shape(args: &Args, dtype: Precision) -> anyhow::Result<(ModelConfig, TrainSettings)> {
    let optimizer = match args.optimizer {
        Optim::Adamw => OptimizerKind::AdamW,
        Optim::Muon => OptimizerKind::Muon,
    };
    let train = TrainOverrides {
        steps: Some(args.steps.max(1) as u64),
        batch_rows: Some(args.batch),
        micro_batch_rows: Some(args.batch),
        seq_len: Some(args.seq_len),
        optimizer: Some(optimizer),
        dtype: Some(dtype),
        recompute_activations: Some(args.recompute),
        ..TrainOverrides::default()
    };
    Ok(train::plan(None, args.shape.vocab_size, &args.shape.overrides(), &train, 0)?)
}

/// Forward, backward, clipping and optimizer, as the trainer does them.
fn measure(args: &Args, kernels: &Cpu, config: &ModelConfig, settings: &TrainSettings) -> Output {
    let gpt = Gpt::new(config.clone(), 0)
        .with_dtype(settings.dtype.into())
        .with_recomputation(settings.recompute_activations);
    let mut learner = Learner::new(gpt, settings.optimizer);
    let n_tokens = args.batch * args.seq_len;
    let mut rng = Rng::new(0, 0);
    let mut ids = || (0..n_tokens).map(|_| rng.below(config.vocab_size as u64) as u32).collect::<Vec<u32>>();
    let (inputs, targets) = (ids(), ids());
    let mut seconds = Vec::new();
    let mut loss_nats = 0.0;
    let mut fresh_bytes = 0;
    for step in 1..=args.steps.max(1) as u64 + 2 {
        let (start, fresh_before) = (Instant::now(), tensor::arena::fresh_bytes());
        learner.clear_gradients();
        let tokens = Tokens::packed(inputs.clone(), vec![args.seq_len; args.batch]);
        let batch = MicroBatch::new(tokens, targets.clone());
        let scale = 1.0 / n_tokens as f64;
        loss_nats = scale * learner.add_gradients(kernels, &batch, scale);
        let grad_norm = learner.grad_norm(kernels);
        learner.update(kernels, settings, grad_norm, Update { lr_fraction: 1.0, step });
        seconds.push(start.elapsed().as_secs_f64());
        fresh_bytes = tensor::arena::fresh_bytes() - fresh_before;
    }
    let mut seconds = seconds.split_off(2);
    let step_s = median(&mut seconds);
    let tokens_per_second = n_tokens as f64 / step_s;
    Output {
        tokens_per_second,
        gflops: tokens_per_second * config.train_flops_per_token(args.seq_len) / 1e9,
        peak_gflops: kernels.measured_peak_gflops(settings.dtype.into()),
        step_ms: 1e3 * step_s,
        step_ms_min: 1e3 * seconds[0],
        step_ms_max: 1e3 * seconds[seconds.len() - 1],
        peak_rss_mb: machine::peak_rss_mb(),
        loss_nats,
        n_params: config.n_params(),
        dtype: DType::from(settings.dtype).name(),
        fresh_bytes_per_step: fresh_bytes,
        instruction_set: Isa::current().name(),
        threads: kernels.n_threads(),
        steps: args.steps.max(1),
    }
}
