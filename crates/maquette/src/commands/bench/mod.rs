//! `maquette bench`

mod decode;
mod kernels;
mod operations;
mod serve;
mod shape;
mod timing;
mod train;
mod watch;

use clap::Subcommand;

/// Measure how fast this machine trains and decodes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Whole training steps of a model of any shape, on random tokens
    Train(train::Args),
    Decode(decode::Args),
    Kernels(kernels::Args),
    Serve(serve::Args),
    Watch(watch::Args),
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.action {
        Action::Train(args) => train::run(args),
        Action::Decode(args) => decode::run(args),
        Action::Kernels(args) => kernels::run(args),
        Action::Serve(args) => serve::run(args),
        Action::Watch(args) => watch::run(args),
    }
}

/// Refuses a count of nothing, by the name of its option.
fn at_least_one(option: &str, found: usize) -> anyhow::Result<()> {
    anyhow::ensure!(found > 0, "`{option}` must be at least 1, found 0\nhint: leave it out for the default");
    Ok(())
}

/// The middle one of what was measured, or between the two in the middle; sorts them.
fn median(measured: &mut [f64]) -> f64 {
    measured.sort_by(f64::total_cmp);
    (measured[(measured.len() - 1) / 2] + measured[measured.len() / 2]) / 2.0
}
