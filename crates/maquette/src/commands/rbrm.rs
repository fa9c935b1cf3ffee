//! `maquette rbrm`

mod verdicts;

use std::{path::PathBuf, sync::Arc};

use align::{
    OnRow, Read,
    rbrm::{
        Answered, Classes, Gold, GraderId, PropositionScore, RbrmFile, fit, labelled, read_gold, unfit,
        validate,
    },
};
use serde_json::json;
use tensor::Cpu;

use super::grader::{GraderArgs, Named};
use crate::{
    folder_lock::FolderLock,
    output,
    output_file::{Kind, OutputFile},
    progress,
};

/// Make a rule-based reward: validate what grades answers on labelled ones, and fit what each proposition counts
///
/// Answers are rows of `prompt`, `completion`, `response_type` and `propositions`, as OpenAI published them; classes of answers are
/// a file of propositions in YAML. What grades are deterministic rules, a model that is asked the file's questions and says by its
/// likelihoods whether yes or no is likelier, or one behind an endpoint that answers them. What has no verdict is counted and named,
/// and scored as nothing. The result is a grader that `maquette ppo --rule rbrm --rbrm FILE` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file of propositions and classes, in YAML
    classes: PathBuf,
    /// Labelled answers that the grader is validated on
    #[arg(long, value_name = "FILE", required = true, value_delimiter = ',')]
    gold: Vec<PathBuf>,
    /// Labelled answers that the weights are fitted on
    #[arg(long, value_name = "FILE", required = true, value_delimiter = ',')]
    fit: Vec<PathBuf>,
    /// What grades: rules, model:DIR, or the address of an endpoint. Verdicts of a model are kept beside --out, and not asked for
    /// again
    #[arg(long, value_name = "GRADER", default_value = "rules")]
    grader: Named,
    /// Name of the model at the grader's endpoint; the first that it lists if not given
    #[arg(long, value_name = "NAME")]
    grader_model: Option<String>,
    #[command(flatten)]
    reached: GraderArgs,
    /// F1 that a proposition must reach for a weight, beside being above that of always saying yes; `ppo` and `grpo` refuse a file
    /// with one below
    #[arg(long, value_name = "F1", default_value_t = 0.0)]
    min_f1: f64,
    /// File for the grader
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Compute threads of a grader that is a model; 0 uses every core. Results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
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
    anyhow::ensure!(
        (0.0..=1.0).contains(&args.min_f1),
        "--min-f1 must be from 0 to 1, found {}\nhint: leave it out: a proposition must be better than always saying yes anyway",
        args.min_f1
    );
    let out = OutputFile { path: &args.out, option: "--out", kind: Kind::Grader };
    out.check()?;
    let classes = Classes::read(&args.classes)?;
    let on_row = if args.skip_bad_rows { OnRow::Skip } else { OnRow::Refuse };
    let (gold, to_fit) = (read_gold(&args.gold, on_row)?, read_gold(&args.fit, on_row)?);
    check("gold", &gold, &classes)?;
    check("fit", &to_fit, &classes)?;
    // Before anything is graded, which may take hours.
    if let Some((expected, found)) = unfit(&classes, &to_fit.rows) {
        anyhow::bail!(
            "expected {expected} with --fit, found {found}\nhint: give more labelled answers; is the file of classes for other propositions?"
        );
    }
    let kernels = Arc::new(Cpu::new(args.threads));
    let questions = &classes.questions;
    // Its verdicts are kept beside the file, and read again.
    let _lock = (args.grader != Named::Rules).then(|| FolderLock::of_file(&args.out)).transpose()?;
    let grader = args.reached.open(&args.grader, args.grader_model.as_deref(), questions, &kernels)?;
    let names = labelled(&gold.rows);
    let graded = match grader.id() {
        GraderId::Rules => {
            let answered: Vec<Answered<'_>> = gold.rows.iter().map(|item| item.answered()).collect();
            grader.grade(&answered, &names)
        }
        _ => verdicts::graded(&gold.rows, &names, &*grader, questions, &verdicts::path_beside(&args.out))?,
    };
    let validation = validate(&gold.rows, &graded, args.seed);
    let is_enough = |name: &str| validation.get(name).is_some_and(|score| score.is_enough(args.min_f1));
    let grader = grader.id();
    let file = RbrmFile {
        questions: (grader != GraderId::Rules).then(|| questions.clone()),
        grader,
        min_f1: args.min_f1,
        weights: fit(&classes, &to_fit.rows, &is_enough),
        validation,
    };
    let mut json = serde_json::to_vec_pretty(&file)?;
    json.push(b'\n');
    out.write(&json)?;
    if args.json {
        return output::json(&json!(file));
    }
    print(&file)?;
    output::words(format_args!("grader: {}", args.out.display()))
}

/// Refuses files without answers, and labels that the classes do not know; says what was read.
fn check(option: &str, read: &Read<Gold>, classes: &Classes) -> anyhow::Result<()> {
    anyhow::ensure!(
        !read.rows.is_empty(),
        "expected labelled answers with --{option}, found none\nhint: look at the file"
    );
    if let Some(name) = labelled(&read.rows).into_iter().find(|name| !classes.knows(name)) {
        anyhow::bail!(
            "expected labels of propositions in the file of classes with --{option}, found `{name}`, which it does not have\n\
             hint: is it the file for other answers?"
        );
    }
    let left_out =
        if read.dropped.0.is_empty() { String::new() } else { format!("; left out: {}", read.dropped) };
    progress::say(option, &format!("{} labelled answers{left_out}", read.rows.len()));
    Ok(())
}

fn print(file: &RbrmFile) -> anyhow::Result<()> {
    let title = format!("F1 of {}", file.grader);
    output::words(format_args!("{title:<38}{:>6}  95 % interval   always yes  true of", "F1"))?;
    for (name, score) in &file.validation {
        let PropositionScore { f1, lo95, hi95, n_true, n, unanswered } = score;
        let weight = if score.is_enough(file.min_f1) { "" } else { "  no weight" };
        let always = score.always_yes();
        output::words(format_args!(
            "  {name:<36}{f1:6.3}  {lo95:.3} to {hi95:.3}  {always:10.3}  {n_true} of {n}{weight}"
        ))?;
        for (reason, n) in unanswered {
            output::words(format_args!("    no verdict on {n}: {reason}"))?;
        }
    }
    for (kind, weights) in &file.weights {
        let (kind, n, r2) = (kind.name(), weights.n, weights.r2);
        match weights.names().next() {
            Some(_) => output::words(format_args!("weights for {kind}: fitted on {n} answers, R² {r2:.3}"))?,
            None => output::words(format_args!(
                "weights for {kind}: all 0 on {n} answers; each gets the same reward"
            ))?,
        }
    }
    if file.weights.values().all(|weights| weights.names().next().is_none()) {
        output::talk(format_args!(
            "warning: expected a proposition with a weight, found {}: ppo and grpo refuse this grader\n\
             hint: give labelled answers in which more is true and false, or another --grader",
            file.weightless()
        ));
    }
    Ok(())
}
