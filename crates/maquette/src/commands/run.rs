//! `maquette run`

use std::path::PathBuf;

use super::{RunOptions, stages};
use crate::recipe::Recipe;

/// Run all stages of a recipe
///
/// Stages whose inputs are unchanged are skipped. The same command resumes an interrupted run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A recipe, such as recipes/shakespeare-char.toml; or a text file or a folder of texts, for which a recipe is made
    recipe: PathBuf,
    /// Minutes of training on this machine, instead of the recipe's budget
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    /// Run only these stages; their inputs must exist
    #[arg(long, value_name = "STAGE", value_delimiter = ',', value_parser = stages::parser())]
    only: Vec<String>,
    #[command(flatten)]
    options: RunOptions,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let recipe = Recipe::read(&args.recipe, &args.options.changes(args.minutes))?;
    let stages = if args.only.is_empty() { stages::of(&recipe) } else { stages::named(&args.only) };
    args.options.run_recipe(recipe, &stages)
}
