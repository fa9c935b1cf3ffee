//! Questions about pictures.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use data::{
    DataError,
    image::ImageLimits,
    interleaved::{self, RowPart},
    pictures::{N_LEVELS, PictureKind},
};
use eval::{
    picture_likelihood::{
        N_NAMES, Page, PageSummary, PickSummary, pick_names, read_pages, summarise_pages, summarise_picks,
    },
    pictures::{PictureAnswer, PictureQuestion, PictureSummary, Shown, ask, partners, summarise},
};
use serde::Serialize;
use tensor::Cpu;

use super::{
    Args,
    picture_questions::{QuestionReader, kind_of},
    picture_sets::PictureSetTask,
};
use crate::{
    image_files,
    open_model::{self, Opened},
    output,
    output_file::{Kind, OutputFile},
    stop,
};

/// Questions of each kind, or of a file, where nobody asks for a number. Of sets that are known by name all are asked.
const LIMIT: usize = 100;

/// Easy questions of each kind: enough to see a model look, few enough to wait for.
const N_EASY: usize = 60;

/// Whether it is a kind of pictures, or a set of them, by its name in `--tasks`.
pub(super) fn knows(name: &str) -> bool {
    kind_of(name).is_some() || PictureSetTask::named(name).is_some()
}

/// Names in `--tasks` that are of pictures.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let kinds = PictureKind::ALL.into_iter().map(PictureKind::name);
    kinds.chain(PictureSetTask::ALL.into_iter().map(PictureSetTask::name))
}

/// Whether it is a file whose first row is a question about pictures.
pub(super) fn is_file(name: &str) -> bool {
    let path = Path::new(name);
    let first = || {
        let mut rows = interleaved::open(path, ImageLimits::default()).ok().filter(|_| path.is_file())?;
        match rows.next_row() {
            Ok(row) => row.map(|row| row.question.is_some_and(|_| has_image(&row.parts))),
            // A picture that is missing is named when it is read.
            Err(error) => Some(matches!(error, DataError::Image(_))),
        }
    };
    first().unwrap_or(false)
}

fn has_image(parts: &[RowPart]) -> bool {
    parts.iter().any(|part| matches!(part, RowPart::Image(_)))
}

/// What `--tasks` asks for.
#[derive(Default)]
struct Asked {
    questions: Vec<PictureQuestion>,
    /// Those whose answers are names to be picked among others, too.
    names: Vec<PictureQuestion>,
    pages: Vec<Page>,
}

impl Asked {
    fn read(args: &Args, reader: &mut QuestionReader) -> anyhow::Result<Self> {
        let mut asked = Self::default();
        for name in &args.tasks {
            if let Some(kind) = kind_of(name) {
                asked.questions.extend(reader.drawn(kind, N_LEVELS, args.limit.unwrap_or(LIMIT)));
            } else if let Some(set) = PictureSetTask::named(name) {
                asked.add(set, args, reader)?;
            } else {
                asked.questions.extend(reader.of_file(Path::new(name), args.limit.unwrap_or(LIMIT))?);
            }
        }
        Ok(asked)
    }

    fn add(&mut self, set: PictureSetTask, args: &Args, reader: &mut QuestionReader) -> anyhow::Result<()> {
        let (_, rows) = set.rows(args.data.as_deref(), args.limit.unwrap_or(usize::MAX))?;
        if set == PictureSetTask::Storybook {
            let pages = rows.into_iter().map(|row| reader.page(row));
            self.pages.extend(pages.collect::<anyhow::Result<Vec<_>>>()?);
            return Ok(());
        }
        let questions = rows.into_iter().map(|row| reader.question(row, set.name()));
        let questions: Vec<PictureQuestion> = questions.collect::<anyhow::Result<_>>()?;
        if set == PictureSetTask::Emoji {
            anyhow::ensure!(
                questions.len() >= N_NAMES,
                "expected {N_NAMES} names to choose from, found {}\nhint: raise --limit, or leave it out",
                questions.len()
            );
            self.names.extend(questions.iter().cloned());
        }
        self.questions.extend(questions);
        Ok(())
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!(
        args.limit.is_none_or(|limit| (1..=100_000).contains(&limit)),
        "--limit must be from 1 to 100,000, found {}\nhint: 100 questions of a kind show a difference of some ten percent",
        args.limit.unwrap_or(0)
    );
    let path = |name: &str| args.out.as_ref().map(|out| out.join(name));
    let paths = [path("pictures.jsonl"), path("picks.jsonl"), path("pages.jsonl")];
    let kinds = [Kind::Answers, Kind::Picks, Kind::Pages];
    let file = |i: usize| {
        let path: &PathBuf = paths[i].as_ref()?;
        Some(OutputFile { path, option: "--out", kind: kinds[i] })
    };
    let kernels = Cpu::new(args.threads);
    let Opened { gpt, tokenizer, dir } =
        open_model::open(args.checkpoint()?, &kernels, args.dtype.precision().into())?;
    let vision = gpt.config().vision.as_ref().context(
        "expected a model that reads images, found one of text alone\nhint: train one with recipes/vision.toml",
    )?;
    let mut reader = QuestionReader::new(image_files::preprocessing(&dir, vision)?, vision);
    let asked = Asked::read(args, &mut reader)?;
    let is_asked = [!asked.questions.is_empty(), !asked.names.is_empty(), !asked.pages.is_empty()];
    let files: Vec<Option<OutputFile>> = (0..3).map(|i| file(i).filter(|_| is_asked[i])).collect();
    for file in files.iter().flatten() {
        file.check()?;
    }
    let batch = usize::from(args.batch);
    let mut answers: Vec<PictureAnswer> = Vec::new();
    for shown in Shown::ALL {
        let given = ask(&gpt, &kernels, &tokenizer, &asked.questions, shown, batch, &stop::goes_on);
        answers.extend(given.map_err(stop::abandoned)?);
    }
    let picks = match asked.names.is_empty() {
        true => Vec::new(),
        false => pick_names(&gpt, &kernels, &tokenizer, &asked.names, batch, &stop::goes_on)
            .map_err(stop::abandoned)?,
    };
    let pages = read_pages(&gpt, &kernels, &tokenizer, &asked.pages, batch, &stop::goes_on)
        .map_err(stop::abandoned)?;
    tell_without_partners(&asked.questions);
    write(files[0], &answers)?;
    write(files[1], &picks)?;
    write(files[2], &pages)?;
    let rows = summarise(&answers);
    let picks = summarise_picks(&picks);
    let page_summary = summarise_pages(&pages, asked.pages.len() - pages.len());
    if args.json {
        let mut found = serde_json::json!({ "pictures": rows });
        if !picks.is_empty() {
            found["picks"] = serde_json::to_value(&picks)?;
        }
        if let Some(pages) = &page_summary {
            found["pages"] = serde_json::to_value(pages)?;
        }
        return output::json(&found);
    }
    if !rows.is_empty() {
        table(&rows)?;
    }
    table_of_picks(&picks)?;
    match page_summary {
        Some(pages) => table_of_pages(&pages),
        None if asked.pages.is_empty() => Ok(()),
        None => anyhow::bail!(
            "expected pages of at most {} tokens, found none\nhint: evaluate a model of a longer context",
            gpt.config().max_seq_len
        ),
    }
}

/// Says how many questions no other picture is shown with, and why.
fn tell_without_partners(questions: &[PictureQuestion]) {
    let mut n_of_kind: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for (question, partner) in questions.iter().zip(partners(questions)) {
        let [n, n_alone] = n_of_kind.entry(&question.kind).or_default();
        *n += 1;
        *n_alone += usize::from(partner.is_none());
    }
    for (kind, [n, n_alone]) in n_of_kind.into_iter().filter(|(_, [_, n_alone])| *n_alone > 0) {
        output::talk(format_args!(
            "{kind}: {n_alone} of {n} questions are left out of `{}`: no other question of their kind has other pictures",
            name_of(Shown::Another)
        ));
    }
}

/// A line for each.
fn write(file: Option<OutputFile>, items: &[impl Serialize]) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    let lines = items.iter().map(|item| serde_json::to_string(item).map(|line| line + "\n"));
    file.write(lines.collect::<Result<String, _>>()?.as_bytes())
}

/// Asks easy questions about every kind of picture that the quickstart trains on.
pub(super) fn ask_easy(checkpoint: &Path, threads: usize) -> anyhow::Result<()> {
    let kernels = Cpu::new(threads);
    let Opened { gpt, tokenizer, dir } = open_model::open(checkpoint, &kernels, tensor::DType::F32)?;
    let Some(vision) = &gpt.config().vision else { return Ok(()) };
    let reader = QuestionReader::new(image_files::preprocessing(&dir, vision)?, vision);
    let of_kind = |kind| reader.drawn(kind, 1, N_EASY);
    let questions: Vec<PictureQuestion> = PictureKind::STILLS.into_iter().flat_map(of_kind).collect();
    let mut answers = Vec::new();
    for shown in Shown::ALL {
        let given = ask(&gpt, &kernels, &tokenizer, &questions, shown, 32, &stop::goes_on);
        answers.extend(given.map_err(stop::resumable)?);
    }
    table(&summarise(&answers))
}

fn name_of(shown: Shown) -> &'static str {
    match shown {
        Shown::Own => "their own",
        Shown::Nothing => "no picture",
        Shown::Another => "another one",
        Shown::Reversed => "in reverse",
    }
}

fn table_of_picks(rows: &[PickSummary]) -> anyhow::Result<()> {
    let Some(first) = rows.first() else { return Ok(()) };
    output::words(format_args!(
        "\nthe right one of {} names, by its likelihood, or by how much likelier the picture makes it (gain)\n\
         {:>8} {:>14} {:>11} {:>5} {:>8} {:>15}",
        first.n_names, "pictures", "shown", "by", "n", "right", "95 %"
    ))?;
    for row in rows {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let interval = format!("{:.1} to {:.1} %", 100.0 * row.lo95, 100.0 * row.hi95);
        output::words(format_args!(
            "{:>8} {:>14} {:>11} {:>5} {:>8} {interval:>15}",
            row.kind,
            name_of(row.shown),
            row.by,
            row.n,
            percent(row.accuracy)
        ))?;
    }
    Ok(())
}

fn table_of_pages(pages: &PageSummary) -> anyhow::Result<()> {
    let PageSummary { n, n_stories, n_left_out, .. } = pages;
    let left_out = if *n_left_out > 0 { format!("; {n_left_out} are too long") } else { String::new() };
    output::words(format_args!("{n} pages of {n_stories} books{left_out}; loss in nats per token"))?;
    output::words(format_args!("    behind their own pictures    {:.4}", pages.own_nats_per_token))?;
    output::words(format_args!("    behind none                  {:.4}", pages.nothing_nats_per_token))?;
    let (Some(another), Some(difference)) = (pages.another_nats_per_token, pages.difference_nats) else {
        return output::words("    behind those of other books  none: no other book has another picture");
    };
    output::words(format_args!("    behind those of other books  {another:.4}"))?;
    let interval = match (pages.lo95, pages.hi95) {
        (Some(lo), Some(hi)) => format!("95 % {lo:.3} to {hi:.3}"),
        _ => "no interval of one book".to_owned(),
    };
    output::words(format_args!(
        "    another picture costs a page {difference:.3} nats more than its own ({interval})"
    ))
}

fn table(rows: &[PictureSummary]) -> anyhow::Result<()> {
    output::words(format_args!(
        "{:>8} {:>14} {:>5} {:>8} {:>15}  by level",
        "pictures", "shown", "n", "right", "95 %"
    ))?;
    for row in rows {
        let shown = name_of(row.shown);
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let interval = format!("{:.1} to {:.1} %", 100.0 * row.lo95, 100.0 * row.hi95);
        let levels: Vec<String> =
            row.by_level.iter().map(|(level, share)| format!("{level}: {}", percent(*share))).collect();
        let errors = match (row.character_error_rate, row.anls) {
            (Some(rate), Some(anls)) => format!("; character errors {}, ANLS {anls:.3}", percent(rate)),
            _ => String::new(),
        };
        output::words(format_args!(
            "{:>8} {shown:>14} {:>5} {:>8} {interval:>15}  {}{errors}",
            row.kind,
            row.n,
            percent(row.accuracy),
            levels.join(", ")
        ))?;
    }
    Ok(())
}
