//! Benchmarks and quizzes: items from data, likelihoods from a model.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context as _;
use data::{ChatTemplate, Tokenizer};
use eval::{
    DataFolder, Drawing, ExamError, GenerationSettings, Items, ItemsFile, Presence, Provenance, Scorer, Task,
    Writer,
    endpoint::examine_endpoint,
    examine, examine_generated,
    sandbox::{Limits, Sandbox},
};
use tensor::{Cpu, DType};

use super::{
    Args, RUN_PROGRAM,
    chosen::{chosen, is_quiz},
    cost::{self, Cost},
    summary::{add_groups, summary},
    table,
};
use crate::{
    folder_lock::FolderLock,
    open_model::{self, Opened},
    output,
    output_file::{Kind, OutputFile},
    own_folder,
    progress::Progress,
    stop,
};

/// Folder of the items below `--out`.
pub(super) const FOLDER: &str = "eval";
/// The table, in that folder.
const SUMMARY: &str = "summary.json";

/// Benchmarks to be scored with the same settings.
pub(super) struct Asked {
    pub(super) task: Task,
    pub(super) shots: Option<usize>,
    pub(super) limit: Option<usize>,
    pub(super) max_tokens: Option<usize>,
}

/// A benchmark with its items.
struct Exam {
    task: Task,
    shots: usize,
    drawing: Option<Drawing>,
    items: Items,
}

/// What is examined, as far as files of items say it.
struct Subject {
    weights_sha256: String,
    tokenizer: String,
    dtype: String,
    endpoint: Option<(String, String)>,
    template_sha256: Option<String>,
    flops_per_token: Option<f64>,
    /// As the result names it.
    name: String,
}

/// Scores the items of an exam that a file does not have yet.
type Examine<'a> =
    dyn FnMut(&Exam, &mut ItemsFile, &mut dyn FnMut(usize) -> bool) -> Result<(), ExamError> + 'a;

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!(
        args.limit != Some(0),
        "--limit must be at least 1, found 0\nhint: leave it out for all items"
    );
    let asked = chosen(&args.tasks)?.into_iter().map(|task| Asked {
        task,
        shots: args.shots,
        limit: args.limit,
        max_tokens: args.max_tokens,
    });
    let asked: Vec<Asked> = asked.collect();
    let data = data(args, &asked)?;
    let exams =
        asked.into_iter().map(|asked| exam(args, asked, &data)).collect::<anyhow::Result<Vec<_>>>()?;
    examine_all(args, exams)
}

/// The folder with the data of benchmarks, where one of them needs it.
pub(super) fn data(args: &Args, asked: &[Asked]) -> anyhow::Result<DataFolder> {
    let needs_data = asked.iter().map(|asked| &asked.task).find(|task| !is_quiz(task) && !task.is_made());
    let root = args.data.clone().unwrap_or_default();
    if let Some(task) = needs_data {
        anyhow::ensure!(
            args.data.is_some(),
            "expected a folder with the data of `{}`, found no --data\n\
             hint: --data DIR; `maquette eval --list` says where the data are published",
            task.name
        );
        anyhow::ensure!(
            root.is_dir(),
            "expected a folder of data at `{}`, found none\nhint: give the folder into which the data were downloaded",
            root.display()
        );
    }
    Ok(DataFolder::new(&root))
}

/// Reads the items of a benchmark: before the model is opened, so that what is missing is said at once.
fn exam(args: &Args, asked: Asked, data: &DataFolder) -> anyhow::Result<Exam> {
    let Asked { task, shots, limit, max_tokens } = asked;
    let drawing = task.drawing(&GenerationSettings {
        n_samples: usize::from(args.samples),
        seed: args.seed,
        temperature: args.temperature,
        max_tokens,
    })?;
    if task.needs_programs() && !args.run_programs {
        output::talk(format_args!(
            "{}: programs are written and not judged; --run-programs runs them",
            task.name
        ));
    }
    let shots = shots.unwrap_or(task.default_shots);
    let items = Items::of_chat(&task, data, shots, limit, args.chat.format().as_ref())?;
    Ok(Exam { task, shots, drawing, items })
}

/// The benchmarks of a recipe: those whose data are not there are named and left out.
pub(super) fn run_asked(args: &Args, asked: Vec<Asked>) -> anyhow::Result<()> {
    let data = data(args, &asked)?;
    let mut exams = Vec::new();
    for one in asked {
        let is_there =
            one.task.is_made() || is_quiz(&one.task) || !matches!(data.find(&one.task)[0], Presence::Missing);
        if is_there {
            exams.push(exam(args, one, &data)?);
        } else {
            output::talk(format_args!(
                "{}: left out, its data are missing: {}",
                one.task.name, one.task.source
            ));
        }
    }
    anyhow::ensure!(
        !exams.is_empty(),
        "expected data of the recipe's benchmarks in --data, found none\nhint: `maquette eval --list` says where they are published"
    );
    examine_all(args, exams)
}

fn examine_all(args: &Args, mut exams: Vec<Exam>) -> anyhow::Result<()> {
    let n_parallel = usize::from(args.batch);
    if let Some(endpoint) = args.endpoints.examined(args.checkpoint()?)? {
        anyhow::ensure!(
            args.chat.format().is_none(),
            "--apply-chat-template must be left out for an endpoint, which has the template\nhint: evaluate the checkpoint itself"
        );
        let subject = Subject {
            weights_sha256: String::new(),
            tokenizer: String::new(),
            dtype: String::new(),
            endpoint: Some((endpoint.url().to_owned(), endpoint.model().to_owned())),
            template_sha256: None,
            flops_per_token: None,
            name: endpoint.url().to_owned(),
        };
        return score(args, &exams, &subject, &mut |exam, file, show| {
            let Exam { task, items, drawing, .. } = exam;
            examine_endpoint(task, items, &endpoint, drawing.as_ref(), n_parallel, file, show)
        });
    }
    let sandbox = sandbox(args, exams.iter().map(|exam| &exam.task))?;
    let kernels = Cpu::new(args.threads);
    let dtype: DType = args.dtype.precision().into();
    let Opened { dir, gpt, tokenizer } = open_model::open(args.checkpoint()?, &kernels, dtype)?;
    let template = match args.chat.format() {
        // Without one there is nothing to apply.
        Some(_) => Some(ChatTemplate::load(&dir, &tokenizer)?),
        None => template(exams.iter().map(|exam| &exam.task), &dir, &tokenizer)?,
    };
    let max_seq_len = gpt.config().max_seq_len;
    // A recipe is written for many models; a number given by hand is refused where it has no room.
    for Exam { task, drawing, .. } in exams.iter_mut().filter(|_| args.recipe.is_some()) {
        if let Some(drawing) = drawing.as_mut().filter(|drawing| drawing.max_tokens >= max_seq_len) {
            drawing.max_tokens = (max_seq_len / 2).max(1);
            output::talk(format_args!(
                "{}: answers of at most {} tokens, for a context of {max_seq_len}",
                task.name, drawing.max_tokens
            ));
        }
    }
    let subject = Subject {
        weights_sha256: base::hash::sha256_of_file(&dir.join("model.safetensors"))?,
        tokenizer: tokenizer.fingerprint().to_owned(),
        dtype: if dtype == DType::Bf16 { "bf16" } else { "f32" }.to_owned(),
        endpoint: None,
        template_sha256: template.as_ref().map(|template| base::hash::sha256(template.source().as_bytes())),
        flops_per_token: Some(gpt.config().train_flops_per_token(max_seq_len) / 3.0),
        name: dir.display().to_string(),
    };
    let mut scorer = Scorer::new(&gpt, &kernels, n_parallel);
    let writer = Writer {
        gpt: &gpt,
        kernels: &kernels,
        tokenizer: &tokenizer,
        n_sequences: n_parallel,
        template: template.as_ref(),
        sandbox: sandbox.as_ref(),
    };
    score(args, &exams, &subject, &mut |exam, file, show| match &exam.drawing {
        Some(drawing) => examine_generated(&exam.task, &exam.items, &writer, drawing, file, show),
        None => examine(&exam.task, &exam.items, &tokenizer, template.as_ref(), &mut scorer, file, show),
    })
}

/// Scores exams one after another, with a judge if one is asked for, and prints the table.
fn score(args: &Args, exams: &[Exam], subject: &Subject, examine: &mut Examine<'_>) -> anyhow::Result<()> {
    let out = args.out.as_ref().map(|out| out.join(FOLDER));
    let summary_path = out.as_ref().map(|out| out.join(SUMMARY));
    let summary_file =
        summary_path.as_ref().map(|path| OutputFile { path, option: "--out", kind: Kind::Summary });
    if let Some(file) = summary_file.filter(|file| file.path.exists()) {
        file.check()?;
    }
    let _lock = out.as_ref().map(|out| -> anyhow::Result<FolderLock> {
        own_folder::make(out)?;
        FolderLock::take(out)
    });
    let _lock = _lock.transpose()?;
    if let Some(out) = &args.out {
        cost::read(out)?;
    }
    let judge = args.endpoints.judge(usize::from(args.batch))?;
    let (start, mut n_scored) = (Instant::now(), 0);
    let mut summaries = Vec::new();
    for exam in exams {
        let Exam { task, shots, drawing, items } = exam;
        let provenance = provenance(args, exam, subject);
        let mut file = match &out {
            Some(out) => ItemsFile::open(out, &provenance)?,
            None => ItemsFile::in_memory(),
        };
        let (n_before, n_items, began) = (file.n_items(), items.items.len(), Instant::now());
        if n_before > 0 {
            output::talk(format_args!("{}: {} items are there already", task.name, n_before.min(n_items)));
        }
        let mut progress = Progress::new("items");
        let mut show = |n_done: usize| {
            progress.update(n_done as u64, n_items as u64, []);
            stop::goes_on()
        };
        examine(exam, &mut file, &mut show)?;
        let n_new = file.n_items() - n_before;
        n_scored += n_new;
        if let Some(out) = args.out.as_ref().filter(|_| args.cost || args.recipe.is_some()) {
            let cost = Cost { n_items: n_new, seconds: began.elapsed().as_secs_f64(), threads: args.threads };
            cost::add(out, &format!("{}-{shots}shot", task.name), &cost)?;
        }
        check_stop(args, task, file.n_items(), n_items)?;
        if let Some(judge) = judge.as_ref().filter(|_| drawing.is_some() && task.can_be_judged()) {
            let mut progress = Progress::new("items");
            let mut show = |n_done: usize| {
                progress.update(n_done as u64, n_items as u64, []);
                stop::goes_on()
            };
            let count = eval::judge_items(task, items, judge, &mut file, &mut show)?;
            output::talk(format_args!(
                "{}: {} answers judged by {}, {} without a verdict",
                task.name,
                count.n_asked,
                judge.name(task),
                count.n_failed
            ));
            check_stop(args, task, file.n_items(), n_items)?;
        }
        let mut scores = file.items()?;
        scores.truncate(n_items);
        summaries.push(summary(&provenance, &scores));
    }
    let seconds = start.elapsed().as_secs_f64();
    add_groups(&mut summaries, &exams.iter().map(|exam| &exam.task).collect::<Vec<_>>());
    if let Some(file) = summary_file {
        file.replace(format!("{}\n", serde_json::to_string_pretty(&summaries)?).as_bytes())?;
    }
    if args.json {
        return output::json(&serde_json::json!({
            "results": summaries,
            "checkpoint": subject.name,
            "n_scored": n_scored,
            "seconds": seconds,
            "items_per_second": n_scored as f64 / seconds,
        }));
    }
    table::print(&summaries)
}

/// Ends in good order where a stop was asked for: what was scored lies in --out, if there is one.
fn check_stop(args: &Args, task: &Task, n_done: usize, n_items: usize) -> anyhow::Result<()> {
    if stop::goes_on() {
        return Ok(());
    }
    let after = format!(" after {} of {n_items} items of {}", n_done.min(n_items), task.name);
    Err(match &args.out {
        Some(_) => stop::Interrupted(after).into(),
        None => stop::Abandoned(after).into(),
    })
}

fn provenance(args: &Args, exam: &Exam, subject: &Subject) -> Provenance {
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Exam { task, shots, drawing, items } = exam;
    let chat = args.chat.format().filter(|_| !task.is_chat());
    Provenance {
        task: task.name.clone(),
        version: task.version,
        task_sha256: task.sha256.clone(),
        shots: *shots,
        n_all: items.n_all,
        data: items.sources.iter().map(|(path, sha256)| (name(path), sha256.clone())).collect(),
        notes: items.notes.clone(),
        weights_sha256: subject.weights_sha256.clone(),
        tokenizer: subject.tokenizer.clone(),
        dtype: subject.dtype.clone(),
        endpoint: subject.endpoint.clone(),
        template_sha256: subject.template_sha256.clone().filter(|_| task.is_chat() || chat.is_some()),
        chat,
        flops_per_token: subject.flops_per_token,
        drawing: drawing.clone(),
    }
}

/// In what words conversations are put to the model, where a task has such.
fn template<'t>(
    mut tasks: impl Iterator<Item = &'t Task>,
    dir: &Path,
    tokenizer: &Tokenizer,
) -> anyhow::Result<Option<ChatTemplate>> {
    if !tasks.any(Task::is_chat) {
        return Ok(None);
    }
    match ChatTemplate::load(dir, tokenizer) {
        Ok(template) => Ok(Some(template)),
        // A damaged one is refused; to have none is no fault of a base model.
        Err(error) if ChatTemplate::read(dir)?.is_some() => Err(error.into()),
        Err(_) => {
            output::talk(format_args!(
                "the model has no chat template: conversations are put to it as plain text"
            ));
            Ok(None)
        }
    }
}

/// Where programs are run, if a task asks for that and the caller agrees.
pub(super) fn sandbox<'t>(
    args: &Args,
    mut tasks: impl Iterator<Item = &'t Task>,
) -> anyhow::Result<Option<Sandbox>> {
    if !args.run_programs || !tasks.any(Task::needs_programs) {
        return Ok(None);
    }
    let own = std::env::current_exe().context("cannot find this program itself")?;
    let sandbox = Sandbox::new((own, vec![RUN_PROGRAM.into()]), Limits::default())?;
    output::talk(format_args!("programs are run with: {}", sandbox.layers().join("; ")));
    Ok(Some(sandbox))
}
