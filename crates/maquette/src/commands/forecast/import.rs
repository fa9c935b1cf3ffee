//! `maquette forecast import`

use std::path::PathBuf;

use clap::Subcommand;
use forecast::Table;

use super::{points_file::Out, wandb};
use crate::run_dir;

/// Make a table of points from exports of other tools or from earlier runs
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    Wandb(wandb::Args),
    Runs(Runs),
}

/// From run folders of this program: their rungs, and the runs themselves where they are finished
#[derive(Debug, clap::Args)]
struct Runs {
    /// Folders of runs
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    #[command(flatten)]
    out: Out,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.from {
        From::Wandb(args) => wandb::run(args),
        From::Runs(args) => {
            let mut points = Vec::new();
            for dir in &args.runs {
                points.extend(run_dir::points(dir)?);
            }
            args.out.write(&Table::new(points)?)
        }
    }
}
