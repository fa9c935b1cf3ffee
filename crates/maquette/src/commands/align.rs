//! `maquette align`

use std::path::{Path, PathBuf};

use clap::Parser as _;

use super::Cli;
use crate::output::{program, shell_word, talk};

/// From a pretrained model to one that chats, on synthetic requests, with a table of what that did and cost
///
/// Writes the stand-in, teaches the model to answer as a careless teacher does, makes a reward model of preferences and a rule-based
/// reward, learns from the first alone and from both, and lets all four models answer held-out requests: DIR/safety.json. Everything
/// is synthetic; see `maquette standin`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A run's folder, such as runs/quickstart, or the folder of a checkpoint
    base: PathBuf,
    /// Folder for the result
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Conversations and prompts of the stand-in
    #[arg(long, value_name = "N", default_value_t = 4000)]
    rows: u64,
    /// Sets of answers that each policy learns from
    #[arg(long, value_name = "N", default_value_t = 40)]
    iterations: u64,
    /// Held-out requests that each stage answers
    #[arg(long, value_name = "N", default_value_t = 4000)]
    asked: u64,
    /// Random seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Compute threads; 0 uses every core. Results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Args { base, out, rows, iterations, asked, seed, threads } = args;
    run_all(
        base,
        out,
        &Sizes { rows: *rows, iterations: *iterations, asked: *asked, seed: *seed, threads: *threads },
    )
}

/// How much is done.
pub(super) struct Sizes {
    pub(super) rows: u64,
    pub(super) iterations: u64,
    pub(super) asked: u64,
    pub(super) seed: u64,
    pub(super) threads: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { rows: 4000, iterations: 40, asked: 4000, seed: 1, threads: 0 }
    }
}

/// Every step, each a command that may be given by hand; those that are finished are not done again.
pub(super) fn run_all(base: &Path, out: &Path, sizes: &Sizes) -> anyhow::Result<()> {
    let data = out.join("standin");
    super::standin::write(&data, sizes.rows.max(sizes.asked), sizes.seed)?;
    let at = |name: &str| out.join(name).display().to_string();
    let file = |name: &str| data.join(name).display().to_string();
    let [base, seed, threads] =
        [base.display().to_string(), sizes.seed.to_string(), sizes.threads.to_string()];
    let iterations = sizes.iterations.to_string();
    let common = ["--seed", &seed, "--threads", &threads];

    let (sft, reward, model, grader) = (at("sft"), at("reward"), at("reward/model"), at("rbrm.json"));
    let (chats, pairs, prompts) = (file("sft.jsonl"), file("pairs.jsonl"), file("prompts.jsonl"));
    let (classes, gold, fit) = (file("classes.yaml"), file("gold-test.jsonl"), file("gold-fit.jsonl"));

    let own = ["sft", &base, "--data", &chats, "--out", &sft, "--epochs", "3", "--lr", "1e-3"];
    command(&[&own[..], &common].concat())?;
    let own = ["reward", &sft, "--data", &pairs, "--out", &reward, "--lr", "3e-4"];
    command(&[&own[..], &common].concat())?;
    command(&["rbrm", &classes, "--gold", &gold, "--fit", &fit, "--out", &grader])?;
    // The divergence counts enough that what nobody rewards or punishes stays as it was; values may follow rewards of this size.
    let ppo = |out: &str, more: &[&str]| -> anyhow::Result<()> {
        let words = "--max-tokens 40 --cut-penalty 1 --rollouts 128 --batch 32 --micro-batch 16 --lr 1e-4 --clip-value 5 --value-weight 0.05";
        let fixed: Vec<&str> = words.split(' ').collect();
        let own = [
            "ppo",
            &sft,
            "--prompts",
            &prompts,
            "--reward",
            &model,
            "--out",
            out,
            "--iterations",
            &iterations,
        ];
        command(&[&own[..], &fixed, more, &common].concat())
    };
    ppo(&at("ppo"), &["--beta", "0.05"])?;
    let rules = [
        "--rule",
        "rbrm",
        "--rbrm",
        &grader,
        "--rule-weight",
        "4",
        "--reward-weight",
        "0.25",
        "--beta",
        "0.2",
    ];
    ppo(&at("ppo_rbrm"), &rules)?;

    let table = at("safety.json");
    let stages =
        [("base", base.clone()), ("sft", sft.clone()), ("ppo", at("ppo")), ("ppo_rbrm", at("ppo_rbrm"))];
    let stages = stages.map(|(name, model)| format!("{name}={model}"));
    let held_out = file("held-out.jsonl");
    let limit = sizes.asked.to_string();
    let words = ["--prompts", &held_out, "--out", &table, "--limit", &limit];
    let stages: Vec<&str> = stages.iter().map(String::as_str).collect();
    command(&[&["safety"][..], &stages, &words, &common].concat())?;
    talk(format_args!("\nchat with it:\n  {} chat {}", program(), shell_word(&out.join("ppo_rbrm"))));
    Ok(())
}

/// A command as if it had been typed.
fn command(words: &[&str]) -> anyhow::Result<()> {
    let typed = std::iter::once("maquette").chain(words.iter().copied());
    let shown = words.join(" ");
    talk(format_args!("\n{} {shown}", program()));
    Cli::try_parse_from(typed)?.run_command()
}
