//! `maquette tokenizer`

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use data::Tokenizer;

use super::RunOptions;
use crate::{output, pipeline::TrainTokenizer};

/// Train a vocabulary, or encode text with one
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Train the vocabulary of a recipe on its sources
    Train {
        /// A recipe, such as recipes/quickstart.toml
        recipe: PathBuf,
        #[command(flatten)]
        options: RunOptions,
    },
    /// Turn each line of a file into token ids; special tokens are not recognised in it
    Encode {
        /// A folder with a tokenizer.json, such as a checkpoint; or the folder of a run
        tokenizer: PathBuf,
        /// A text file, in UTF-8 or UTF-16
        file: PathBuf,
        /// Print one JSON array per line, instead of ids separated by spaces
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.action {
        Action::Train { recipe, options } => options.run(recipe, &[&TrainTokenizer]),
        Action::Encode { tokenizer, file, json } => {
            let tokenizer = Tokenizer::load(&folder_of(tokenizer))?;
            let bytes = std::fs::read(file)
                .with_context(|| format!("cannot read `{}`\nhint: check the path", file.display()))?;
            let text = data::text_of(file, bytes)?;
            // Lines end at a line feed alone: a carriage return may be part of the text.
            for line in text.strip_suffix('\n').unwrap_or(&text).split('\n') {
                let ids = tokenizer.encode(line);
                if *json {
                    output::line(serde_json::to_string(&ids)?)?;
                } else {
                    output::line(ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" "))?;
                }
            }
            Ok(())
        }
    }
}

/// Of a run its tokenizer's folder; else what was given.
fn folder_of(path: &Path) -> PathBuf {
    let of_run = path.join("tokenizer");
    let is_run = !path.join("tokenizer.json").is_file() && of_run.join("tokenizer.json").is_file();
    if is_run { of_run } else { path.to_owned() }
}
