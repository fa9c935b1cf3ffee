//! `maquette forecast fit`

use std::path::PathBuf;

use forecast::band;

use super::{ColumnOptions, FitOptions, PlotOption, TargetOptions, check, described, fit, read_table, warn};
use crate::{output, report::Picture};

/// Fit a scaling law to finished runs and forecast a larger one
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Table of finished runs
    points: PathBuf,
    #[command(flatten)]
    target: TargetOptions,
    #[command(flatten)]
    fit: FitOptions,
    #[command(flatten)]
    columns: Box<ColumnOptions>,
    #[command(flatten)]
    plot: PlotOption,
    /// Print law, coefficients and intervals as JSON on stdout
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let target = args.target.target()?;
    check([args.plot.file()])?;
    let table = read_table(&args.points, &args.columns)?;
    let fitted = fit(&table, &args.fit, &args.points)?;
    let forecast = fitted.forecast(&target)?;
    warn(&forecast.warnings);
    if args.plot.plot.is_some() {
        let band = band(&fitted, &table, &target)?;
        let (runs, band) = (table.points(), &band[..]);
        args.plot.draw(&Picture { runs, band, forecast: &forecast, is_sealed: false, actual: None })?;
    }
    if !args.json {
        return output::words(described(&forecast));
    }
    let mut shown = serde_json::to_value(&forecast)?;
    if let Some(entries) = shown.as_object_mut() {
        // A thousand lines that the seed gives again; a sealed forecast keeps them.
        entries.remove("draws");
    }
    output::json(&shown)
}
