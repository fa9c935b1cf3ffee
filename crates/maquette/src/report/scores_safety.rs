//! The section on safety: rates with their intervals by category, and how far rules and a judge agree. No text of a question
//! or an answer is in it.

use std::collections::BTreeMap;

use eval::{MetricSummary, agreement::Agreement};
use maud::{Markup, html};

use super::{
    number::{grouped, significant},
    scores::shown,
};

/// Rates of a task.
pub(crate) struct SafetyTask {
    pub(crate) task: String,
    pub(crate) about: String,
    /// Metrics that are shown.
    pub(crate) names: Vec<String>,
    /// The whole, then its categories.
    pub(crate) rows: Vec<SafetyRow>,
    pub(crate) agreement: Option<Agreement>,
    pub(crate) judge_failures: BTreeMap<String, usize>,
    pub(crate) disagreements: Vec<Disagreement>,
}

/// Items of a category.
pub(crate) struct SafetyRow {
    pub(crate) category: String,
    pub(crate) n: usize,
    pub(crate) metrics: BTreeMap<String, MetricSummary>,
}

/// An answer that rules and a judge read differently.
pub(crate) struct Disagreement {
    pub(crate) id: String,
    pub(crate) rules: String,
    pub(crate) judge: String,
    pub(crate) n_chars: usize,
}

/// Disagreements that are listed for a task.
const MAX_LISTED: usize = 20;

pub(super) fn section(tasks: &[SafetyTask]) -> Markup {
    html! {
        p.intro {
            "Shares with their 95 % intervals, by deterministic rules unless a judge is named. Questions and answers are not shown; the files of \
             items hold them."
        }
        @for task in tasks { (of(task)) }
    }
}

fn of(task: &SafetyTask) -> Markup {
    html! {
        h3 { (task.task) }
        @if !task.about.is_empty() { p.from { (task.about) } }
        div.scroll tabindex="0" role="region" aria-label=(task.task) { table {
            thead { tr { th { "Category" } th.n { "Items" } @for name in &task.names { th.n { (name.replace('_', " ")) } } } }
            tbody { @for row in &task.rows { tr {
                td { (row.category) } td.n { (grouped(row.n as u64)) }
                @for name in &task.names { td.n { @if let Some(metric) = row.metrics.get(name) {
                    (shown(name, metric.value))
                    @if let Some((lo, hi)) = metric.lo95.zip(metric.hi95) { p.from { (shown(name, lo)) " to " (shown(name, hi)) } }
                } } }
            } } }
        } }
        @if let Some(agreement) = &task.agreement {
            p.intro {
                "Rules and judge agree on " (shown("share", agreement.share)) " of " (grouped(agreement.n as u64)) " answers"
                @if let Some(((kappa, lo), hi)) = agreement.kappa.zip(agreement.lo95).zip(agreement.hi95) {
                    "; Cohen's kappa " (significant(kappa, 3)) " (" (significant(lo, 3)) " to " (significant(hi, 3)) ")"
                }
                "."
            }
        }
        @for (reason, n) in &task.judge_failures { p.from { "No verdict of the judge on " (n) " answers: " (reason) } }
        @if !task.disagreements.is_empty() {
            div.scroll tabindex="0" role="region" aria-label="Disagreements" { table {
                thead { tr { th { "Answer" } th { "Rules" } th { "Judge" } th.n { "Text" } } }
                tbody { @for one in task.disagreements.iter().take(MAX_LISTED) { tr {
                    td { (one.id) } td { (one.rules.replace('_', " ")) } td { (one.judge.replace('_', " ")) }
                    td.n { "[" (grouped(one.n_chars as u64)) " characters, not shown]" }
                } } }
            } }
            @if task.disagreements.len() > MAX_LISTED {
                p.from { (task.disagreements.len() - MAX_LISTED) " more in the file of items" }
            }
        }
    }
}
