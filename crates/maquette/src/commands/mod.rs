//! The command line: one file a subcommand, in the order of the pipeline.

mod bench;
mod chat;
mod data;
mod doctor;
mod eval;
mod export;
mod forecast;
mod generate;
mod import;
mod inspect;
mod ladder;
mod next;
mod pretrain;
mod quickstart;
mod report;
mod run;
mod slips;
mod tokenizer;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};
use train::Precision;

use crate::{
    output,
    pipeline::{self, Run, Stage},
    progress,
    recipe::Recipe,
    report as page,
};

/// Train GPT-4-style models, from raw text to a model that writes.
///
/// Results go to stdout, messages to stderr. Every run is a folder: resolved recipe, tokenizer, data, checkpoints,
/// metrics and a report.
#[derive(Debug, Parser)]
#[command(name = "maquette", version, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Quickstart(quickstart::Args),
    Run(run::Args),
    Tokenizer(tokenizer::Args),
    Data(data::Args),
    Ladder(ladder::Args),
    Pretrain(pretrain::Args),
    Eval(eval::Args),
    Forecast(forecast::Args),
    Report(report::Args),
    Generate(generate::Args),
    Chat(chat::Args),
    Import(import::Args),
    Export(export::Args),
    Inspect(inspect::Args),
    Bench(bench::Args),
    Doctor(doctor::Args),
}

impl Cli {
    /// What was typed; for anything else an error lists what there is, and the program ends.
    pub(crate) fn read() -> Self {
        Self::try_parse().unwrap_or_else(|error| slips::end(error))
    }

    pub(crate) fn run(self) -> anyhow::Result<()> {
        tensor::Isa::requested().map_err(anyhow::Error::msg)?;
        crate::stop::listen();
        match self.command {
            Command::Quickstart(args) => quickstart::run(&args),
            Command::Run(args) => run::run(&args),
            Command::Tokenizer(args) => tokenizer::run(&args),
            Command::Data(args) => data::run(&args),
            Command::Ladder(args) => ladder::run(&args),
            Command::Pretrain(args) => pretrain::run(&args),
            Command::Eval(args) => eval::run(&args),
            Command::Forecast(args) => forecast::run(&args),
            Command::Report(args) => report::run(&args),
            Command::Generate(args) => generate::run(&args),
            Command::Chat(args) => chat::run(&args),
            Command::Import(args) => import::run(&args),
            Command::Export(args) => export::run(&args),
            Command::Inspect(args) => inspect::run(&args),
            Command::Bench(args) => bench::run(&args),
            Command::Doctor(args) => doctor::run(&args),
        }
    }
}

/// Data type of activations and of the factors of matrix products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Dtype {
    /// bf16 where the processor multiplies it (AVX-512 BF16); else f32
    #[default]
    Auto,
    F32,
    Bf16,
}

impl Dtype {
    fn precision(self) -> Precision {
        match self {
            Self::Auto => pipeline::default_precision(tensor::Isa::current()),
            Self::F32 => Precision::F32,
            Self::Bf16 => Precision::Bf16,
        }
    }
}

/// What every subcommand that runs stages of a recipe takes.
#[derive(Debug, clap::Args)]
struct RunOptions {
    /// Folder of the run; `runs/NAME` if not given. Files of others there are not replaced
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Change a value of the recipe, such as train.steps=500; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    changes: Vec<String>,
    /// Threads that compute; 0 takes every core. Results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

impl RunOptions {
    /// Runs stages of the recipe at `path`; prints what a finished training has to show.
    fn run(&self, path: &Path, stages: &[Stage]) -> anyhow::Result<()> {
        self.run_recipe(Recipe::read(path, &self.changes)?, stages)
    }

    /// The same for so many minutes, where they are given.
    fn run_for(&self, path: &Path, minutes: Option<f64>, stages: &[Stage]) -> anyhow::Result<()> {
        self.run_recipe(Recipe::read(path, &self.changes(minutes))?, stages)
    }

    /// Changes of the recipe, minutes among them.
    fn changes(&self, minutes: Option<f64>) -> Vec<String> {
        let minutes = minutes.map(|minutes| format!("budget={{minutes={minutes}}}"));
        self.changes.iter().cloned().chain(minutes).collect()
    }

    fn run_recipe(&self, recipe: Recipe, stages: &[Stage]) -> anyhow::Result<()> {
        let mut run = Run::open(recipe, self.out.as_deref(), self.threads)?;
        let finished = run.stages(stages)?;
        if stages.contains(&Stage::Report) {
            progress::say("report", &page::write(run.dir())?.display().to_string());
        }
        let Some(finished) = finished else {
            if self.json {
                output::line(serde_json::json!({ "out": run.dir() }))?;
            }
            return Ok(());
        };
        if self.json {
            let result = serde_json::json!({
                "out": run.dir(),
                "checkpoint": finished.checkpoint,
                "summary": finished.summary,
                "samples": finished.samples,
            });
            return output::json(&result);
        }
        let v = &finished.summary.validation;
        output::words(format_args!(
            "validation: {:.4} bits per byte, {:.4} ± {:.4} nats per token (95 %, n = {} tokens)",
            v.bits_per_byte,
            v.loss_nats,
            1.96 * v.loss_stderr,
            v.n_tokens
        ))?;
        for sample in &finished.samples {
            let title = if sample.prompt.is_empty() { "(from nothing)" } else { &sample.prompt };
            output::words(format_args!("\n--- {title}\n{}{}", sample.prompt, sample.text))?;
        }
        output::words(format_args!("\ncheckpoint: {}", finished.checkpoint.display()))?;
        let prompt =
            finished.samples.iter().map(|sample| sample.prompt.as_str()).find(|text| !text.is_empty());
        next::after_training(run.dir(), &finished.checkpoint, prompt.unwrap_or("Once upon a time"));
        Ok(())
    }
}
