//! `maquette ladder`

use std::path::PathBuf;

use super::RunOptions;
use crate::pipeline::{SealForecast, TrainLadder};

/// Train the small runs that predict a recipe's run, on prepared data
///
/// The cost is printed first. Finished small runs are kept. `[ladder]` in the recipe sets how many there are.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A recipe with a budget, such as recipes/thousandfold.toml
    recipe: PathBuf,
    /// Seal the forecast of the run as well
    #[arg(long)]
    seal: bool,
    #[command(flatten)]
    options: RunOptions,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match args.seal {
        true => args.options.run(&args.recipe, &[&SealForecast { is_optional: false }]),
        false => args.options.run(&args.recipe, &[&TrainLadder]),
    }
}
