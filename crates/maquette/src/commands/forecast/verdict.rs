//! `maquette forecast verdict`

use std::path::PathBuf;

use anyhow::Context as _;
use forecast::{Actual, Verdict};

use super::{PlotOption, check};
use crate::{
    output,
    output_file::{Kind, OutputFile},
    report::Picture,
    run_dir::{self, Begun, judged_answers, read_named_seal},
};

/// Compare a sealed forecast with the finished run
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A sealed forecast
    forecast: PathBuf,
    /// Final loss of the run, in the unit of the points
    #[arg(long, value_name = "LOSS", allow_negative_numbers = true)]
    actual: Option<f64>,
    /// Folder of the finished run, instead of its loss
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// Where to write the verdict as JSON
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
    #[command(flatten)]
    plot: PlotOption,
    /// Print the verdict as JSON on stdout
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let out = args.out.as_deref().map(|path| OutputFile { path, option: "--out", kind: Kind::Verdict });
    check([out, args.plot.file()])?;
    let seal = read_named_seal(&args.forecast)?;
    let (actual, answers) = match (args.actual, &args.run) {
        (Some(loss), None) => (Actual { loss, flops: None, first_step_at: None }, Vec::new()),
        (None, Some(dir)) => {
            let summary = run_dir::summary(dir)?;
            run_dir::check(dir, &args.forecast, &seal)?;
            let actual = Actual {
                loss: summary.validation.loss_nats,
                flops: Some(run_dir::of_text(dir, &summary).1),
                first_step_at: Begun::read(dir)?.at(),
            };
            (actual, judged_answers(&seal, &summary)?)
        }
        (given, _) => anyhow::bail!(
            "expected the final loss of the run once, found it {}\nhint: give --actual LOSS or --run DIR",
            if given.is_some() { "twice" } else { "nowhere" }
        ),
    };
    let verdict = Verdict::new(&seal, actual)?.with_parts(answers);
    let json = serde_json::to_string_pretty(&verdict).context("writing the verdict")?;
    if let Some(out) = out {
        out.write(format!("{json}\n").as_bytes())?;
    }
    args.plot.draw(&Picture::sealed(&seal, Some(&verdict)))?;
    if args.json { output::json_line(&json) } else { output::words(described(&verdict)) }
}

fn described(verdict: &Verdict) -> String {
    let yes = |is_inside| if is_inside { "contains it" } else { "does not contain it" };
    let p = &verdict.predicted;
    let line =
        |percent, low, high, is_inside| format!("  {percent} %    {low:.4} to {high:.4} {}", yes(is_inside));
    let answers = verdict.parts.iter().map(|part| format!("answers about pictures: {part}\n"));
    [
        format!("forecast  {:.4}", p.median),
        format!("actual    {:.4}", verdict.actual),
        format!("error     {:+.2} %", verdict.error_pct),
        format!("quantile  {:.3}", verdict.quantile),
        line(50, p.lo50, p.hi50, verdict.inside.i50),
        line(80, p.lo80, p.hi80, verdict.inside.i80),
        line(95, p.lo95, p.hi95, verdict.inside.i95),
        format!("seal      {}", verdict.seal),
        answers.collect(),
        verdict.learned.join("\n"),
    ]
    .join("\n")
}
