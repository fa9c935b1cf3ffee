//! `maquette pretrain`

use std::path::PathBuf;

use super::RunOptions;
use crate::pipeline::{Pretrain, WriteSamples};

/// Train the model of a recipe on prepared data
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A recipe, such as recipes/quickstart.toml
    recipe: PathBuf,
    #[command(flatten)]
    options: RunOptions,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    args.options.run(&args.recipe, &[&Pretrain, &WriteSamples])
}
