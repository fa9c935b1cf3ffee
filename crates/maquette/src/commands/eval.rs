//! `maquette eval`

mod benchmark;
mod capability;
mod chat;
mod chosen;
pub(crate) mod cost;
mod endpoints;
mod list;
mod picture_questions;
mod picture_sets;
mod pictures;
mod recipe;
mod rescore;
mod summary;
mod table;

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Dtype;

/// Evaluate a checkpoint: benchmarks with the prompts of lm-evaluation-harness, a quiz of your own, or graded tasks
/// with exact answers
///
/// Benchmarks (`--list` names them) read the data below `--data`. Most score the likelihood of every choice; others let the
/// model write an answer and read it with named extractors. Scores do not depend on `--batch` or `--threads`. A quiz is a
/// .jsonl or .csv file with `question`, `choices` and `answer`, or `question`, `rubric` and `points`, and is given by its path. The
/// same command continues where it was stopped, and asks an endpoint again for what it did not answer.
///
/// Questions about pictures (`--tasks charts,words,scenes,clips`, or a .jsonl or .parquet file whose rows have `image`, `question`
/// and `answer`) are asked three times: with the picture, without it, and with that of another question; what is right
/// without it was guessed. Clips are shown in reverse too: then the answer is another. Sets of them are known by name: easy_vqa, emoji, storybook, nlvr, with their files below `--data`; of
/// emoji the model picks the right name among four too, and pages of picture books are read behind their own pictures and others.
///
/// Without `--tasks`, the generated suite is evaluated: where one answer is correct, the pass rate at temperature 1 is the
/// exact probability of that answer; where several are, answers are sampled.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A run's folder, such as runs/quickstart, whose newest checkpoint is taken; the folder of a checkpoint; or the address
    /// of a server with an interface like OpenAI's, such as http://127.0.0.1:8080/v1
    #[arg(required_unless_present_any = ["list", "rescore"])]
    checkpoint: Option<PathBuf>,
    /// Tasks, by name, such as arc_easy or mmlu; or the path of a quiz; the generated suite if not given
    #[arg(long, value_name = "TASK", value_delimiter = ',')]
    tasks: Vec<String>,
    /// Folder with the data of benchmarks, as they are published
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Examples in front of each item; 0 if not given
    #[arg(long, value_name = "N")]
    shots: Option<usize>,
    /// Items per benchmark, from the first on; all if not given. Of the generated suite, problems per task and level; 32
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Folder for the scores: benchmarks write eval/TASK-Nshot.jsonl with one object per item, and eval/summary.json
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Data type of activations
    #[arg(long, value_enum, default_value_t)]
    dtype: Dtype,
    /// Sequences that are read at a time; more need more memory. Results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = super::requests_at_a_time::<u16>())]
    batch: u16,
    /// Compute threads; 0 uses every core. Results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Answers that are drawn for each item of a benchmark that asks for written ones; pass@k is reported of several
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    samples: u16,
    /// Temperature of written answers; 0, the most likely token each time, if not given and one answer is asked for
    #[arg(long, value_name = "T")]
    temperature: Option<f64>,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Most tokens of a written answer; that of the benchmark if not given
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Run the programs that the model writes, for benchmarks that judge them so: apart from everything else, on Linux
    #[arg(long)]
    run_programs: bool,
    /// File with benchmarks and their settings, such as recipes/exams.toml; needs --out, where the page is written too
    #[arg(long, value_name = "FILE", requires = "out", conflicts_with_all = ["tasks", "shots", "list", "rescore"])]
    recipe: Option<PathBuf>,
    /// Write the seconds that each benchmark took to cost.json in --out; --recipe does so too
    #[arg(long, requires = "out")]
    cost: bool,
    #[command(flatten)]
    chat: chat::ChatArgs,
    #[command(flatten)]
    endpoints: endpoints::EndpointArgs,
    /// List the benchmarks: what of their data is in --data, what is missing, where it is published, its licence
    #[arg(long)]
    list: bool,
    /// Compute the metrics of --out again from its files; no model is opened
    #[arg(long, requires = "out", conflicts_with = "list")]
    rescore: bool,
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

impl Args {
    fn checkpoint(&self) -> anyhow::Result<&Path> {
        self.checkpoint
            .as_deref()
            .context("expected a checkpoint, found none\nhint: give the folder of a run")
    }
}

/// Asks a model easy questions about held-out pictures that are drawn now, and prints the table.
pub(super) fn ask_about_pictures(checkpoint: &Path, threads: usize) -> anyhow::Result<()> {
    pictures::ask_easy(checkpoint, threads)
}

/// The first argument of the process that keeps a program apart.
pub(crate) const RUN_PROGRAM: &str = "run-program-of-a-model";

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.list {
        return list::run(args);
    }
    if args.rescore {
        return rescore::run(args);
    }
    if let Some(recipe) = &args.recipe {
        return recipe::run(args, recipe);
    }
    let is_of_pictures = |name: &String| pictures::knows(name) || pictures::is_file(name);
    let n_of_pictures = args.tasks.iter().filter(|name| is_of_pictures(name)).count();
    let is_endpoint = args.checkpoint.as_deref().is_some_and(endpoints::is_address);
    anyhow::ensure!(
        !is_endpoint || n_of_pictures == 0 && !args.tasks.is_empty(),
        "expected benchmarks for an endpoint, found none in --tasks\nhint: --tasks arc_easy --data DIR; `maquette eval --list` names them"
    );
    let is_generated = |name: &&String| capability::knows(name);
    let n_generated = args.tasks.iter().filter(is_generated).count();
    if n_of_pictures + n_generated > 0 {
        // A slip in a name is no task of another kind.
        let others = args.tasks.iter().filter(|name| !is_of_pictures(name) && !is_generated(name));
        chosen::chosen(&others.cloned().collect::<Vec<_>>())?;
    }
    if n_of_pictures > 0 {
        anyhow::ensure!(
            n_of_pictures == args.tasks.len(),
            "expected questions about pictures, or other tasks, found both in --tasks\nhint: evaluate them with two commands"
        );
        return pictures::run(args);
    }
    if n_generated == args.tasks.len() {
        return capability::run(args);
    }
    anyhow::ensure!(
        n_generated == 0,
        "expected benchmarks, or tasks of the generated suite, found both in --tasks\nhint: evaluate them with two commands"
    );
    benchmark::run(args)
}
