//! `maquette forecast`

mod backtest;
mod columns;
mod fit;
mod import;
mod points_file;
mod seal;
mod verdict;
mod verify;
mod wandb;
mod watch;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use forecast::{
    Forecast, Forecaster, LawChoice, Prediction, ReferenceRuns, Settings, Table, Target, Warning, WarningKind,
};

use self::columns::ColumnOptions;
use crate::{
    input_file, output,
    output_file::{self, Kind, OutputFile},
    report::{Picture, with_margin},
    run_dir,
};

/// Forecast the loss of a large run from small ones, seal it, and compare it with the result
///
/// Points come as CSV with the columns run,n_params,n_tokens,flops,loss[,seed], from this program or any other trainer;
/// other usual names, delimiters, encodings and JSON are recognised. Every assumption about the table is printed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Fit(fit::Args),
    Backtest(backtest::Args),
    Seal(seal::Args),
    Verify(verify::Args),
    Watch(watch::Args),
    Verdict(verdict::Args),
    Import(import::Args),
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.action {
        Action::Fit(args) => fit::run(args),
        Action::Backtest(args) => backtest::run(args),
        Action::Seal(args) => seal::run(args),
        Action::Verify(args) => verify::run(args),
        Action::Watch(args) => watch::run(args),
        Action::Verdict(args) => verdict::run(args),
        Action::Import(args) => import::run(args),
    }
}

/// More of them say nothing new, and a sealed forecast holds every one.
const MAX_DRAWS: usize = 100_000;

/// Which laws may compete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Law {
    /// all that the points allow, weighted by how well they predict the larger runs from the smaller ones
    #[default]
    Auto,
    /// laws in compute
    Compute,
    /// the law in parameters and tokens with two exponents
    Chinchilla,
}

/// How to fit.
#[derive(Debug, clap::Args)]
struct FitOptions {
    /// Laws to fit
    #[arg(long, value_enum, default_value_t)]
    law: Law,
    /// The irreducible loss, where it is known; fitted otherwise
    #[arg(long, value_name = "LOSS", allow_negative_numbers = true)]
    irreducible: Option<f64>,
    /// Draws from the predictive distribution
    #[arg(long, value_name = "N", default_value_t = Settings::default().n_draws)]
    draws: usize,
    /// Random seed
    #[arg(long, value_name = "N", default_value_t = Settings::default().seed)]
    seed: u64,
    /// Finished runs of the same design on other data, a table or the folder of a run, which show how the curve bends
    /// beyond the points; may be repeated
    #[arg(long, value_name = "POINTS.csv|RUN")]
    reference: Vec<PathBuf>,
}

impl FitOptions {
    /// Refuses what no fit to `table` can make sense of.
    fn settings(&self, table: &Table) -> anyhow::Result<Settings> {
        anyhow::ensure!(
            self.draws <= MAX_DRAWS,
            "expected at most {MAX_DRAWS} draws for `--draws`, found {}\n\
             hint: 1000 give the 95 % interval to a few hundredths of its width",
            self.draws
        );
        let least = table.points().iter().map(|point| point.loss).fold(f64::INFINITY, f64::min);
        if let Some(floor) = self.irreducible.filter(|floor| *floor >= least) {
            anyhow::bail!(
                "expected `--irreducible` below the least loss of the runs, {least}, found {floor}\n\
                 hint: leave it out to have it fitted"
            );
        }
        let law = match self.law {
            Law::Auto => LawChoice::Auto,
            Law::Compute => LawChoice::Compute,
            Law::Chinchilla => LawChoice::Chinchilla,
        };
        Ok(Settings { law, n_draws: self.draws, seed: self.seed, irreducible: self.irreducible })
    }
}

impl FitOptions {
    /// The reference runs that were given.
    fn references(&self) -> anyhow::Result<Vec<ReferenceRuns>> {
        self.reference.iter().map(|path| run_dir::reference_runs(path)).collect()
    }
}

/// Which run to forecast.
#[derive(Debug, clap::Args)]
struct TargetOptions {
    /// Training compute of the run to forecast, in FLOPs
    #[arg(long, value_name = "FLOPS", allow_negative_numbers = true)]
    at_flops: Option<f64>,
    /// Parameters of the run to forecast, counted as in the points
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    at_params: Option<f64>,
    /// Tokens of the run to forecast
    #[arg(long, value_name = "D", allow_negative_numbers = true)]
    at_tokens: Option<f64>,
}

impl TargetOptions {
    fn target(&self) -> anyhow::Result<Target> {
        match (self.at_flops, self.at_params, self.at_tokens) {
            (Some(flops), None, None) => Ok(Target::at_flops(flops)?),
            (None, Some(n_params), Some(n_tokens)) => Ok(Target::at_shape(n_params, n_tokens)?),
            (None, None, None) => anyhow::bail!(
                "expected a run to forecast, found none\nhint: give --at-flops, or --at-params and --at-tokens"
            ),
            (None, ..) => anyhow::bail!(
                "expected --at-params and --at-tokens, found one of them\n\
                 hint: give both, or only --at-flops"
            ),
            (Some(_), ..) => anyhow::bail!(
                "expected one way to name the run to forecast, found two\n\
                 hint: give --at-flops, or --at-params and --at-tokens"
            ),
        }
    }
}

/// Reads a table of points whose units can be right.
fn read_table(path: &Path, columns: &ColumnOptions) -> anyhow::Result<Table> {
    let bytes = input_file::read(path).with_context(|| {
        format!(
            "expected a table of runs at `{}`\nhint: give a CSV file with the columns \
             run,n_params,n_tokens,flops,loss; `maquette forecast import` makes one",
            path.display()
        )
    })?;
    columns.table(&bytes).with_context(|| format!("in `{}`", path.display()))
}

/// Fits what `options` allow to a table read from `path`.
fn fit(table: &Table, options: &FitOptions, path: &Path) -> anyhow::Result<Forecaster> {
    let fitted = Forecaster::fit(table, &options.settings(table)?, &options.references()?);
    if fitted.is_err() {
        // What was left out may be what is missing.
        warn(table.warnings());
    }
    fitted.with_context(|| format!("in `{}`", path.display()))
}

/// Where to draw.
#[derive(Debug, clap::Args)]
struct PlotOption {
    /// Plot runs, law, intervals and forecast to an SVG file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

impl PlotOption {
    fn file(&self) -> Option<OutputFile<'_>> {
        self.plot.as_deref().map(|path| OutputFile { path, option: "--plot", kind: Kind::Plot })
    }

    fn draw(&self, picture: &Picture) -> anyhow::Result<()> {
        let Some(file) = self.file() else { return Ok(()) };
        file.write(picture.file().as_bytes())?;
        output::talk(format_args!("wrote {}", file.path.display()));
        Ok(())
    }
}

/// Refuses outputs that cannot be written, before anything is computed.
fn check<'a>(files: impl IntoIterator<Item = Option<OutputFile<'a>>>) -> anyhow::Result<()> {
    let files: Vec<OutputFile> = files.into_iter().flatten().collect();
    output_file::check_distinct(&files)?;
    files.iter().try_for_each(OutputFile::check)
}

fn warn(warnings: &[Warning]) {
    for Warning { kind, text } in warnings {
        match kind {
            WarningKind::Columns => output::talk(text),
            _ => output::talk(format_args!("warning: {text}")),
        }
    }
}

/// A forecast in lines.
fn described(forecast: &Forecast) -> String {
    let mut lines = vec![format!("law       {}   ({})", forecast.formula, forecast.law)];
    for (name, value) in &forecast.coefficients {
        lines.push(match forecast.standard_errors.get(name) {
            Some(error) => {
                let (value, error) = with_margin(*value, *error);
                format!("  {name:<7} {value} ± {error}")
            }
            None => format!("  {name:<7} {value:.4}"),
        });
    }
    for other in forecast.laws.iter().filter(|law| law.weight > 0.0) {
        let error = other
            .cross_validation_error_pct
            .map_or(String::new(), |e| format!(", cross-validation error {e:.2} %"));
        lines.push(format!(
            "weight    {:.2} {} ({}), its own forecast {:.4}{error}",
            other.weight, other.formula, other.law, other.median
        ));
    }
    lines.push(format!(
        "fitted    {} runs of {} configurations, residual standard deviation {:.2} %",
        forecast.n_points, forecast.n_configurations, forecast.residual_pct
    ));
    lines.push(format!("target    {}", described_target(forecast)));
    lines.push(described_prediction(&forecast.prediction));
    lines.join("\n")
}

fn described_target(forecast: &Forecast) -> String {
    let target = &forecast.target;
    let shape = target.n_params.zip(target.n_tokens).map_or(String::new(), |(n_params, n_tokens)| {
        format!(", {n_params:.3e} parameters on {n_tokens:.3e} tokens")
    });
    let ratio = match forecast.extrapolation {
        x @ 0.01..1e5 => format!("{x:.1}"),
        x => format!("{x:.2e}"),
    };
    format!("{:.3e} FLOPs{shape}: {ratio} times the compute of the largest run", target.flops)
}

fn described_prediction(p: &Prediction) -> String {
    let (a, b, c, d, e, f) = (p.lo50, p.hi50, p.lo80, p.hi80, p.lo95, p.hi95);
    format!(
        "forecast  {:.4}\n  50 %    {a:.4} to {b:.4}\n  80 %    {c:.4} to {d:.4}\n  95 %    {e:.4} to {f:.4}",
        p.median
    )
}
