//! `maquette scores contamination`

use std::{path::PathBuf, time::Instant};

use anyhow::Context as _;
use data::{DataConfig, Documents, SourceConfig, Split};
use eval::{
    DataFolder, Items, Task,
    contamination::{Contamination, Index, Patterns, Scan},
};
use serde::{Deserialize, Serialize};

use super::folder::{self, Scored};
use crate::{folder_lock::FolderLock, output, progress::Progress, recipe::Recipe, run_dir::RECIPE, stop};

/// Which items stand in a text that the model was trained on, and the scores without them
///
/// The method of the GPT-4 report: of every question three random substrings of 50 letters and digits; the item counts as
/// contaminated if a training document has one of them. What was found is written beside the items as
/// TASK-contamination.json. The score to report is the lower of that of all items and that of the clean ones.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of scores: the --out of `maquette eval`
    dir: PathBuf,
    /// Folder with the data of benchmarks, as in `maquette eval`
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The training text: the folder of a run, whose own corpus is read, or files and globs as a recipe names them
    #[arg(long, value_name = "RUN|FILE", required = true, num_args = 1..)]
    text: Vec<String>,
    /// Tasks, by name; all if not given
    #[arg(long, value_name = "TASK", value_delimiter = ',')]
    tasks: Vec<String>,
    /// Which substrings are drawn
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

/// TASK-contamination.json.
#[derive(Serialize, Deserialize)]
struct File {
    task: String,
    method: String,
    seed: u64,
    text: Vec<String>,
    n_documents: u64,
    n_bytes: u64,
    #[serde(flatten)]
    contamination: Contamination,
}

#[derive(Serialize)]
struct Row {
    task: String,
    n_items: usize,
    n_contaminated: usize,
    n_not_checked: usize,
    metric: &'static str,
    all: f64,
    /// None where no item is clean.
    clean: Option<f64>,
    /// The lower of the two.
    reported: f64,
    /// `(clean − all)/all`, as in the GPT-4 report's tables 10 and 11.
    degradation: Option<f64>,
    file: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let scored = folder::read(&args.dir, &args.tasks)?;
    let config = corpus(&args.text)?;
    let folder = DataFolder::new(&args.data.clone().unwrap_or_default());
    let known = Task::all();
    let mut patterns = Vec::new();
    for task in &scored {
        let name = &task.provenance.task;
        let definition = known.iter().find(|task| task.name == *name).with_context(|| {
            format!(
                "expected a benchmark, found scores of the quiz `{name}`\nhint: name the others with --tasks"
            )
        })?;
        anyhow::ensure!(
            args.data.is_some(),
            "expected a folder with the data of `{name}`, found no --data\nhint: --data DIR, as for `maquette eval`"
        );
        let items = Items::of(definition, &folder, 0, None)?;
        patterns.push(Patterns::new(items.items.iter().map(|item| item.question.as_str()), args.seed));
    }
    let (found, n_documents, n_bytes) = search(&config, &patterns)?;
    let mut rows = Vec::new();
    let _lock = FolderLock::take(scored[0].path.parent().unwrap_or(&args.dir))?;
    for (task, contamination) in scored.iter().zip(found) {
        let file = File {
            task: task.provenance.task.clone(),
            method: "3 random substrings of 50 letters and digits of each question".to_owned(),
            seed: args.seed,
            text: args.text.clone(),
            n_documents,
            n_bytes,
            contamination,
        };
        let path = task.contamination_path();
        check_replaced(&path)?;
        base::write(&path, format!("{}\n", serde_json::to_string_pretty(&file)?).as_bytes())?;
        rows.extend(row(task, &file.contamination, path));
    }
    if args.json {
        return output::json(&serde_json::json!({
            "results": rows, "n_documents": n_documents, "n_bytes": n_bytes
        }));
    }
    print(&rows)
}

/// The corpus of a run, or of files.
fn corpus(text: &[String]) -> anyhow::Result<DataConfig> {
    if let [run] = text {
        let recipe = PathBuf::from(run).join(RECIPE);
        if recipe.is_file() {
            return Ok(Recipe::read(&recipe, &[])?.data);
        }
    }
    Ok(DataConfig::new(text.iter().map(|path| SourceConfig::new(path.clone())).collect()))
}

/// Reads the corpus once for the patterns of all tasks: while one block of documents is searched, the next is read.
fn search(config: &DataConfig, patterns: &[Patterns]) -> anyhow::Result<(Vec<Contamination>, u64, u64)> {
    let mut documents = Documents::open(config)?;
    let index = Index::new(patterns);
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut scans = vec![Scan::new(&index); n_threads];
    let mut bar = Progress::new("bytes");
    let (start, mut n_documents) = (Instant::now(), 0);
    let mut block = next_block(&mut documents)?;
    while !block.is_empty() {
        anyhow::ensure!(stop::check().is_continue(), stop::Interrupted("nothing was written".to_owned()));
        n_documents += block.len() as u64;
        let next = std::thread::scope(|scope| {
            for (scan, part) in scans.iter_mut().zip(block.chunks(block.len().div_ceil(n_threads))) {
                scope.spawn(move || part.iter().for_each(|text| scan.document(text)));
            }
            next_block(&mut documents)
        });
        bar.update(documents.n_bytes_read(), documents.n_bytes_total(), []);
        block = next?;
    }
    let seconds = start.elapsed().as_secs_f64();
    anyhow::ensure!(n_documents > 0, "expected training text, found no document\nhint: check --text");
    let (whole, others) = scans.split_first_mut().context("there is a thread")?;
    others.iter().for_each(|scan| whole.merge(scan));
    let n_bytes = whole.n_bytes();
    output::talk(format_args!(
        "{n_documents} documents, {:.1} MB, {:.0} MB/s",
        n_bytes as f64 / 1e6,
        n_bytes as f64 / 1e6 / seconds
    ));
    Ok((whole.finish(), n_documents, n_bytes))
}

/// Some documents of the training side; none at the end.
fn next_block(documents: &mut Documents) -> anyhow::Result<Vec<String>> {
    /// Text that is searched at a time.
    const BLOCK_BYTES: usize = 8 << 20;
    let (mut block, mut n) = (Vec::new(), 0);
    while n < BLOCK_BYTES
        && let Some(document) = documents.next_document()?
    {
        // What was held out was not learned from.
        if document.split == Split::Train {
            n += document.text.len();
            block.push(document.text);
        }
    }
    Ok(block)
}

/// What this command found before; none where it was not asked.
pub(super) fn read(path: &std::path::Path) -> anyhow::Result<Option<Contamination>> {
    let Ok(bytes) = std::fs::read(path) else { return Ok(None) };
    let file: File = serde_json::from_slice(&bytes).with_context(|| {
        format!(
            "`{}` is damaged\nhint: delete it, and ask again with `maquette scores contamination`",
            path.display()
        )
    })?;
    Ok(Some(file.contamination))
}

/// Refuses to replace what this command did not write.
fn check_replaced(path: &std::path::Path) -> anyhow::Result<()> {
    let Ok(bytes) = std::fs::read(path) else { return Ok(()) };
    anyhow::ensure!(
        serde_json::from_slice::<File>(&bytes).is_ok(),
        "expected nothing at `{}`, or what this command wrote, found another file\nhint: move it away",
        path.display()
    );
    Ok(())
}

fn row(task: &Scored, contamination: &Contamination, file: PathBuf) -> Option<Row> {
    let is_clean = |doc_id: usize| contamination.found.binary_search(&doc_id).is_err();
    let metric = ["acc", "exact_match", "chrf", "perplexity"]
        .into_iter()
        .find(|metric| task.items.first().is_some_and(|item| item.metrics.contains_key(*metric)))?;
    let (n_items, all) = folder::accuracy(task.items.iter(), metric)?;
    let clean = folder::accuracy(task.items.iter().filter(|item| is_clean(item.doc_id)), metric);
    let clean = clean.map(|(_, clean)| clean);
    // The numbers rise.
    let scored =
        |ids: &[usize]| task.items.iter().filter(|item| ids.binary_search(&item.doc_id).is_ok()).count();
    Some(Row {
        task: task.name(),
        n_items,
        n_contaminated: scored(&contamination.found),
        n_not_checked: scored(&contamination.not_checked),
        metric,
        all,
        clean,
        reported: clean.map_or(all, |clean| clean.min(all)),
        degradation: clean.filter(|_| all > 0.0).map(|clean| (clean - all) / all),
        file,
    })
}

fn print(rows: &[Row]) -> anyhow::Result<()> {
    let width = rows.iter().map(|row| row.task.chars().count()).max().unwrap_or(0).max(4);
    output::words(format_args!(
        "{:<width$} {:>6} {:>13} {:>11} {:>9} {:>9} {:>9} {:>11}",
        "task", "items", "contaminated", "too short", "all", "clean", "reported", "degradation"
    ))?;
    for row in rows {
        let share = |x: f64| format!("{:.2} %", 100.0 * x);
        let or_none = |x: Option<String>| x.unwrap_or_else(|| "–".to_owned());
        output::words(format_args!(
            "{:<width$} {:>6} {:>13} {:>11} {:>9} {:>9} {:>9} {:>11}",
            row.task,
            row.n_items,
            format!(
                "{} ({:.1} %)",
                row.n_contaminated,
                100.0 * row.n_contaminated as f64 / row.n_items as f64
            ),
            row.n_not_checked,
            share(row.all),
            or_none(row.clean.map(share)),
            share(row.reported),
            or_none(row.degradation.map(|d| format!("{:+.2} %", 100.0 * d)))
        ))?;
    }
    Ok(())
}
