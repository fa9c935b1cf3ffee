//! `maquette quickstart`

use super::{RunOptions, stages};
use crate::recipe::Recipe;

/// Train a small GPT on the books that ship with the project: the default recipe
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Minutes of training on this machine
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    #[command(flatten)]
    options: RunOptions,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let changes = args.options.changes(args.minutes);
    let recipe = Recipe::quickstart(&changes)?;
    let stages = stages::of(&recipe);
    args.options.run_recipe(recipe, &stages)
}
