//! `maquette standin`

use std::path::{Path, PathBuf};

use align::{environment::Side, standin};
use serde_json::Value;

use crate::{output, run_dir::write_whole};

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
    /// Random seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Says what the folder is; by it the command knows its own.
const ABOUT: &str = "SYNTHETIC.md";
const TEXT: &str = "# Synthetic conversations\n\nWritten by `maquette standin`. Nobody said any of this: requests, answers and labels are \
    drawn from a small grammar. What is called disallowed stands for what a policy would disallow.\n";

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!(
        (10..=1_000_000).contains(&args.rows),
        "--rows must be from 10 to 1,000,000, found {}\nhint: leave it out for the default",
        args.rows
    );
    write(&args.out, args.rows, args.seed)?;
    output::words(format_args!("{}", args.out.display()))
}

/// Writes the folder.
pub(super) fn write(dir: &Path, n: u64, seed: u64) -> anyhow::Result<()> {
    let is_ours = dir.join(ABOUT).is_file();
    let is_empty = std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
    anyhow::ensure!(
        is_ours || is_empty,
        "expected a new folder, or one that this command wrote, at `{}`, found other files\nhint: choose another folder with --out",
        dir.display()
    );
    base::disk::create_dir_all(dir)?;
    write_whole(&dir.join(ABOUT), TEXT.as_bytes())?;
    write_whole(&dir.join("classes.yaml"), standin::CLASSES.as_bytes())?;
    let lines =
        |n: u64, row: &dyn Fn(u64) -> Value| (0..n).map(|i| format!("{}\n", row(i))).collect::<String>();
    let files = [
        ("sft.jsonl", lines(n, &|i| standin::conversation(seed, i))),
        ("pairs.jsonl", lines(n, &|i| standin::pair(seed, i))),
        ("prompts.jsonl", lines(n, &|i| standin::prompt(Side::Training, seed, i))),
        ("held-out.jsonl", lines(n, &|i| standin::prompt(Side::HeldOut, seed, i))),
        ("gold-fit.jsonl", lines(400, &|i| standin::gold(Side::Training, seed, i))),
        ("gold-test.jsonl", lines(400, &|i| standin::gold(Side::HeldOut, seed, i))),
    ];
    for (name, text) in files {
        write_whole(&dir.join(name), text.as_bytes())?;
    }
    Ok(())
}
