//! `maquette bench`

use std::time::Instant;

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use model::{Gpt, ModelConfig, Tokens, scaling::ModelOverrides};
use serde::Serialize;
use tensor::{Cpu, DType, Isa, Rng, Tape, Tensor};
use train::{Optimizer, OptimizerKind, TrainOverrides, TrainSettings, clip_coefficient};

use crate::machine;

/// Measure this machine at the work of the program
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Whole training steps of a model of any shape, on random tokens
    Train(TrainArgs),
}

/// Numbers that activations and weights are held in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Dtype {
    F32,
    Bf16,
}

#[derive(Debug, clap::Args)]
struct TrainArgs {
    #[arg(long, default_value_t = 6)]
    n_layers: usize,
    #[arg(long, default_value_t = 384)]
    d_model: usize,
    #[arg(long, default_value_t = 6)]
    n_heads: usize,
    #[arg(long, default_value_t = 6)]
    n_kv_heads: usize,
    #[arg(long, default_value_t = 1024)]
    d_ff: usize,
    #[arg(long, default_value_t = 8192)]
    vocab_size: usize,
    /// Rows of a step
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Tokens of a row
    #[arg(long, default_value_t = 256)]
    seq_len: usize,
    /// Numbers to compute with; this build has f32 alone
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    dtype: Dtype,
    /// Optimizer of the matrices
    #[arg(long, value_enum, default_value_t = Optim::Adamw)]
    optimizer: Optim,
    /// Steps measured, after two that are not
    #[arg(long, default_value_t = 9)]
    steps: usize,
    /// Threads that compute; 0 takes every core
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
    dtype: &'static str,
    instruction_set: &'static str,
    threads: usize,
    steps: usize,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Action::Train(args) = &args.action;
    anyhow::ensure!(
        args.dtype == Dtype::F32,
        "expected --dtype f32, found bf16\nhint: this build computes in f32 alone"
    );
    let (config, settings) = shape(args).context("this shape cannot be trained")?;
    machine::check_memory(&config, &settings)?;
    let output = measure(args, &config, &settings);
    if args.json {
        crate::output::line(serde_json::to_string(&output)?)
    } else {
        crate::output::line(format_args!(
            "{:.0} tokens/s  {:.1} ms a step ({:.1} to {:.1})  {:.0} of {:.0} GFLOP/s  {:.0} MB  {} threads, {}",
            output.tokens_per_second,
            output.step_ms,
            output.step_ms_min,
            output.step_ms_max,
            output.gflops,
            output.peak_gflops,
            output.peak_rss_mb,
            output.threads,
            output.instruction_set
        ))
    }
}

/// The model and a training that takes one whole batch at a time.
fn shape(args: &TrainArgs) -> anyhow::Result<(ModelConfig, TrainSettings)> {
    let model = ModelOverrides {
        n_layers: Some(args.n_layers),
        d_model: Some(args.d_model),
        n_heads: Some(args.n_heads),
        n_kv_heads: Some(args.n_kv_heads),
        d_ff: Some(args.d_ff),
        qk_norm: Some(false), // as the peers have it
        ..ModelOverrides::default()
    };
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
        ..TrainOverrides::default()
    };
    Ok(train::plan(None, args.vocab_size, &model, &train, 0)?)
}

/// Forward, backward, clipping and optimizer, as the trainer does them.
fn measure(args: &TrainArgs, config: &ModelConfig, settings: &TrainSettings) -> Output {
    let kernels = Cpu::new(args.threads);
    let mut gpt = Gpt::new(config.clone(), 0);
    let mut optimizer = Optimizer::new(config, settings.optimizer);
    let mut grads: Vec<Tensor> = gpt.params().iter().map(|p| Tensor::zeros(p.shape(), DType::F32)).collect();
    let n_tokens = args.batch * args.seq_len;
    let mut rng = Rng::new(0, 0);
    let mut ids = || (0..n_tokens).map(|_| rng.below(config.vocab_size as u64) as u32).collect::<Vec<u32>>();
    let (inputs, targets) = (ids(), ids());
    let mut seconds = Vec::new();
    let mut loss_nats = 0.0;
    for step in 1..=args.steps.max(1) + 2 {
        let start = Instant::now();
        grads.iter_mut().for_each(|grad| grad.f32_mut().fill(0.0));
        let tokens = Tokens::packed(inputs.clone(), vec![args.seq_len; args.batch]);
        let mut tape = Tape::recording(&kernels);
        let (loss, _) = gpt.loss(&mut tape, &tokens, &targets, 1.0 / n_tokens as f64);
        loss_nats = f64::from(loss.value().f32()[0]);
        tape.backward(&loss, Tensor::from_f32(&[1], vec![1.0]), &mut grads);
        let scale = clip_coefficient(Optimizer::grad_norm(&kernels, &grads), settings.max_grad_norm);
        optimizer.step(&kernels, settings, gpt.params_mut(), &grads, scale, 1.0, step as u64);
        seconds.push(start.elapsed().as_secs_f64());
    }
    let mut seconds = seconds.split_off(2);
    seconds.sort_by(f64::total_cmp);
    let median = (seconds[(seconds.len() - 1) / 2] + seconds[seconds.len() / 2]) / 2.0;
    let tokens_per_second = n_tokens as f64 / median;
    Output {
        tokens_per_second,
        gflops: tokens_per_second * config.train_flops_per_token(args.seq_len) / 1e9,
        peak_gflops: kernels.measured_peak_gflops(),
        step_ms: 1e3 * median,
        step_ms_min: 1e3 * seconds[0],
        step_ms_max: 1e3 * seconds[seconds.len() - 1],
        peak_rss_mb: machine::peak_rss_mb(),
        loss_nats,
        n_params: config.n_params(),
        dtype: "f32",
        instruction_set: Isa::current().name(),
        threads: kernels.n_threads(),
        steps: args.steps.max(1),
    }
}
