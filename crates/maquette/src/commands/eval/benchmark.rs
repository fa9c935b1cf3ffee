//! Benchmarks and quizzes: items from data, likelihoods from a model.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context as _;
use eval::{
    DataFolder, GenerationSettings, ItemScore, Items, ItemsFile, Provenance, Scorer, Task, TaskSummary,
    Writer, examine, examine_generated, rescore as again, run_programs,
    sandbox::{Limits, Sandbox},
    summarise_items,
};
use tensor::{Cpu, DType};

use super::{Args, RUN_PROGRAM, capability, table};
use crate::{
    open_model::{self, Opened},
    output,
    output_file::{Kind, OutputFile},
    progress::Progress,
};

/// Folder of the items below `--out`.
const FOLDER: &str = "eval";
/// The table, in that folder.
const SUMMARY: &str = "summary.json";

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!(
        args.limit != Some(0),
        "--limit must be at least 1, found 0\nhint: leave it out for all items"
    );
    let tasks = chosen(&args.tasks)?;
    let needs_data = tasks.iter().any(|task| !is_quiz(task));
    anyhow::ensure!(
        !needs_data || args.data.is_some(),
        "expected a folder with the data of `{}`, found no --data\n\
         hint: --data DIR; `maquette eval --list` says where the data are published",
        tasks[0].name
    );
    let root = args.data.clone().unwrap_or_default();
    anyhow::ensure!(
        !needs_data || root.is_dir(),
        "expected a folder of data at `{}`, found none\nhint: give the folder into which the data were downloaded",
        root.display()
    );
    // Data are read before the model is: what is missing is said at once.
    let folder = DataFolder::new(&root);
    let generation = GenerationSettings {
        n_samples: usize::from(args.samples),
        seed: args.seed,
        temperature: args.temperature,
        max_tokens: args.max_tokens,
    };
    let mut exams = Vec::new();
    for task in &tasks {
        let drawing = task.drawing(&generation)?;
        if task.needs_programs() && !args.run_programs {
            output::talk(format_args!(
                "{}: programs are written and not judged; --run-programs runs them",
                task.name
            ));
        }
        let n_shots = args.shots.unwrap_or(task.default_shots);
        exams.push((task, n_shots, drawing, Items::of(task, &folder, n_shots, args.limit)?));
    }
    let out = args.out.as_ref().map(|out| out.join(FOLDER));
    let summary_path = out.as_ref().map(|out| out.join(SUMMARY));
    let summary_file =
        summary_path.as_ref().map(|path| OutputFile { path, option: "--out", kind: Kind::Summary });
    if let Some(file) = summary_file.filter(|file| file.path.exists()) {
        file.check()?;
    }

    let sandbox = sandbox(args, &tasks)?;
    let kernels = Cpu::new(args.threads);
    let dtype: DType = args.dtype.precision().into();
    let Opened { dir, gpt, tokenizer } = open_model::open(args.checkpoint()?, &kernels, dtype)?;
    let weights_sha256 = base::hash::sha256_of_file(&dir.join("model.safetensors"))?;
    let mut scorer = Scorer::new(&gpt, &kernels, usize::from(args.batch));
    let (start, mut n_scored) = (Instant::now(), 0);
    let mut summaries = Vec::new();
    for (task, n_shots, drawing, items) in &exams {
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let provenance = Provenance {
            task: task.name.clone(),
            version: task.version,
            task_sha256: task.sha256.clone(),
            shots: *n_shots,
            n_all: items.n_all,
            data: items.sources.iter().map(|(path, sha256)| (name(path), sha256.clone())).collect(),
            notes: items.notes.clone(),
            weights_sha256: weights_sha256.clone(),
            tokenizer: tokenizer.fingerprint().to_owned(),
            dtype: if dtype == DType::Bf16 { "bf16" } else { "f32" }.to_owned(),
            drawing: drawing.clone(),
        };
        let mut file = match &out {
            Some(out) => ItemsFile::open(out, &provenance)?,
            None => ItemsFile::in_memory(),
        };
        let (n_before, n_items) = (file.n_items(), items.items.len());
        if n_before > 0 {
            output::talk(format_args!("{}: {} items are there already", task.name, n_before.min(n_items)));
        }
        let mut progress = Progress::new("items");
        let mut show = |n_done: usize| {
            progress.update(n_done as u64, n_items as u64, []);
            true
        };
        match drawing {
            Some(drawing) => {
                let writer = Writer {
                    gpt: &gpt,
                    kernels: &kernels,
                    tokenizer: &tokenizer,
                    n_sequences: usize::from(args.batch),
                    sandbox: sandbox.as_ref(),
                };
                examine_generated(task, items, &writer, drawing, &mut file, &mut show)?;
            }
            None => examine(task, items, &gpt, &tokenizer, &mut scorer, &mut file, &mut show)?,
        }
        n_scored += file.n_items() - n_before;
        let mut scores = file.items()?;
        scores.truncate(n_items);
        summaries.push(summary(&provenance, &scores));
    }
    let seconds = start.elapsed().as_secs_f64();
    add_groups(&mut summaries, &tasks);
    if let Some(file) = summary_file {
        file.replace(format!("{}\n", serde_json::to_string_pretty(&summaries)?).as_bytes())?;
    }
    if args.json {
        return output::json(&serde_json::json!({
            "results": summaries,
            "checkpoint": dir,
            "n_scored": n_scored,
            "seconds": seconds,
            "items_per_second": n_scored as f64 / seconds,
        }));
    }
    table::print(&summaries)
}

/// Where programs are run, if a task asks for that and the caller agrees.
fn sandbox(args: &Args, tasks: &[Task]) -> anyhow::Result<Option<Sandbox>> {
    if !args.run_programs || !tasks.iter().any(Task::needs_programs) {
        return Ok(None);
    }
    let own = std::env::current_exe().context("cannot find this program itself")?;
    let sandbox = Sandbox::new((own, vec![RUN_PROGRAM.into()]), Limits::default())?;
    output::talk(format_args!("programs are run with: {}", sandbox.layers().join("; ")));
    Ok(Some(sandbox))
}

/// Metrics and table again, from the files of items alone.
pub(super) fn rescore(args: &Args) -> anyhow::Result<()> {
    let out =
        args.out.as_deref().context("expected --out, found none\nhint: give the folder with the scores")?;
    let folder = out.join(FOLDER);
    let entries = fs::read_dir(&folder).with_context(|| {
        format!(
            "expected scores in `{}`, found none\nhint: give the --out of an evaluation",
            folder.display()
        )
    })?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.to_string_lossy().ends_with("shot.jsonl"));
    files.sort();
    let known = Task::all();
    let quiz = Task::quiz(Path::new("quiz.jsonl"))?;
    let mut summaries = Vec::new();
    let mut programs = None;
    for path in files {
        let about = path.with_extension("json");
        let bytes = fs::read(&about).with_context(|| {
            format!("cannot read `{}`\nhint: it was written beside the items; put it back", about.display())
        })?;
        let provenance: Provenance = serde_json::from_slice(&bytes)
            .with_context(|| format!("`{}` is damaged\nhint: evaluate again", about.display()))?;
        if !args.tasks.is_empty() && !args.tasks.contains(&provenance.task) {
            continue;
        }
        let task = known.iter().find(|task| task.name == provenance.task).unwrap_or(&quiz);
        let items = ItemsFile::read(&path)?;
        let mut scores: Vec<ItemScore> = if args.run_programs && task.needs_programs() {
            if programs.is_none() {
                programs = sandbox(args, &known)?;
            }
            let ran = |item| {
                programs.as_ref().map_or_else(|| Ok(again(task, item)), |own| run_programs(task, item, own))
            };
            let scores = items.iter().map(ran).collect::<Result<Vec<_>, _>>()?;
            ItemsFile::replace(&path, &scores)?;
            scores
        } else {
            items.iter().map(|item| again(task, item)).collect()
        };
        scores.truncate(args.limit.unwrap_or(usize::MAX));
        summaries.push(summary(&provenance, &scores));
    }
    anyhow::ensure!(
        !summaries.is_empty(),
        "expected scores of benchmarks in `{}`, found none\nhint: give the --out of an evaluation",
        folder.display()
    );
    add_groups(&mut summaries, &known);
    if args.json {
        return output::json(&serde_json::json!({ "results": summaries }));
    }
    table::print(&summaries)
}

fn summary(provenance: &Provenance, scores: &[ItemScore]) -> TaskSummary {
    TaskSummary {
        task: provenance.task.clone(),
        version: provenance.version,
        shots: provenance.shots,
        n: scores.len(),
        n_all: provenance.n_all,
        metrics: summarise_items(scores),
        notes: provenance.notes.clone(),
    }
}

/// A row for each group of which more than one task was scored.
fn add_groups(summaries: &mut Vec<TaskSummary>, tasks: &[Task]) {
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
fn centre(row: &mut TaskSummary, members: &[TaskSummary], tasks: &[Task]) {
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

/// The tasks of these names, groups taken apart, each once.
fn chosen(names: &[String]) -> anyhow::Result<Vec<Task>> {
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
        let nearest = all.map(|known| (strsim::damerau_levenshtein(known, name), known)).min();
        let nearest = nearest.filter(|(distance, _)| *distance <= 3).map(|(_, known)| known);
        let hint = nearest.map_or_else(
            || "`maquette eval --list` names the benchmarks; a quiz is given by its path".to_owned(),
            |nearest| format!("did you mean `{nearest}`? `maquette eval --list` names the benchmarks"),
        );
        let generated = data::tasks::Task::ALL.map(data::tasks::Task::name).join(", ");
        debug_assert!(!capability::knows(name));
        anyhow::bail!(
            "expected a benchmark, the path of a quiz, or tasks among {generated}, found `{name}`\nhint: {hint}"
        );
    }
    Ok(tasks)
}

fn is_quiz(task: &Task) -> bool {
    Path::new(&task.source).is_file()
}
