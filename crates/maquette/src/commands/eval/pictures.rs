//! Questions about pictures.

use std::path::Path;

use anyhow::Context as _;
use data::{
    DataError,
    image::{Background, ImageLimits, Preprocessing, decode},
    interleaved::{self, Row, RowPart},
    pictures::{Drawer, N_LEVELS, PictureKind, SetDocument, Side},
};
use eval::{
    pictures::{Asked, PictureAnswer, PictureQuestion, PictureSummary, Shown, ask, summarise},
    vision::PictureMetric,
};
use model::{Picture, VisionConfig};
use tensor::Cpu;

use super::Args;
use crate::{
    image_files,
    open_model::{self, Opened},
    output,
    output_file::{Kind, OutputFile},
};

/// Questions of each kind where nobody asks for a number.
const LIMIT: usize = 100;

/// Easy questions of each kind: enough to see a model look, few enough to wait for.
const N_EASY: usize = 60;

/// Seed of the pictures that are drawn: no training's, and with other faces, colours and contents in any case.
const SEED: u64 = 90_210;

/// Whether it is a kind of pictures, by its name in `--tasks`.
pub(super) fn knows(name: &str) -> bool {
    kind_of(name).is_some()
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

fn kind_of(name: &str) -> Option<PictureKind> {
    PictureKind::ALL.into_iter().find(|kind| kind.name() == name)
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let limit = args.limit.unwrap_or(LIMIT);
    anyhow::ensure!(
        (1..=100_000).contains(&limit),
        "--limit must be from 1 to 100,000, found {limit}\nhint: 100 questions of a kind show a difference of some ten percent"
    );
    let path = args.out.as_ref().map(|out| out.join("pictures.jsonl"));
    let file = path.as_ref().map(|path| OutputFile { path, option: "--out", kind: Kind::Answers });
    if let Some(file) = &file {
        file.check()?;
    }
    let kernels = Cpu::new(args.threads);
    let Opened { gpt, tokenizer, dir } =
        open_model::open(args.checkpoint()?, &kernels, args.dtype.precision().into())?;
    let vision = gpt.config().vision.as_ref().context(
        "expected a model that reads images, found one of text alone\nhint: train one with recipes/vision.toml",
    )?;
    let preprocessing = image_files::preprocessing(&dir, vision)?;
    let mut questions = Vec::new();
    for name in &args.tasks {
        questions.extend(match kind_of(name) {
            Some(kind) => drawn(kind, N_LEVELS, limit, &preprocessing, vision),
            None => of_file(Path::new(name), limit, &preprocessing, vision)?,
        });
    }
    let mut answers: Vec<PictureAnswer> = Vec::new();
    for shown in Shown::ALL {
        answers.extend(ask(&gpt, &kernels, &tokenizer, &questions, shown, usize::from(args.batch))?);
    }
    if let Some(file) = &file {
        let lines = answers.iter().map(|answer| serde_json::to_string(answer).map(|line| line + "\n"));
        file.write(lines.collect::<Result<String, _>>()?.as_bytes())?;
    }
    let rows = summarise(&answers);
    match args.json {
        true => output::json(&serde_json::json!({ "pictures": rows })),
        false => table(&rows),
    }
}

/// Asks easy questions about every kind of picture.
pub(super) fn ask_easy(checkpoint: &Path, threads: usize) -> anyhow::Result<()> {
    let kernels = Cpu::new(threads);
    let Opened { gpt, tokenizer, dir } = open_model::open(checkpoint, &kernels, tensor::DType::F32)?;
    let Some(vision) = &gpt.config().vision else { return Ok(()) };
    let preprocessing = image_files::preprocessing(&dir, vision)?;
    let of_kind = |kind| drawn(kind, 1, N_EASY, &preprocessing, vision);
    let questions: Vec<PictureQuestion> = PictureKind::ALL.into_iter().flat_map(of_kind).collect();
    let mut answers = Vec::new();
    for shown in Shown::ALL {
        answers.extend(ask(&gpt, &kernels, &tokenizer, &questions, shown, 32)?);
    }
    table(&summarise(&answers))
}

/// Held-out pictures that are drawn now, with questions of the levels from 1 to `max_level` in turns.
fn drawn(
    kind: PictureKind,
    max_level: u32,
    n: usize,
    preprocessing: &Preprocessing,
    vision: &VisionConfig,
) -> Vec<PictureQuestion> {
    let drawer = Drawer { seed: SEED, side_pixels: vision.image_size.max(Drawer::MIN_SIDE_PIXELS) };
    let question = |i: usize| {
        let (i, levels) = (i as u64, u64::from(max_level));
        let index = i / levels * u64::from(N_LEVELS) + i % levels;
        let drawn = drawer.draw(kind, Side::Test, index);
        let picture = Picture::new(preprocessing.patches(&drawn.image, vision.patch_size));
        let asked = vec![Asked::Picture(picture), Asked::Text(SetDocument::asked(&drawn.question))];
        PictureQuestion {
            kind: kind.name().to_owned(),
            level: drawn.level,
            asked,
            answers: vec![drawn.answer],
            metric: PictureMetric::of(kind),
        }
    };
    (0..n).map(question).collect()
}

/// The first questions of a file.
fn of_file(
    path: &Path,
    n: usize,
    preprocessing: &Preprocessing,
    vision: &VisionConfig,
) -> anyhow::Result<Vec<PictureQuestion>> {
    let limits = ImageLimits::default();
    let mut rows = interleaved::open(path, limits)?;
    let mut questions = Vec::new();
    while questions.len() < n
        && let Some(row) = rows.next_row()?
    {
        let Row { place, parts, question } = row;
        let question = question.with_context(|| {
            format!(
                "expected a question about a picture in {place}, found a text\n\
                 hint: a row has `image`, `question` and `answer`; docs/pictures.md has all forms"
            )
        })?;
        let drawn = question.kind.as_deref().and_then(kind_of).map(PictureMetric::of);
        let metric = match &question.metric {
            None => drawn.unwrap_or(PictureMetric::ExactIgnoringCase),
            Some(name) => PictureMetric::named(name).with_context(|| {
                let names: Vec<&str> = PictureMetric::ALL.into_iter().map(PictureMetric::name).collect();
                format!("expected a metric in {place}, found `{name}`\nhint: {}", names.join(", "))
            })?,
        };
        let mut asked = Vec::new();
        for part in parts {
            match part {
                RowPart::Question(text) => asked.push(Asked::Text(text)),
                RowPart::Image(bytes) => {
                    let image = decode(&bytes, &place, &limits, Background::WHITE)?;
                    let patches = preprocessing.patches(&image, vision.patch_size);
                    asked.push(Asked::Picture(Picture::new(patches)));
                }
                // The answer.
                RowPart::Text(_) => {}
            }
        }
        let stem = || path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        questions.push(PictureQuestion {
            kind: question.kind.unwrap_or_else(|| stem().trim_end_matches(".jsonl").to_owned()),
            level: question.level.unwrap_or(0),
            asked,
            answers: question.answers,
            metric,
        });
    }
    anyhow::ensure!(
        !questions.is_empty(),
        "expected questions about pictures in `{}`, found none\nhint: a row has `image`, `question` and `answer`",
        path.display()
    );
    Ok(questions)
}

fn table(rows: &[PictureSummary]) -> anyhow::Result<()> {
    output::words(format_args!(
        "{:>8} {:>14} {:>5} {:>8} {:>15}  by level",
        "pictures", "shown", "n", "right", "95 %"
    ))?;
    for row in rows {
        let shown = match row.shown {
            Shown::Own => "their own",
            Shown::Nothing => "no picture",
            Shown::Another => "another one",
        };
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
