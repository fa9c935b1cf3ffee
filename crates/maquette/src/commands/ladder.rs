//! `maquette ladder`

use std::path::PathBuf;

use super::RunOptions;
use crate::pipeline::Stage;

/// Train the small runs that predict a recipe's run, on prepared data
///
/// The cost is printed first. Small runs that are finished are kept. `[ladder]` in the recipe sets how many there are.
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
    let stages: &[Stage] = if args.seal { &[Stage::Ladder, Stage::Forecast] } else { &[Stage::Ladder] };
    args.options.run(&args.recipe, stages)
}
