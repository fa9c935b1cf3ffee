//! `maquette data`

use std::path::PathBuf;

use clap::Subcommand;

use super::{RunOptions, pictures};
use crate::pipeline::{PrepareData, TrainTokenizer};

/// Turn text into token shards; draw pictures to train on
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Read, filter, split and tokenize the sources of a recipe, with its tokenizer
    Prepare {
        /// A recipe, such as recipes/quickstart.toml
        recipe: PathBuf,
        #[command(flatten)]
        options: RunOptions,
    },
    Pictures(pictures::Args),
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.action {
        Action::Prepare { recipe, options } => options.run(recipe, &[&TrainTokenizer, &PrepareData]),
        Action::Pictures(args) => pictures::run(args),
    }
}
