//! `maquette scores calibration`

use std::path::PathBuf;

use eval::{Calibration, Reliability};
use serde::Serialize;

use super::folder;
use crate::output;

/// Whether probabilities of choices are right as often as they say, as in the GPT-4 report's Figure 8
///
/// For every task with choices, and for all of them together: the expected calibration error (ECE) over the probability of
/// every choice of every question, and over that of the most likely choice, in ten bins; what chance adds to it taken off,
/// with a 95 % interval; and the Brier score.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of scores: the --out of `maquette eval`
    dir: PathBuf,
    /// Tasks, by name; all if not given
    #[arg(long, value_name = "TASK", value_delimiter = ',')]
    tasks: Vec<String>,
    /// Print the result as JSON on stdout, bins included
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    task: String,
    #[serde(flatten)]
    calibration: Calibration,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let scored = folder::read(&args.dir, &args.tasks)?;
    let of =
        |task: &folder::Scored| Some(Row { task: task.name(), calibration: eval::calibration(&task.items)? });
    let mut rows: Vec<Row> = scored.iter().filter_map(of).collect();
    let together = eval::calibration(scored.iter().flat_map(|task| &task.items));
    if let Some(calibration) = together.filter(|_| rows.len() > 1) {
        rows.push(Row { task: "all".to_owned(), calibration });
    }
    anyhow::ensure!(
        !rows.is_empty(),
        "expected a task with choices in `{}`, found none\nhint: evaluate one such as arc_easy or mmlu",
        args.dir.display()
    );
    if args.json {
        return output::json(&serde_json::json!({ "results": rows }));
    }
    let width = rows.iter().map(|row| row.task.chars().count()).max().unwrap_or(0).max(4);
    output::words(format_args!(
        "{:<width$} {:>6}  {:<30} {:<30} {:>6}",
        "task", "items", "ECE, every choice", "ECE, top choice", "Brier"
    ))?;
    for Row { task, calibration } in &rows {
        output::words(format_args!(
            "{task:<width$} {:>6}  {:<30} {:<30} {:>6.4}",
            calibration.n_items,
            shown(&calibration.all_choices),
            shown(&calibration.top_choice),
            calibration.brier
        ))?;
    }
    Ok(())
}

fn shown(error: &Reliability) -> String {
    let interval = error.lo95.zip(error.hi95).map(|(lo, hi)| format!(" ({lo:.4} to {hi:.4})"));
    format!("{:.4}{}", error.ece_debiased, interval.unwrap_or_default())
}
