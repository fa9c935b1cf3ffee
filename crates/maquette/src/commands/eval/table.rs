//! The table of benchmarks.

use eval::TaskSummary;

use crate::output;

/// Prints a row for each metric of each task.
pub(super) fn print(summaries: &[TaskSummary]) -> anyhow::Result<()> {
    let width = summaries.iter().map(|summary| summary.task.chars().count()).max().unwrap_or(0).max(4);
    let metrics = summaries.iter().flat_map(|summary| summary.metrics.keys());
    let metric_width = metrics.map(|name| name.chars().count()).max().unwrap_or(0).max(10);
    let head = format!(
        "{:<width$} {:>5} {:>6}  {:<metric_width$} {:>8}  95 % interval",
        "task", "shots", "items", "metric", "value"
    );
    output::words(head)?;
    for summary in summaries {
        for (name, metric) in &summary.metrics {
            let shown =
                |x: f64| if eval::is_share(name) { format!("{:.2} %", 100.0 * x) } else { format!("{x:.3}") };
            let interval = metric.lo95.zip(metric.hi95);
            let interval = interval.map_or_else(
                || "unknown from one item".to_owned(),
                |(lo, hi)| format!("{} to {}", shown(lo), shown(hi)),
            );
            output::words(format_args!(
                "{:<width$} {:>5} {:>6}  {name:<metric_width$} {:>8}  {interval}",
                summary.task,
                summary.shots,
                summary.n,
                shown(metric.value),
            ))?;
        }
        for note in &summary.notes {
            output::words(format_args!("{:<width$} note: {note}", ""))?;
        }
    }
    Ok(())
}
