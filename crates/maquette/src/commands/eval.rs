//! `maquette eval`

use std::path::PathBuf;

use data::tasks;
use eval::{CapabilitySettings, summarise};
use tensor::Cpu;

use super::Dtype;
use crate::{
    open_model::{self, Opened},
    output,
    output_file::{Kind, OutputFile},
    pipeline::SUITE_SEED,
    run_dir::write_scores,
};

/// Evaluate a checkpoint: how likely it is to solve graded tasks with exact answers
///
/// Where one answer is correct, the pass rate at temperature 1 is the exact probability of that answer; where several
/// are, answers are sampled.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A run's folder, such as runs/quickstart, whose newest checkpoint is taken; or the folder of a checkpoint
    checkpoint: PathBuf,
    /// Tasks, by name; all if not given
    #[arg(long, value_name = "TASK", value_delimiter = ',')]
    tasks: Vec<String>,
    /// Problems per task and level
    #[arg(long, value_name = "N", default_value_t = 32)]
    limit: usize,
    /// Folder for the scores: one file per task, one JSON object per problem
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Data type of activations
    #[arg(long, value_enum, default_value_t)]
    dtype: Dtype,
    /// Compute threads; 0 uses every core. Results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!(
        (1..=100_000).contains(&args.limit),
        "--limit must be from 1 to 100,000, found {}\nhint: 32 problems a level show a difference of some percent",
        args.limit
    );
    let known = tasks::Task::ALL.map(tasks::Task::name);
    if let Some(unknown) = args.tasks.iter().find(|task| !known.contains(&task.as_str())) {
        anyhow::bail!(
            "expected tasks among {}, found `{unknown}`\nhint: leave --tasks out for all",
            known.join(", ")
        );
    }
    let names =
        known.iter().filter(|name| args.tasks.is_empty() || args.tasks.iter().any(|task| task == *name));
    for path in names.zip(&args.out).map(|(name, out)| out.join(format!("{name}.jsonl"))) {
        OutputFile { path: &path, option: "--out", kind: Kind::Scores }.check()?;
    }
    let kernels = Cpu::new(args.threads);
    let Opened { gpt, tokenizer, .. } =
        open_model::open(&args.checkpoint, &kernels, args.dtype.precision().into())?;
    let mut problems = tasks::suite(SUITE_SEED, args.limit);
    problems.retain(|p| args.tasks.is_empty() || args.tasks.iter().any(|task| task == p.task.name()));
    let scores = eval::capability(&gpt, &kernels, &tokenizer, &problems, &CapabilitySettings::default())?;
    if let Some(out) = &args.out {
        write_scores(out, &scores)?;
    }
    let levels = summarise(&scores);
    if args.json {
        return output::json(&serde_json::json!({ "levels": levels }));
    }
    output::words(format_args!(
        "{:>10} {:>5} {:>5} {:>20} {:>10}",
        "task", "level", "n", "pass rate", "−ln p"
    ))?;
    for level in &levels {
        let noise =
            level.pass_rate_stderr.map_or_else(String::new, |stderr| format!(" ± {:.3}", 1.96 * stderr));
        let neg_log = level.neg_log_pass_nats.map_or_else(|| "—".into(), |nats| format!("{nats:.2}"));
        output::words(format_args!(
            "{:>10} {:>5} {:>5} {:>20} {neg_log:>10}",
            level.task.name(),
            level.difficulty,
            level.n,
            format!("{:.3}{noise}", level.pass_rate)
        ))?;
    }
    Ok(())
}
