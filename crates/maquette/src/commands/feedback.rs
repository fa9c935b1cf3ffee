//! `maquette feedback`

use std::path::PathBuf;

use align::{OnRow, read_prompts};
use tensor::Cpu;

use super::generate::SamplingOptions;
use crate::{
    feedback::{Drawn, Session, ask, serve},
    open_model,
    output::{program, shell_word, talk},
    progress,
};

/// Compare answers of a model, or write better ones: in the terminal, or on a page
///
/// For each prompt the model gives two answers. What you say is added at once to DIR/pairs.jsonl, which `maquette reward` and `maquette
/// dpo` read, and better answers to DIR/better.jsonl, for `maquette sft`. The same command goes on where it was left.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of a fine-tuned model, of a checkpoint, or of a run
    model: PathBuf,
    /// Prompts: .jsonl or .json with `prompt` or `messages`, also .gz and .zst
    #[arg(long, value_name = "FILE", required = true, value_delimiter = ',')]
    prompts: Vec<PathBuf>,
    /// Folder for what you say
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Ask on a page in the browser instead of the terminal; this machine alone can open it
    #[arg(long)]
    page: bool,
    /// Port of the page; 0 takes any that is free
    #[arg(long, value_name = "PORT", default_value_t = 0, requires = "page")]
    port: u16,
    /// Most tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 128)]
    max_tokens: usize,
    #[command(flatten)]
    sampling: SamplingOptions,
    /// Leave rows out that cannot be read, and count them
    #[arg(long)]
    skip_bad_rows: bool,
    /// Compute threads; 0 uses every core. Results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let on_row = if args.skip_bad_rows { OnRow::Skip } else { OnRow::Refuse };
    let read = read_prompts(&args.prompts, on_row)?;
    anyhow::ensure!(!read.rows.is_empty(), "expected prompts, found none\nhint: look at the file");
    let sampling = args.sampling.sampling();
    sampling.validate()?;
    anyhow::ensure!(
        sampling.temperature > 0.0,
        "--temperature must be above 0: both answers would be the same\nhint: leave it out for the default"
    );
    anyhow::ensure!(
        args.max_tokens > 0,
        "--max-tokens must be at least 1, found 0\nhint: leave it out for the default"
    );
    let kernels = Cpu::new(args.threads);
    let dtype = crate::pipeline::default_precision(tensor::Isa::current());
    let opened = open_model::open(&args.model, &kernels, dtype.into())?;
    let prompts: Vec<_> = read.rows.into_iter().map(|prompt| prompt.messages).collect();
    progress::say("feedback", &format!("{} prompts", prompts.len()));
    let penalties = (args.sampling.frequency_penalty, args.sampling.presence_penalty);
    let drawn = Drawn { sampling, penalties, max_tokens: args.max_tokens, seed: args.sampling.seed };
    let mut session = Session::new(opened, kernels, prompts, drawn, &args.out)?;
    match args.page {
        true => serve(&mut session, args.port)?,
        false => ask(&mut session, &mut std::io::stdin().lock())?,
    }
    let pairs = args.out.join("pairs.jsonl");
    if pairs.is_file() {
        talk(format_args!(
            "\nlearn from it:\n  {} reward {} --data {} --out rm",
            program(),
            shell_word(&args.model),
            shell_word(&pairs)
        ));
    }
    Ok(())
}
