//! The benchmarks that a caller names.

use std::path::Path;

use eval::Task;

use super::{capability, pictures};

/// The tasks of these names, groups taken apart, each once.
pub(super) fn chosen(names: &[String]) -> anyhow::Result<Vec<Task>> {
    let mut known = Task::all();
    let mut tasks: Vec<Task> = Vec::new();
    for name in names {
        let is_meant = |task: &Task| task.name == *name || task.group.as_ref() == Some(name);
        let found: Vec<Task> = known.extract_if(.., |task| is_meant(task)).collect();
        let is_there = !found.is_empty() || tasks.iter().any(is_meant);
        tasks.extend(found);
        if is_there {
            continue;
        }
        let path = Path::new(name);
        if path.is_file() {
            let quiz = Task::quiz(path)?;
            anyhow::ensure!(
                tasks.iter().all(|task| task.name != quiz.name),
                "expected tasks of different names, found two named `{}`\nhint: rename `{name}`",
                quiz.name
            );
            tasks.push(quiz);
            continue;
        }
        let all = Task::all();
        let all = all.iter().flat_map(|task| [Some(task.name.as_str()), task.group.as_deref()]).flatten();
        let mut others = data::tasks::Task::ALL.map(data::tasks::Task::name).to_vec();
        others.extend(pictures::names());
        let all = all.chain(others.iter().copied());
        let nearest = all.map(|known| (strsim::damerau_levenshtein(known, name), known)).min();
        let nearest = nearest.filter(|(distance, _)| *distance <= 3).map(|(_, known)| known);
        let hint = nearest.map_or_else(
            || "`maquette eval --list` names the benchmarks; a quiz is given by its path".to_owned(),
            |nearest| format!("did you mean `{nearest}`? `maquette eval --list` names the benchmarks"),
        );
        let generated = data::tasks::Task::ALL.map(data::tasks::Task::name).join(", ");
        debug_assert!(!capability::knows(name));
        anyhow::bail!(
            "expected a benchmark, the path of a quiz, questions about {}, or tasks among {generated}, found `{name}`\nhint: {hint}",
            pictures::names().collect::<Vec<_>>().join(", ")
        );
    }
    Ok(tasks)
}

pub(super) fn is_quiz(task: &Task) -> bool {
    Path::new(&task.source).is_file()
}
