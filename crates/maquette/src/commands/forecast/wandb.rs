//! `maquette forecast import wandb`

use std::path::PathBuf;

use anyhow::Context as _;

use super::{ColumnOptions, points_file::Out};
use crate::input_file;

/// From the CSV that Weights & Biases exports of a table of runs, or any other table
///
/// Columns are found by their usual names, such as Name, n_params, total_tokens, total_gflops and eval/loss; how they
/// were read is printed. Runs that crashed, are still running or have no loss are named and left out.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The export
    export: PathBuf,
    #[command(flatten)]
    out: Out,
    #[command(flatten)]
    columns: Box<ColumnOptions>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let bytes = input_file::read(&args.export).with_context(|| {
        format!(
            "expected a CSV export at `{}`\nhint: in the table of runs choose Export, then CSV",
            args.export.display()
        )
    })?;
    let table = args.columns.table(&bytes).with_context(|| format!("in `{}`", args.export.display()))?;
    args.out.write(&table)
}
