//! Scores of items put together: a row for a task, and for a group of tasks.

use std::collections::BTreeMap;

use eval::{ItemScore, Provenance, Task, TaskSummary, summarise_items};

/// The row of a task.
pub(super) fn summary(provenance: &Provenance, scores: &[ItemScore]) -> TaskSummary {
    let mut failures = BTreeMap::new();
    for failure in scores.iter().filter_map(|item| item.failure.as_ref()) {
        *failures.entry(failure.clone()).or_default() += 1;
    }
    let answered: Vec<ItemScore> = scores.iter().filter(|item| item.failure.is_none()).cloned().collect();
    let (agreement, judge_failures) = eval::judged(&answered);
    TaskSummary {
        task: provenance.task.clone(),
        version: provenance.version,
        shots: provenance.shots,
        n: answered.len(),
        n_all: provenance.n_all,
        metrics: summarise_items(&answered),
        categories: eval::categories(&answered),
        agreement,
        judge_failures,
        failures,
        notes: provenance.notes.clone(),
    }
}

/// A row for each group of which more than one task was scored.
pub(super) fn add_groups(summaries: &mut Vec<TaskSummary>, tasks: &[&Task]) {
    let mut groups: Vec<&str> = tasks.iter().filter_map(|task| task.group.as_deref()).collect();
    groups.dedup();
    for name in groups {
        let is_member = |summary: &TaskSummary| {
            tasks.iter().any(|task| task.name == summary.task && task.group.as_deref() == Some(name))
        };
        let members: Vec<TaskSummary> =
            summaries.iter().filter(|summary| is_member(summary)).cloned().collect();
        if members.len() > 1
            && let Some(mut row) = eval::group(name, &members)
        {
            centre(&mut row, &members, tasks);
            summaries.push(row);
        }
    }
}

/// Where every task of a group says what guessing reaches, the group has the mean of centred accuracies alone.
fn centre(row: &mut TaskSummary, members: &[TaskSummary], tasks: &[&Task]) {
    let baseline = |summary: &TaskSummary| tasks.iter().find(|task| task.name == summary.task)?.baseline;
    let members: Option<Vec<_>> = members.iter().map(|summary| Some((summary, baseline(summary)?))).collect();
    let Some((members, centred)) =
        members.and_then(|members| Some((members.len(), eval::centred(&members)?)))
    else {
        return;
    };
    row.metrics = [("centred".to_owned(), centred)].into();
    let known = Task::all();
    let n_all = known.iter().filter(|task| task.group.as_deref() == Some(&row.task)).count();
    if members < n_all {
        row.notes
            .push(format!("{members} of its {n_all} tasks were scored: not comparable with scores of all"));
    }
}
