//! The command line: one file a subcommand, in the order of the pipeline.

mod align;
mod bench;
mod chat;
mod data;
mod doctor;
mod dpo;
pub(crate) mod eval;
pub(crate) mod explain;
mod export;
mod feedback;
mod finished;
mod flags;
mod forecast;
mod generate;
mod grader;
mod grpo;
mod import;
mod inspect;
mod ladder;
mod merge;
mod next;
mod pictures;
mod policy;
mod ppo;
mod pretrain;
mod quickstart;
mod rbrm;
mod report;
mod requests;
mod reward;
mod run;
mod safety;
mod score;
pub(crate) mod scores;
mod serve;
mod sft;
mod slips;
mod stages;
mod standin;
mod tokenizer;
mod tuned;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};
use train::Precision;

use stages::StageRef;

use crate::{
    output,
    pipeline::{self, Run, Stage as _, WriteSamples},
    recipe::Recipe,
};

/// Train GPT-style language models, from raw text to a model that generates text.
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
    Sft(sft::Args),
    Reward(reward::Args),
    Score(score::Args),
    Dpo(dpo::Args),
    Ppo(ppo::Args),
    Grpo(grpo::Args),
    Rbrm(rbrm::Args),
    Standin(standin::Args),
    Requests(requests::Args),
    Feedback(feedback::Args),
    Safety(safety::Args),
    Align(align::Args),
    Eval(eval::Args),
    Explain(explain::Args),
    Scores(scores::Args),
    Forecast(forecast::Args),
    Report(report::Args),
    Generate(generate::Args),
    Chat(chat::Args),
    Serve(serve::Args),
    Import(import::Args),
    Merge(merge::Args),
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
        self.run_command()
    }

    /// The command alone, which another may run.
    fn run_command(self) -> anyhow::Result<()> {
        match self.command {
            Command::Quickstart(args) => quickstart::run(&args),
            Command::Run(args) => run::run(&args),
            Command::Tokenizer(args) => tokenizer::run(&args),
            Command::Data(args) => data::run(&args),
            Command::Ladder(args) => ladder::run(&args),
            Command::Pretrain(args) => pretrain::run(&args),
            Command::Sft(args) => flags::named(sft::run(&args)),
            Command::Reward(args) => flags::named(reward::run(&args)),
            Command::Score(args) => flags::named(score::run(&args)),
            Command::Dpo(args) => flags::named(dpo::run(&args)),
            Command::Ppo(args) => flags::named(ppo::run(&args)),
            Command::Grpo(args) => flags::named(grpo::run(&args)),
            Command::Rbrm(args) => rbrm::run(&args),
            Command::Standin(args) => standin::run(&args),
            Command::Requests(args) => requests::run(&args),
            Command::Feedback(args) => feedback::run(&args),
            Command::Safety(args) => flags::named(safety::run(&args)),
            Command::Align(args) => align::run(&args),
            Command::Eval(args) => flags::named(eval::run(&args)),
            Command::Explain(args) => explain::run(&args),
            Command::Scores(args) => scores::run(&args),
            Command::Forecast(args) => forecast::run(&args),
            Command::Report(args) => report::run(&args),
            Command::Generate(args) => flags::named(generate::run(&args)),
            Command::Chat(args) => flags::named(chat::run(&args)),
            Command::Serve(args) => serve::run(&args),
            Command::Import(args) => import::run(&args),
            Command::Merge(args) => merge::run(&args),
            Command::Export(args) => export::run(&args),
            Command::Inspect(args) => inspect::run(&args),
            Command::Bench(args) => bench::run(&args),
            Command::Doctor(args) => doctor::run(&args),
        }
    }
}

/// Data type of activations and of the inputs of matrix products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Dtype {
    /// bf16 if the processor has bf16 products (AVX-512 BF16), else f32
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
    /// Folder of the run; `runs/NAME` if not given. Files of other programs there are not replaced
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Change a value of the recipe, such as train.steps=500; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    changes: Vec<String>,
    /// Compute threads; 0 uses every core. Results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

impl RunOptions {
    /// Runs stages of the recipe at `path`; prints what a finished training has to show.
    fn run(&self, path: &Path, stages: &[StageRef]) -> anyhow::Result<()> {
        self.run_recipe(Recipe::read(path, &self.changes)?, stages)
    }

    /// Changes of the recipe, minutes among them.
    fn changes(&self, minutes: Option<f64>) -> Vec<String> {
        let minutes = minutes.map(|minutes| format!("budget={{minutes={minutes}}}"));
        self.changes.iter().cloned().chain(minutes).collect()
    }

    fn run_recipe(&self, recipe: Recipe, stages: &[StageRef]) -> anyhow::Result<()> {
        let run = Run::open(recipe, self.out.as_deref(), self.threads)?;
        pipeline::run_all(&run, stages)?;
        let has_samples = stages.iter().any(|stage| stage.name() == WriteSamples.name());
        let finished = if has_samples { Some(run.finished()?) } else { None };
        match self.json {
            true => output::json(&finished::json(&run, stages, finished.as_ref())?),
            false => finished.map_or(Ok(()), |finished| finished::print(&run, &finished)),
        }
    }
}

/// How much an endpoint may be asked at a time.
fn requests_at_a_time<T: TryFrom<u64> + Clone + Send + Sync>() -> clap::builder::RangedU64ValueParser<T> {
    clap::builder::RangedU64ValueParser::new().range(1..=::eval::endpoint::MAX_PARALLEL as u64)
}

/// Numbers from 1 on.
fn positive<T: TryFrom<u64> + Clone + Send + Sync>() -> clap::builder::RangedU64ValueParser<T> {
    clap::builder::RangedU64ValueParser::new().range(1..)
}
