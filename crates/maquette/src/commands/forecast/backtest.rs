//! `maquette forecast backtest`

use std::path::PathBuf;

use anyhow::Context as _;
use forecast::{Backtest, backtest};

use super::{ColumnOptions, FitOptions, read_table, warn};
use crate::output;

/// Forecast finished runs from smaller ones, and count how often the intervals contain the results
///
/// Without a threshold the largest compute is divided by 1000, 300, 100, 30, 10 and 3 in turn: runs up to there are
/// fitted, all above are forecast.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Table of finished runs
    points: PathBuf,
    /// Fit runs up to this compute, forecast those above it
    #[arg(long, value_name = "FLOPS", allow_negative_numbers = true)]
    fit_max_flops: Option<f64>,
    #[command(flatten)]
    fit: FitOptions,
    #[command(flatten)]
    columns: Box<ColumnOptions>,
    /// Print every forecast and the coverage as JSON on stdout
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(found) = args.fit_max_flops {
        anyhow::ensure!(
            found.is_finite() && found > 0.0,
            "expected a finite number above 0 for `--fit-max-flops`, found {found}\n\
             hint: leave it out to try several thresholds in turn"
        );
    }
    let table = read_table(&args.points, &args.columns)?;
    warn(table.warnings());
    let found = backtest(&table, args.fit_max_flops, &args.fit.settings(&table)?, &args.fit.references()?)
        .with_context(|| format!("in `{}`", args.points.display()))?;
    if args.json {
        let mut shown = serde_json::to_value(&found)?;
        if let Some(entries) = shown.as_object_mut() {
            entries.insert("warnings".to_owned(), serde_json::to_value(table.warnings())?);
        }
        return output::json(&shown);
    }
    output::words(described(&found))
}

fn described(found: &Backtest) -> String {
    let width = found.points.iter().map(|point| point.run.chars().count()).max().unwrap_or(0).max(3);
    let mut lines = vec![format!(
        "{:<width$}  {:>9}  {:>9}  {:>8}  {:>8}  {:>7}  {:<20}  in",
        "run", "flops", "fitted to", "actual", "forecast", "error", "80 %"
    )];
    for point in &found.points {
        let p = &point.prediction;
        let inside = [50, 80, 95].into_iter().find(|percent| p.covers(*percent, point.actual));
        lines.push(format!(
            "{:<width$}  {:>9.2e}  {:>9.2e}  {:>8.4}  {:>8.4}  {:>+6.2}%  {:<20}  {}",
            point.run,
            point.flops,
            point.fit_max_flops,
            point.actual,
            p.median,
            100.0 * (p.median / point.actual - 1.0),
            format!("{:.4} to {:.4}", p.lo80, p.hi80),
            inside.map_or("none".to_owned(), |percent| format!("{percent} %")),
        ));
    }
    let c = &found.coverage;
    lines.push(format!(
        "\n{} forecasts: the 50, 80 and 95 % intervals contain {:.0}, {:.0} and {:.0} % of the losses; median error {:.2} %, \
         median width of the 80 % interval {:.2} %",
        found.points.len(),
        100.0 * c.c50,
        100.0 * c.c80,
        100.0 * c.c95,
        found.median_abs_error_pct,
        found.median_width80_pct
    ));
    lines.join("\n")
}
