//! `maquette bench decode`

use std::{path::PathBuf, time::Instant};

use anyhow::Context as _;
use base::Rng;
use model::{
    Engine, EngineSettings, Event, Gpt, ModelConfig, Request, Sampling, checkpoint, scaling::ModelOverrides,
};
use serde::Serialize;
use tensor::{Cpu, DType, Isa};

use super::{
    at_least_one, median,
    shape::{self, Shape},
};
use crate::{
    commands::Dtype,
    machine::{self, Machine},
    open_model, output, stop,
};

/// Prefill and decoding, of a checkpoint or of a model of any shape
///
/// The prompts are random tokens; what follows is the most likely token each time. All sequences are read at once and
/// then continued together, one token of each a step. Rates are of the median prefill and the median step.
#[derive(Debug, clap::Args)]
#[command(mut_args(shape::as_gpt2_small))]
pub(crate) struct Args {
    /// Folder of a checkpoint, or of a run; without one, a model of random weights and a tied head
    #[arg(conflicts_with = "Shape")]
    checkpoint: Option<PathBuf>,
    #[command(flatten)]
    shape: Shape,
    /// Tokens per prompt
    #[arg(long, value_name = "N", default_value_t = 512)]
    prompt_tokens: usize,
    /// Decoding steps, one token per sequence each
    #[arg(long, value_name = "N", default_value_t = 64)]
    new_tokens: usize,
    /// Sequences decoded together
    #[arg(long, value_name = "N", default_value_t = 1)]
    batch: usize,
    /// Data type of activations and of the inputs of matrix products
    #[arg(long, value_enum, default_value_t)]
    dtype: Dtype,
    /// Compute threads; 0 uses every core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Output {
    /// Tokens of all prompts over the median time to read them.
    prefill_tokens_per_second: f64,
    /// Of all sequences together: one of each over the median step.
    decode_tokens_per_second: f64,
    /// Median.
    step_ms: f64,
    /// 10⁹ bytes of packed weights that a step reads, over its median time: every matrix once, the head among them. What
    /// it reads of the embedding, of gains and of the cache is not counted.
    weight_gb_per_second: f64,
    /// What reading alone reaches on these threads here.
    read_gb_per_second: f64,
    fraction_of_read_peak: f64,
    peak_rss_mb: f64,
    n_params: usize,
    dtype: &'static str,
    batch: usize,
    prompt_tokens: usize,
    new_tokens: usize,
    instruction_set: &'static str,
    threads: usize,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let kernels = Cpu::new(args.threads);
    let gpt = open(args, &kernels)?;
    let output = measure(args, &kernels, &gpt)?;
    if args.json {
        return output::line(serde_json::to_string(&output)?);
    }
    output::line(format_args!(
        "prefill {:.0} tokens/s  decode {:.1} tokens/s, {:.2} ms a step  \
         weights at {:.1} of {:.1} GB/s ({:.0} %)  {:.0} MB  {} threads, {}, {}",
        output.prefill_tokens_per_second,
        output.decode_tokens_per_second,
        output.step_ms,
        output.weight_gb_per_second,
        output.read_gb_per_second,
        100.0 * output.fraction_of_read_peak,
        output.peak_rss_mb,
        output.threads,
        output.instruction_set,
        output.dtype
    ))
}

/// The model, ready to decode; whatever it cannot be asked for is refused before its weights are read or made.
fn open(args: &Args, kernels: &Cpu) -> anyhow::Result<Gpt> {
    at_least_one("--prompt-tokens", args.prompt_tokens)?;
    at_least_one("--new-tokens", args.new_tokens)?;
    at_least_one("--batch", args.batch)?;
    let seq_len = args.prompt_tokens.saturating_add(args.new_tokens);
    let checkpoint = args.checkpoint.as_deref().map(open_model::locate).transpose()?;
    let config = match &checkpoint {
        Some(dir) => checkpoint::read_config(dir)?,
        None => random(&args.shape, seq_len).context("this shape cannot be measured")?,
    };
    let max_seq_len = config.max_seq_len;
    anyhow::ensure!(
        seq_len <= max_seq_len,
        "expected at most {max_seq_len} tokens of prompt and continuation, found {} and {}\n\
         hint: that is the longest sequence of this model; lower --prompt-tokens or --new-tokens",
        args.prompt_tokens,
        args.new_tokens
    );
    let dtype = args.dtype.precision().into();
    check_memory(&config, dtype, args.batch as f64, [args.prompt_tokens as f64, seq_len as f64])?;
    let gpt = match &checkpoint {
        Some(dir) => checkpoint::read_model(dir)?,
        None => Gpt::new(config, 0),
    };
    let mut gpt = gpt.with_dtype(dtype);
    gpt.pack(kernels);
    Ok(gpt)
}

fn random(shape: &Shape, seq_len: usize) -> anyhow::Result<ModelConfig> {
    let overrides = ModelOverrides { tie_embeddings: Some(true), ..shape.overrides() };
    overrides.validate(shape.vocab_size, seq_len)?;
    let config = overrides.config(shape.vocab_size, seq_len, 0);
    config.validate()?;
    Ok(config)
}

/// Refuses what this machine cannot hold, by a lower bound: weights in f32 and packed, keys and values, and the widest
/// activations of a prefill.
fn check_memory(
    config: &ModelConfig,
    dtype: DType,
    batch: f64,
    [prompt_tokens, seq_len]: [f64; 2],
) -> anyhow::Result<()> {
    let size = dtype.size() as f64;
    let weights = (4.0 + size) * config.approximate_params();
    let cached = 2.0 * config.n_layers as f64 * config.kv_width() as f64 * size;
    let active = 4.0 * config.d_model as f64 + 2.0 * config.d_ff as f64 * size;
    let needed_gb = (weights + batch * (seq_len * cached + prompt_tokens * active)) / 1e9;
    let memory_gb = Machine::detect(0).memory_gb; // 0 where the system does not say
    anyhow::ensure!(
        memory_gb == 0.0 || needed_gb <= memory_gb,
        "this decoding takes at least {needed_gb:.1} GB of memory, this machine has {memory_gb:.1} GB\n\
         hint: choose a smaller model, a smaller --batch, or fewer tokens"
    );
    Ok(())
}

/// Prefills that are measured.
const N_PREFILLS: usize = 3;
/// Steps before the measured ones, for memory and clocks.
const N_WARM_UP_STEPS: usize = 2;

fn measure(args: &Args, kernels: &Cpu, gpt: &Gpt) -> anyhow::Result<Output> {
    let config = gpt.config();
    let settings = EngineSettings {
        // All prompts in one step.
        chunk_tokens: args.batch * args.prompt_tokens,
        ..EngineSettings::for_sequences(args.batch, args.prompt_tokens + args.new_tokens)
    };
    let mut engine = Engine::new(gpt, kernels, settings);
    let mut rng = Rng::new(0, 0);
    // Other prompts each time, or their keys and values would be found in the cache.
    let mut submit = |engine: &mut Engine, n_steps: usize| -> anyhow::Result<()> {
        for _ in 0..args.batch {
            let prompt =
                (0..args.prompt_tokens).map(|_| rng.below(config.vocab_size as u64) as u32).collect();
            let sampling = Sampling::greedy();
            engine.submit(Request { sampling, ..Request::new(prompt, 1 + n_steps) })?;
        }
        Ok(())
    };
    let step = |engine: &mut Engine| -> anyhow::Result<f64> {
        anyhow::ensure!(stop::check().is_continue(), stop::Interrupted(String::new()));
        let start = Instant::now();
        let events = engine.step();
        let seconds = start.elapsed().as_secs_f64();
        let n_tokens = events.iter().filter(|event| matches!(event, Event::Token { .. })).count();
        debug_assert_eq!(n_tokens, args.batch, "a token of every sequence");
        Ok(seconds)
    };

    submit(&mut engine, args.new_tokens.min(N_WARM_UP_STEPS))?;
    while !engine.is_idle() {
        step(&mut engine)?;
    }
    let (mut prefill_s, mut step_s) = (Vec::new(), Vec::new());
    for i in 1..=N_PREFILLS {
        submit(&mut engine, if i == N_PREFILLS { args.new_tokens } else { 0 })?;
        prefill_s.push(step(&mut engine)?);
    }
    for _ in 0..args.new_tokens {
        step_s.push(step(&mut engine)?);
    }

    let step_s = median(&mut step_s);
    let weight_bytes = (config.n_matrix_params() * gpt.dtype().size()) as f64;
    let weight_gb_per_second = weight_bytes / step_s / 1e9;
    let peak_rss_mb = machine::peak_rss_mb(); // before the next line takes memory of its own
    let read_gb_per_second = kernels.measured_read_gb_per_second();
    Ok(Output {
        prefill_tokens_per_second: (args.batch * args.prompt_tokens) as f64 / median(&mut prefill_s),
        decode_tokens_per_second: args.batch as f64 / step_s,
        step_ms: 1e3 * step_s,
        weight_gb_per_second,
        read_gb_per_second,
        fraction_of_read_peak: weight_gb_per_second / read_gb_per_second,
        peak_rss_mb,
        n_params: config.n_params(),
        dtype: gpt.dtype().name(),
        batch: args.batch,
        prompt_tokens: args.prompt_tokens,
        new_tokens: args.new_tokens,
        instruction_set: Isa::current().name(),
        threads: kernels.n_threads(),
    })
}
