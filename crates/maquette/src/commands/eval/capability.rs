//! The suite of generated tasks with exact answers.

use data::tasks;
use eval::{CapabilitySettings, summarise};
use tensor::Cpu;

use super::Args;
use crate::{
    open_model::{self, Opened},
    output,
    output_file::{Kind, OutputFile},
    pipeline::SUITE_SEED,
    run_dir::write_scores,
    stop,
};

/// Problems for each task and level where nobody asks for a number.
const LIMIT: usize = 32;

/// Whether the suite has a task of this name.
pub(super) fn knows(name: &str) -> bool {
    tasks::Task::ALL.iter().any(|task| task.name() == name)
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let limit = args.limit.unwrap_or(LIMIT);
    anyhow::ensure!(
        (1..=100_000).contains(&limit),
        "--limit must be from 1 to 100,000, found {}\nhint: 32 problems a level show a difference of some percent",
        limit
    );
    let known = tasks::Task::ALL.map(tasks::Task::name);
    let names =
        known.iter().filter(|name| args.tasks.is_empty() || args.tasks.iter().any(|task| task == *name));
    for path in names.zip(&args.out).map(|(name, out)| out.join(format!("{name}.jsonl"))) {
        OutputFile { path: &path, option: "--out", kind: Kind::Scores }.check()?;
    }
    let kernels = Cpu::new(args.threads);
    let Opened { gpt, tokenizer, .. } =
        open_model::open(args.checkpoint()?, &kernels, args.dtype.precision().into())?;
    let mut problems = tasks::suite(SUITE_SEED, limit);
    problems.retain(|p| args.tasks.is_empty() || args.tasks.iter().any(|task| task == p.task.name()));
    let settings = CapabilitySettings::default();
    let scores = eval::capability_while(&gpt, &kernels, &tokenizer, &problems, &settings, &stop::goes_on)
        .map_err(stop::abandoned)?;
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
