//! `maquette explain`

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;
use data::{
    ChatTemplate, Message, SpecialTokens,
    image::{RgbImage, with_comment},
};
use eval::attribution::{AttributionSettings, Hiding};
use model::VisionConfig;
use serde::{Deserialize, Serialize};
use tensor::{Cpu, DType};

use super::generate;
use crate::{
    explanation::{Explainer, Explanation},
    heat_map, image_files,
    open_model::{self, Opened},
    output,
    output_file::{Kind, OutputFile},
    report,
    run_dir::ExplainedAnswer,
    stop,
};

/// Show which parts of a picture an answer depends on
///
/// Of every patch in which the model reads a picture: what the log-probability of the answer would lose if it were hidden, by its
/// gradient (gradient × input), and what it does lose (occlusion), in nats. How far the two agree is their rank correlation; a
/// test hides the first patches of each map together, and as many at random. Computed in f32.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A run's folder, such as runs/vision, whose newest checkpoint is taken; or the folder of a checkpoint
    checkpoint: PathBuf,
    /// Show the model a picture: PNG, JPEG, WebP or GIF; can be given several times. Each stands where the question has an image
    /// token, such as <|image|> or <image>, or in front of the question if that has none
    #[arg(long, value_name = "FILE", required = true)]
    image: Vec<PathBuf>,
    /// What is asked about it
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// The answer that is explained; the model's own most likely one if not given
    #[arg(long, value_name = "TEXT")]
    answer: Option<String>,
    /// Ask through the model's chat template instead of in the form of the questions that are trained on here
    #[arg(long)]
    chat: bool,
    /// Where maps go: a picture (.png), a page (.html), or a folder for both and explanation.json. A picture has in a row for
    /// each image: the image, gradient × input, occlusion
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Colour of hidden patches, from which gradient × input counts: the mean of the picture, or that of the model's preprocessing
    #[arg(long, value_enum, value_name = "COLOUR", default_value_t)]
    hide_with: Colour,
    /// Patches that the test hides together; an eighth of all if not given
    #[arg(long, value_name = "N", value_parser = super::positive::<usize>())]
    hidden: Option<usize>,
    /// Random sets of patches that the test compares with
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    draws: u32,
    /// Seed of these
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Maximum number of tokens of the model's own answer
    #[arg(long, value_name = "N", default_value_t = 48, value_parser = super::positive::<usize>())]
    max_tokens: usize,
    /// Compute threads; 0 uses every core. Results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Print the numbers as JSON on stdout
    #[arg(long)]
    json: bool,
}

/// The colour of hidden patches.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Colour {
    /// The mean colour of the picture
    #[default]
    Picture,
    /// The mean colour of the model's preprocessing
    Model,
}

/// What `--json` prints.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Numbers {
    question: String,
    answer: String,
    answer_ids: Vec<u32>,
    /// Width and height of a picture in patches.
    patches_per_side: usize,
    settings: AttributionSettings,
    #[serde(flatten)]
    attribution: eval::attribution::Attribution,
}

/// What a folder of an explanation holds.
const IN_FOLDER: [&str; 3] = ["explanation.png", "explanation.html", "explanation.json"];

/// Refuses a folder with anything else in it.
fn check_folder(out: &Path) -> anyhow::Result<()> {
    let Ok(entries) = std::fs::read_dir(out) else { return Ok(()) };
    let is_other = |name: &std::ffi::OsString| !IN_FOLDER.iter().any(|own| name == own);
    if let Some(other) = entries.flatten().map(|entry| entry.file_name()).find(is_other) {
        anyhow::bail!(
            "expected a new folder, or one of an explanation, at `{}`, found `{}` in it\n\
             hint: choose another folder with --out, or name a .png or .html file",
            out.display(),
            other.display()
        );
    }
    Ok(())
}

/// The files that are written.
#[derive(Default)]
struct Targets {
    picture: Option<PathBuf>,
    page: Option<PathBuf>,
    numbers: Option<PathBuf>,
}

impl Targets {
    fn of(out: Option<&Path>) -> anyhow::Result<Self> {
        let Some(out) = out else { return Ok(Self::default()) };
        let here = || Some(out.to_owned());
        let ending =
            out.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
        const OTHERS: [&str; 9] = ["gif", "htm", "jpeg", "jpg", "json", "pdf", "svg", "webp", "txt"];
        match &ending[..] {
            "png" => Ok(Self { picture: here(), ..Self::default() }),
            "html" => Ok(Self { page: here(), ..Self::default() }),
            other if OTHERS.contains(&other) && !out.is_dir() => anyhow::bail!(
                "expected a .png, an .html or a folder as --out, found `{}`\n\
                 hint: numbers go to stdout with --json, or to explanation.json in a folder",
                out.display()
            ),
            _ => {
                check_folder(out)?;
                let [picture, page, numbers] = IN_FOLDER.map(|name| Some(out.join(name)));
                Ok(Self { picture, page, numbers })
            }
        }
    }

    fn files(&self) -> [Option<OutputFile<'_>>; 3] {
        let file = |path, kind| OutputFile { path, option: "--out", kind };
        [
            self.picture.as_deref().map(|path| file(path, Kind::Map)),
            self.page.as_deref().map(|path| file(path, Kind::Page)),
            self.numbers.as_deref().map(|path| file(path, Kind::Numbers)),
        ]
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let targets = Targets::of(args.out.as_deref())?;
    targets.files().iter().flatten().try_for_each(OutputFile::check)?;
    let kernels = Cpu::new(args.threads);
    let Opened { gpt, tokenizer, dir } = open_model::open(&args.checkpoint, &kernels, DType::F32)?;
    let vision = gpt.config().vision.as_ref().context(
        "expected a model that reads images, found one of text alone\nhint: train one with recipes/vision.toml",
    )?;
    let answer = args.answer.as_ref().map(|answer| tokenizer.encode(answer));
    // Before a picture is decoded, and long before the model answers.
    check_bounds(args, vision, gpt.config().max_seq_len, answer.as_deref())?;
    let images = image_files::decoded(&args.image)?;
    let prompt = prompt(args, &dir, &images, vision, &tokenizer)?;
    check_length(&prompt, answer.as_deref(), gpt.config().max_seq_len)?;
    let hiding = match args.hide_with {
        Colour::Picture => Hiding::Picture,
        Colour::Model => Hiding::Model,
    };
    let settings =
        AttributionSettings { hiding, n_hidden: args.hidden, n_draws: args.draws as usize, seed: args.seed };
    let explainer = Explainer {
        gpt: &gpt,
        kernels: &kernels,
        tokenizer: &tokenizer,
        preprocessing: image_files::preprocessing(&dir, vision)?,
        settings,
        max_tokens: args.max_tokens,
    };
    let explanation = explainer.explain(&prompt, &images, answer).map_err(stop::abandoned)?;
    write(args, &targets, &explanation)?;
    let numbers = Numbers {
        question: args.prompt.clone(),
        answer: explanation.answer,
        answer_ids: explanation.answer_ids,
        patches_per_side: vision.image_size / vision.patch_size,
        settings,
        attribution: explanation.attribution,
    };
    if let [.., Some(file)] = targets.files() {
        file.write(format!("{}\n", serde_json::to_string_pretty(&numbers)?).as_bytes())?;
    }
    match args.json {
        true => output::json(&numbers),
        false => table(&numbers),
    }
}

/// Refuses more pictures than the model can read, more hidden patches than they have, and no answer.
fn check_bounds(
    args: &Args,
    vision: &VisionConfig,
    max_seq_len: usize,
    answer: Option<&[u32]>,
) -> anyhow::Result<()> {
    let (n_images, n_patches) = (args.image.len(), vision.n_patches());
    // A token of the question or more stands beside them.
    let most = max_seq_len.saturating_sub(1) / n_patches;
    anyhow::ensure!(
        n_images <= most,
        "expected at most {most} pictures, found {n_images}: each takes {n_patches} of the {max_seq_len} tokens that this model reads\n\
         hint: leave out some of --image"
    );
    let (n_hidden, n_patches) = (args.hidden.unwrap_or(1), n_images * n_patches);
    anyhow::ensure!(
        n_hidden <= n_patches,
        "expected --hidden of at most the {n_patches} patches of the pictures, found {n_hidden} of {n_patches} patches\n\
         hint: leave it out to hide an eighth of them"
    );
    anyhow::ensure!(
        answer.is_none_or(|answer| !answer.is_empty()),
        "expected an answer to explain, found an empty one\nhint: leave --answer out to explain the model's own"
    );
    Ok(())
}

/// Refuses a question and an answer that are longer than what the model reads.
fn check_length(prompt: &[u32], answer: Option<&[u32]>, max_seq_len: usize) -> anyhow::Result<()> {
    // The last token of an answer is not read; of the model's own there is one at least.
    let n_answer = answer.map_or(1, <[u32]>::len);
    let n_tokens = prompt.len() + n_answer - 1;
    anyhow::ensure!(
        n_tokens <= max_seq_len,
        "expected pictures, question and answer of at most {max_seq_len} tokens, found {n_tokens}, {n_answer} of them the answer's\n\
         hint: shorten --prompt or --answer, or leave out a picture"
    );
    Ok(())
}

/// The question with the placeholders of its images.
fn prompt(
    args: &Args,
    dir: &Path,
    images: &[RgbImage],
    vision: &VisionConfig,
    tokenizer: &data::Tokenizer,
) -> anyhow::Result<Vec<u32>> {
    if !args.chat {
        return Ok(generate::with_images(
            SpecialTokens::Parse,
            &args.prompt,
            &vec![String::new(); images.len()],
            vision,
            tokenizer,
        ));
    }
    let template = ChatTemplate::load(dir, tokenizer)?;
    let message = Message::new("user", args.prompt.clone()).with_images(images.len());
    let ids = template.encode(tokenizer, &[message], true)?;
    let n = ids.iter().filter(|id| **id == vision.image_token).count();
    anyhow::ensure!(
        n == images.len(),
        "expected the chat template to write {} image tokens, found {n}\n\
         hint: `chat_template.jinja` must write one for each part of type `image`",
        images.len()
    );
    Ok(vision.expanded(&ids))
}

/// Writes the picture and the page.
fn write(args: &Args, targets: &Targets, explanation: &Explanation) -> anyhow::Result<()> {
    let [picture, page, _] = targets.files();
    if let Some(file) = picture {
        let rows: Vec<Vec<&RgbImage>> = explanation
            .maps
            .iter()
            .map(|maps| vec![&maps.picture, &maps.gradient_input, &maps.occlusion])
            .collect();
        let scale = MIN_SIDE_PIXELS.div_ceil(rows[0][0].width());
        file.write(&with_comment(
            heat_map::sheet(&rows, scale).to_png(),
            output::WRITER.0,
            output::WRITER.1,
        ))?;
    }
    if let Some(file) = page {
        let answer = ExplainedAnswer {
            kind: String::new(),
            question: args.prompt.clone(),
            prediction: explanation.answer.clone(),
            answers: Vec::new(),
            score: None,
            pictures: explanation.maps.iter().map(|maps| maps.encoded()).collect(),
            attribution: explanation.attribution.clone(),
        };
        file.write(report::render_explained(&answer).as_bytes())?;
    }
    Ok(())
}

/// Maps of smaller pictures are enlarged.
const MIN_SIDE_PIXELS: usize = 256;

fn table(numbers: &Numbers) -> anyhow::Result<()> {
    let Numbers { answer, attribution, .. } = numbers;
    let deletion = &attribution.deletion;
    output::words(format_args!("answer: {answer}"))?;
    output::words(format_args!("log-probability: {:.3} nats", attribution.log_prob_nats))?;
    output::words(match attribution.rank_correlation {
        Some(rank) => format!("rank correlation of gradient × input and occlusion: {rank:.3}"),
        None => "rank correlation: none, a map is the same everywhere".to_owned(),
    })?;
    output::words(format_args!(
        "{:>22} {:>10} {:>13} {:>18}",
        format!("hidden: {} of {}", deletion.n_hidden, attribution.occlusion_nats.len()),
        "loss, nats",
        "above random",
        "95 %"
    ))?;
    for (name, drop) in
        [("by gradient × input", &deletion.by_gradient_input), ("by occlusion", &deletion.by_occlusion)]
    {
        let interval = format!("{:.3} to {:.3}", drop.lo95, drop.hi95);
        output::words(format_args!(
            "{name:>22} {:>10.3} {:>13.3} {interval:>18}",
            drop.nats, drop.above_random_nats
        ))?;
    }
    let interval = format!("{:.3} to {:.3}", deletion.random_lo95, deletion.random_hi95);
    output::words(format_args!(
        "{:>22} {:>10.3} {:>13} {interval:>18}",
        "at random", deletion.random_nats, ""
    ))
}
