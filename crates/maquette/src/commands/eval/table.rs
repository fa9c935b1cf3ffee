//! The table of benchmarks.

use eval::{MetricSummary, TaskSummary};

use crate::output;

/// A value in the unit of its metric.
pub(super) fn shown(metric: &str, x: f64) -> String {
    match metric {
        "likelihood_diff" => format!("{x:.3} nats"),
        _ if eval::is_share(metric) => format!("{:.2} %", 100.0 * x),
        _ => format!("{x:.3}"),
    }
}

/// Prints a row for each metric of each task.
pub(super) fn print(summaries: &[TaskSummary]) -> anyhow::Result<()> {
    let names = summaries
        .iter()
        .flat_map(|summary| [&summary.task].into_iter().chain(summary.categories.keys()).map(String::as_str));
    let width = names.map(str::len).max().unwrap_or(0).max(4) + 2;
    let metrics = summaries.iter().flat_map(|summary| summary.metrics.keys());
    let metric_width = metrics.map(|name| name.chars().count()).max().unwrap_or(0).max(10);
    let head = format!(
        "{:<width$} {:>5} {:>6}  {:<metric_width$} {:>8}  95 % interval",
        "task", "shots", "items", "metric", "value"
    );
    output::words(head)?;
    for summary in summaries {
        let row = |task: &str, n: usize, name: &str, metric: &MetricSummary| {
            let shown = |x: f64| shown(name, x);
            let interval = metric.lo95.zip(metric.hi95);
            let interval = interval.map_or_else(
                || "unknown from one item".to_owned(),
                |(lo, hi)| format!("{} to {}", shown(lo), shown(hi)),
            );
            output::words(format_args!(
                "{task:<width$} {:>5} {:>6}  {name:<metric_width$} {:>8}  {interval}",
                summary.shots,
                metric.n.unwrap_or(n),
                shown(metric.value),
            ))
        };
        for (name, metric) in &summary.metrics {
            row(&summary.task, summary.n, name, metric)?;
        }
        for (category, part) in &summary.categories {
            // The published lists stand beside the whole alone.
            for (name, metric) in part.metrics.iter().filter(|(name, _)| !name.ends_with("_list")) {
                row(&format!("  {category}"), part.n, name, metric)?;
            }
        }
        if let Some(agreement) = &summary.agreement {
            let shown = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| format!("{x:.3}"));
            output::words(format_args!(
                "{:<width$} rules and judge agree on {:.2} % of {} answers; kappa {} ({} to {})",
                "",
                100.0 * agreement.share,
                agreement.n,
                shown(agreement.kappa),
                shown(agreement.lo95),
                shown(agreement.hi95)
            ))?;
        }
        for (reason, n) in &summary.judge_failures {
            output::words(format_args!("{:<width$} no verdict: {n} answers: {reason}", ""))?;
        }
        for (reason, n) in &summary.failures {
            output::words(format_args!("{:<width$} not scored: {n} items: {reason}", ""))?;
        }
        for note in &summary.notes {
            output::words(format_args!("{:<width$} note: {note}", ""))?;
        }
    }
    Ok(())
}
