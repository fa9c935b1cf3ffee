//! `maquette bench`

mod train;

use clap::Subcommand;

/// Measure this machine at the work of the program
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Whole training steps of a model of any shape, on random tokens
    Train(train::Args),
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.action {
        Action::Train(args) => train::run(args),
    }
}
