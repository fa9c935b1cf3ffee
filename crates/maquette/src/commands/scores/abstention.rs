//! `maquette scores abstention`

use std::path::PathBuf;

use eval::Abstention;
use serde::Serialize;

use super::folder;
use crate::output;

/// Accuracy against coverage: what withholding uncertain answers gains
///
/// An answer is given where the most likely choice is at least as probable as a threshold, which is chosen on the other half of
/// the items, so that the gain is one that new items would have too.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of scores: the --out of `maquette eval`
    dir: PathBuf,
    /// Tasks, by name; all if not given
    #[arg(long, value_name = "TASK", value_delimiter = ',')]
    tasks: Vec<String>,
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    task: String,
    #[serde(flatten)]
    abstention: Abstention,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let scored = folder::read(&args.dir, &args.tasks)?;
    let rows: Vec<Row> = scored
        .iter()
        .flat_map(|task| {
            let of_task = eval::abstention(&task.items).into_iter();
            of_task.map(|abstention| Row { task: task.name(), abstention })
        })
        .collect();
    anyhow::ensure!(
        !rows.is_empty(),
        "expected a task with choices and two items at least in `{}`, found none\nhint: evaluate one such as truthfulqa_mc1",
        args.dir.display()
    );
    if args.json {
        return output::json(&serde_json::json!({ "results": rows }));
    }
    let width = rows.iter().map(|row| row.task.chars().count()).max().unwrap_or(0).max(4);
    output::words(format_args!(
        "{:<width$} {:>9} {:>9}  right, 95 % interval",
        "task", "answered", "of items"
    ))?;
    for Row { task, abstention } in &rows {
        let Abstention { n, n_answered, n_right, lo95, hi95, .. } = abstention;
        let share = |x: f64| format!("{:.1} %", 100.0 * x);
        let right = lo95.zip(*hi95).map_or_else(
            || "no answer".to_owned(),
            |(lo, hi)| {
                let right = *n_right as f64 / *n_answered as f64;
                format!("{} ({} to {})", share(right), share(lo), share(hi))
            },
        );
        let answered = share(*n_answered as f64 / *n as f64);
        output::words(format_args!("{task:<width$} {answered:>9} {n:>9}  {right}"))?;
    }
    Ok(())
}
