//! `maquette report`

use std::path::PathBuf;

/// Build the report of a run again, from its files
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of a finished run, such as runs/quickstart
    run: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    crate::output::line(crate::report::write(&args.run)?.display())
}
