//! `maquette rbrm`

use std::path::PathBuf;

use align::{
    OnRow,
    rbrm::{Classes, PropositionScore, RbrmFile, fit, read_gold, validate},
};
use serde_json::json;

use crate::{
    output,
    output_file::{Kind, OutputFile},
    progress,
};

/// Make a rule-based reward: validate its rules on labelled answers, and fit what each proposition counts
///
/// Answers are rows of `prompt`, `completion`, `response_type` and `propositions`, as OpenAI published them; classes of answers are
/// a file of propositions in YAML. The result is a grader that `maquette ppo --rule rbrm --rbrm FILE` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file of propositions and classes, in YAML
    classes: PathBuf,
    /// Labelled answers that the rules are validated on
    #[arg(long, value_name = "FILE", required = true, value_delimiter = ',')]
    gold: Vec<PathBuf>,
    /// Labelled answers that the weights are fitted on
    #[arg(long, value_name = "FILE", required = true, value_delimiter = ',')]
    fit: Vec<PathBuf>,
    /// File for the grader
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Leave rows out that cannot be read, and count them
    #[arg(long)]
    skip_bad_rows: bool,
    /// Random seed of the intervals
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let out = OutputFile { path: &args.out, option: "--out", kind: Kind::Grader };
    out.check()?;
    let classes = Classes::read(&args.classes)?;
    let on_row = if args.skip_bad_rows { OnRow::Skip } else { OnRow::Refuse };
    let (gold, to_fit) = (read_gold(&args.gold, on_row)?, read_gold(&args.fit, on_row)?);
    for (what, read) in [("gold", &gold), ("fit", &to_fit)] {
        anyhow::ensure!(
            !read.rows.is_empty(),
            "expected labelled answers with --{what}, found none\nhint: look at the file"
        );
        let left_out =
            if read.dropped.0.is_empty() { String::new() } else { format!("; left out: {}", read.dropped) };
        progress::say(what, &format!("{} labelled answers{left_out}", read.rows.len()));
    }
    let file = RbrmFile {
        grader: "rules".into(),
        weights: fit(&classes, &to_fit.rows),
        validation: validate(&gold.rows, args.seed),
    };
    anyhow::ensure!(
        !file.weights.is_empty(),
        "expected labelled answers that fall into classes, found none\nhint: is the file of classes for other propositions?"
    );
    let mut json = serde_json::to_vec_pretty(&file)?;
    json.push(b'\n');
    out.write(&json)?;
    if args.json {
        return output::json(&json!(file));
    }
    output::words(format_args!("{:<38}{:>6}  95 % interval   true of", "F1 of the rules", "F1"))?;
    for (name, PropositionScore { f1, lo95, hi95, n_true, n }) in &file.validation {
        output::words(format_args!("  {name:<36}{f1:6.3}  {lo95:.3} to {hi95:.3}  {n_true} of {n}"))?;
    }
    for (kind, weights) in &file.weights {
        output::words(format_args!(
            "weights for {}: fitted on {} answers, R² {:.3}",
            kind.name(),
            weights.n,
            weights.r2
        ))?;
    }
    output::words(format_args!("grader: {}", args.out.display()))
}
