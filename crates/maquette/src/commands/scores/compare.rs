//! `maquette scores compare`

use std::path::PathBuf;

use eval::Comparison;
use serde::Serialize;

use super::folder;
use crate::output;

/// Two checkpoints on the same items: the difference with its interval, a paired test, and what it could have seen
///
/// Items are paired by their number; tasks that only one folder has are left out. Where items are right or wrong the test is
/// McNemar's, else the paired t-test. `detectable` is the smallest difference that would have been seen in 80 % of such
/// samples.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of scores of the first checkpoint: the --out of `maquette eval`
    a: PathBuf,
    /// Folder of scores of the second
    b: PathBuf,
    /// Tasks, by name; all that both have if not given
    #[arg(long, value_name = "TASK", value_delimiter = ',')]
    tasks: Vec<String>,
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    task: String,
    metric: String,
    #[serde(flatten)]
    comparison: Comparison,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let (a, b) = (folder::read(&args.a, &args.tasks)?, folder::read(&args.b, &args.tasks)?);
    let mut rows = Vec::new();
    for a in &a {
        let same = |b: &&folder::Scored| {
            (&b.provenance.task, b.provenance.shots) == (&a.provenance.task, a.provenance.shots)
        };
        let Some(b) = b.iter().find(same) else { continue };
        anyhow::ensure!(
            a.provenance.task_sha256 == b.provenance.task_sha256 && a.provenance.data == b.provenance.data,
            "expected the same items in both folders, found other data or another version of `{}`\n\
             hint: evaluate both checkpoints with one version of maquette and one --data",
            a.provenance.task
        );
        let metrics = a.items.first().map(|item| item.metrics.keys().cloned().collect::<Vec<_>>());
        for metric in metrics.unwrap_or_default() {
            let comparison = eval::compare(&a.items, &b.items, &metric, None);
            rows.extend(comparison.map(|comparison| Row { task: a.name(), metric, comparison }));
        }
    }
    anyhow::ensure!(
        !rows.is_empty(),
        "expected a task that both folders have, with the same --shots, found none\nhint: evaluate both checkpoints with the same --tasks and --shots"
    );
    if args.json {
        return output::json(&serde_json::json!({ "results": rows }));
    }
    let width = rows.iter().map(|row| row.task.chars().count()).max().unwrap_or(0).max(4);
    output::words(format_args!(
        "{:<width$} {:<10} {:>6} {:>8} {:>8} {:>8}  {:<20} {:>8}  detectable",
        "task", "metric", "items", "first", "second", "change", "95 % interval", "p"
    ))?;
    for Row { task, metric, comparison } in &rows {
        let unit = if eval::is_share(metric) { 100.0 } else { 1.0 };
        let shown = |x: f64| format!("{:+.2}", unit * x);
        let interval = comparison.lo95.zip(comparison.hi95);
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        output::words(format_args!(
            "{task:<width$} {metric:<10} {:>6} {:>8.2} {:>8.2} {:>8}  {:<20} {:>8}  {}",
            comparison.n,
            unit * comparison.a,
            unit * comparison.b,
            shown(comparison.difference),
            or_none(interval.map(|(lo, hi)| format!("{} to {}", shown(lo), shown(hi)))),
            or_none(comparison.p_value.map(|p| if p < 1e-4 {
                "< 0.0001".to_owned()
            } else {
                format!("{p:.4}")
            })),
            or_none(comparison.detectable.map(|d| format!("{:.2}", unit * d)))
        ))?;
    }
    Ok(())
}
