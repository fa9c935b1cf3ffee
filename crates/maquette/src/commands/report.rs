//! `maquette report`

use std::path::PathBuf;

use crate::output;

/// Rebuild the report of a run, or of an alignment, from its files
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of a finished run, such as runs/quickstart, or the result of `maquette align`
    run: PathBuf,
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let page = crate::report::write(&args.run)?;
    if args.json {
        return output::json(&serde_json::json!({ "report": page }));
    }
    output::line(page.display())
}
