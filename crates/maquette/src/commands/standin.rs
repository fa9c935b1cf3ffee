//! `maquette standin`

use std::path::{Path, PathBuf};

use align::{
    environment::{Environment, Side, Teachers, demonstration},
    standin,
};
use serde_json::Value;

use super::policy::BuiltIn;
use crate::{output, own_folder, run_dir::write_whole};

/// Write a synthetic stand-in for chats and requests, of which everything is known
///
/// Conversations of a careless teacher, preferences, prompts with labels (disallowed, allowed, look-alike), held-out prompts about
/// other things in other words, and labelled answers. Requests are about harmless things; every row is marked synthetic.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder for the files
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Conversations; as many prompts
    #[arg(long, value_name = "N", default_value_t = 2000)]
    rows: u64,
    /// Held-out prompts; as many as conversations if not given
    #[arg(long, value_name = "N")]
    held_out: Option<u64>,
    /// Instead, conversations of a teacher in an environment that is built in: DIR/sft.jsonl
    #[arg(long, value_enum, value_name = "NAME", conflicts_with = "held_out")]
    env: Option<BuiltIn>,
    /// Part of these in which the teacher knows how; in the others, the form of an answer alone
    #[arg(long, value_name = "PART", default_value_t = 0.05, requires = "env")]
    right: f64,
    /// Part that is an expert's instead, who always knows how: a system message says so
    #[arg(long, value_name = "PART", default_value_t = 0.0, requires = "env")]
    expert: f64,
    /// Random seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Says what the folder is; by it the command knows its own.
const ABOUT: &str = "SYNTHETIC.md";
const TEXT: &str = "# Synthetic conversations\n\nWritten by `maquette standin`. Nobody said any of this: requests, answers and labels are \
    drawn from a small grammar. What is called disallowed stands for what a policy would disallow.\n";

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let held_out = args.held_out.unwrap_or(args.rows);
    for (option, n) in [("rows", args.rows), ("held-out", held_out)] {
        anyhow::ensure!(
            (10..=1_000_000).contains(&n),
            "--{option} must be from 10 to 1,000,000, found {n}\nhint: leave it out for the default"
        );
    }
    match args.env {
        None => write(&args.out, args.rows, held_out, args.seed)?,
        Some(env) => write_demonstrations(args, &*env.environment())?,
    }
    output::words(format_args!("{}", args.out.display()))
}

/// Writes what teachers do in an environment.
fn write_demonstrations(args: &Args, environment: &dyn Environment) -> anyhow::Result<()> {
    let teachers = Teachers { right: args.right, expert: args.expert };
    for (option, part) in [("right", teachers.right), ("expert", teachers.expert)] {
        anyhow::ensure!(
            (0.0..=1.0).contains(&part),
            "--{option} must be from 0 to 1, found {part}\nhint: leave it out for the default"
        );
    }
    own_folder::open(&args.out, ABOUT, TEXT)?;
    let mut lines = String::new();
    for n in 0..args.rows {
        let row = demonstration(environment, n, args.seed, teachers)?;
        lines.extend(row.map(|row| format!("{row}\n")));
    }
    write_whole(&args.out.join("sft.jsonl"), lines.as_bytes())
}

/// Writes the folder.
fn write(dir: &Path, n: u64, held_out: u64, seed: u64) -> anyhow::Result<()> {
    own_folder::open(dir, ABOUT, TEXT)?;
    write_whole(&dir.join("classes.yaml"), standin::CLASSES.as_bytes())?;
    let lines =
        |n: u64, row: &dyn Fn(u64) -> Value| (0..n).map(|i| format!("{}\n", row(i))).collect::<String>();
    let files = [
        ("sft.jsonl", lines(n, &|i| standin::conversation(seed, i))),
        ("pairs.jsonl", lines(n, &|i| standin::pair(seed, i))),
        ("prompts.jsonl", lines(n, &|i| standin::prompt(Side::Training, seed, i))),
        ("held-out.jsonl", lines(held_out, &|i| standin::prompt(Side::HeldOut, seed, i))),
        ("gold-fit.jsonl", lines(400, &|i| standin::gold(Side::Training, seed, i))),
        ("gold-test.jsonl", lines(400, &|i| standin::gold(Side::HeldOut, seed, i))),
    ];
    for (name, text) in files {
        write_whole(&dir.join(name), text.as_bytes())?;
    }
    Ok(())
}
