//! `maquette data`

use std::path::PathBuf;

use clap::Subcommand;

use super::RunOptions;
use crate::pipeline::{PrepareData, TrainTokenizer};

/// Turn text into token shards
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
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Action::Prepare { recipe, options } = &args.action;
    options.run(recipe, &[&TrainTokenizer, &PrepareData])
}
