//! `maquette generate`

mod file;
mod text;

use std::{borrow::Cow, path::PathBuf};

use data::{SpecialNames, SpecialTokens, Tokenizer, interleaved::PLACEHOLDERS};
use model::{Completion, Engine, EngineSettings, Finish, Gpt, Request, Sampling, VisionConfig};
use serde::Serialize;
use tensor::Cpu;

use self::text::ContinuedText;
use crate::{
    commands::Dtype,
    image_files,
    open_model::{self, Opened},
    pipeline::prompt_ids,
    stop,
    video_files::{self, Frames, VideoOptions},
};

/// Continue a text with a checkpoint
///
/// Only the continuation goes to stdout. The same seed gives the same text. On a terminal control characters are shown,
/// such as \x1b; in a pipe or a file they are unchanged.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A run's folder, such as runs/quickstart, whose newest checkpoint is taken; or the folder of a checkpoint
    checkpoint: PathBuf,
    /// Text to continue; empty starts a new text
    #[arg(long, default_value = "")]
    prompt: String,
    /// Continue every prompt of a file instead, many at a time: .jsonl with a "prompt" on each line, and perhaps "images", files
    /// beside it or data URLs. One JSON object a prompt goes to stdout. Line i, the first being 0, draws with the seed plus i
    #[arg(long, value_name = "FILE", conflicts_with = "prompt")]
    prompts: Option<PathBuf>,
    /// Show the model a picture: PNG, JPEG, WebP or GIF; can be given several times. Each stands where the prompt has an image
    /// token, such as <|image|> or <image>, or in front of the prompt if that has none
    #[arg(long, value_name = "FILE", conflicts_with = "prompts")]
    image: Vec<PathBuf>,
    #[command(flatten)]
    video: VideoOptions,
    /// How names of special tokens in a prompt, such as <|im_start|>, are read: as the tokens, as in transformers and
    /// llama.cpp, or as plain text, which is safe for untrusted text
    #[arg(long, value_enum, value_name = "AS", default_value_t)]
    special_tokens: Special,
    /// Batch size for the prompts of a file
    #[arg(long, value_name = "N", default_value_t = 16, requires = "prompts")]
    batch: usize,
    /// Maximum number of tokens to add
    #[arg(long, value_name = "N", default_value_t = 100)]
    max_tokens: usize,
    /// Text that ends the continuation and is no part of it; can be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    #[command(flatten)]
    sampling: SamplingOptions,
    /// Data type of activations and of the inputs of matrix products
    #[arg(long, value_enum, default_value_t)]
    dtype: Dtype,
    /// Compute threads; 0 uses every core. Results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Print text, ids, log-probabilities and the stop reason as JSON
    #[arg(long)]
    json: bool,
}

/// What the names of special tokens in a prompt are taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Special {
    /// As the tokens
    #[default]
    Parse,
    /// As plain text
    Text,
}

impl From<Special> for SpecialTokens {
    fn from(special: Special) -> Self {
        match special {
            Special::Parse => Self::Parse,
            Special::Text => Self::Text,
        }
    }
}

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct SamplingOptions {
    /// Random seed: the same one gives the same text
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,
    /// Divides the logits; 0 always takes the most likely token
    #[arg(long, value_name = "T", default_value_t = 0.8)]
    temperature: f64,
    /// Keep the K most likely tokens; 0 keeps all
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: usize,
    /// Keep the fewest tokens whose probabilities add up to P
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f64,
    /// Keep tokens at least P times as likely as the most likely one
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    min_p: f64,
    /// Penalty on the logits of tokens that already occur in the text; 1 turns it off
    #[arg(long, value_name = "R", default_value_t = 1.0)]
    repetition_penalty: f64,
    /// Taken from the logit of a token for each time that it was already added; 0 turns it off
    #[arg(long, value_name = "A", default_value_t = 0.0, allow_negative_numbers = true)]
    pub(super) frequency_penalty: f64,
    /// Taken from the logit of a token that was already added; 0 turns it off
    #[arg(long, value_name = "A", default_value_t = 0.0, allow_negative_numbers = true)]
    pub(super) presence_penalty: f64,
}

impl SamplingOptions {
    /// All but the seed.
    pub(super) fn sampling(&self) -> Sampling {
        Sampling {
            repetition_penalty: self.repetition_penalty,
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
        }
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    prompt: &'a str,
    prompt_ids: &'a [u32],
    text: String,
    ids: &'a [u32],
    logprobs: &'a [f32],
    finish: &'static str,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!(
        args.stop.iter().all(|stop| !stop.is_empty()),
        "--stop must be a text, found an empty one\nhint: leave the option out to end at the end of the text"
    );
    args.video.check_fps()?;
    let kernels = Cpu::new(args.threads);
    let opened = open_model::open(&args.checkpoint, &kernels, args.dtype.precision().into())?;
    if let Some(path) = &args.prompts {
        anyhow::ensure!(
            args.video.video.is_none(),
            "expected --prompts or --video, found both\nhint: show a moving picture with --prompt"
        );
        return file::continue_file(args, path, &opened, &kernels);
    }
    let Opened { gpt, tokenizer, dir } = opened;
    let max_seq_len = gpt.config().max_seq_len;
    tell_names(args, &[&args.prompt], &tokenizer);
    let vision = gpt.config().vision.as_ref();
    let shown = match args.video.video {
        Some(_) => args.video.open(&dir, vision)?,
        None => Frames::still(image_files::open(&args.image, &dir, vision)?),
    };
    let request = request(args, &args.prompt, args.sampling.seed, &gpt, &tokenizer, shown)?;
    let prompt = request.prompt.clone();
    let mut text = ContinuedText::new(&args.stop, &tokenizer);
    let mut written = Ok(());
    let mut engine = Engine::new(&gpt, &kernels, settings(1, [&request]));
    let mut completions = engine.complete(vec![request], &mut |_, token| {
        let part = text.push(token.id);
        if !args.json {
            written = crate::output::part(&part);
        }
        !text.has_ended && written.is_ok() && stop::check().is_continue()
    })?;
    written?;
    let done = completions.remove(0);
    let rest = text.finish();
    let n_tokens = done.ids.len();
    let is_stopped = stop::check().is_break();
    if is_stopped && args.json {
        // A cut text would look like one that ended.
    } else if args.json {
        crate::output::json_line(&json(&args.prompt, &prompt, &done, text.text)?)?;
    } else {
        crate::output::line(rest)?;
    }
    if done.finish == Finish::ContextFull {
        crate::output::talk(format_args!(
            "stopped at {max_seq_len} tokens: the longest sequence that this model was made for"
        ));
    }
    anyhow::ensure!(!is_stopped, stop::Abandoned(format!(" after {n_tokens} tokens")));
    Ok(())
}

fn request(
    args: &Args,
    prompt: &str,
    seed: u64,
    gpt: &Gpt,
    tokenizer: &Tokenizer,
    shown: Frames,
) -> anyhow::Result<Request> {
    let Frames { pictures: images, before } = shown;
    let prompt = match (&gpt.config().vision, images.len()) {
        (Some(vision), 1..) => with_images(args.special_tokens.into(), prompt, &before, vision, tokenizer),
        (Some(vision), 0) => {
            let special = args.special_tokens.into();
            prompt_ids(tokenizer, &named_places(special, prompt, vision, tokenizer), special)
        }
        _ => prompt_ids(tokenizer, prompt, args.special_tokens.into()),
    };
    let max_seq_len = gpt.config().max_seq_len;
    anyhow::ensure!(
        prompt.len() < max_seq_len,
        "the prompt is {} tokens, this model reads {max_seq_len} with what it adds\nhint: {}",
        prompt.len(),
        match (args.video.video.is_some(), images.len()) {
            (true, n) => format!("show fewer than {n} frames with --frames, or shorten the prompt"),
            (false, 0) => "shorten the prompt".to_owned(),
            (false, _) => "show fewer pictures, or shorten the prompt".to_owned(),
        }
    );
    let sampling = args.sampling.sampling();
    sampling.validate()?;
    let SamplingOptions { frequency_penalty, presence_penalty, .. } = args.sampling;
    Ok(Request {
        sampling,
        seed,
        stop: tokenizer.stops(),
        images,
        frequency_penalty,
        presence_penalty,
        ..Request::new(prompt, args.max_tokens)
    })
}

/// The prompt with every placeholder under the name of the model's own, so that `<image>` is one for each of them.
fn named_places<'a>(
    special_tokens: SpecialTokens,
    prompt: &'a str,
    vision: &VisionConfig,
    tokenizer: &Tokenizer,
) -> Cow<'a, str> {
    let own = tokenizer.show(vision.image_token);
    if special_tokens == SpecialTokens::Text || tokenizer.special(&own) != Some(vision.image_token) {
        return Cow::Borrowed(prompt);
    }
    let others = PLACEHOLDERS.iter().filter(|name| tokenizer.special(name).is_none());
    others.fold(Cow::Borrowed(prompt), |prompt, name| match prompt.contains(name) {
        true => Cow::Owned(prompt.replace(name, &own)),
        false => prompt,
    })
}

/// The prompt with the placeholders of images: where it has image tokens, or as a question about them, which is how models learn
/// it here, with what stands before each.
pub(super) fn with_images(
    special_tokens: SpecialTokens,
    prompt: &str,
    before: &[String],
    vision: &VisionConfig,
    tokenizer: &Tokenizer,
) -> Vec<u32> {
    let prompt = named_places(special_tokens, prompt, vision, tokenizer);
    let ids = prompt_ids(tokenizer, &prompt, special_tokens);
    if ids.contains(&vision.image_token) {
        return vision.expanded(&ids);
    }
    let question = tokenizer.encode(&format!("\n{prompt}\n"));
    let ids = [vec![tokenizer.begin_of_text()], vec![vision.image_token; before.len()], question].concat();
    video_files::expanded(&ids, vision, before, tokenizer)
}

/// Room for `n` of the requests at a time. What is longer than the model reads takes no room.
fn settings<'a>(n: usize, requests: impl IntoIterator<Item = &'a Request>) -> EngineSettings {
    let longest = requests.into_iter().map(|r| r.prompt.len().saturating_add(r.max_new_tokens)).max();
    EngineSettings::for_sequences(n, longest.unwrap_or(0))
}

/// Says what became of names of special tokens in the prompts.
fn tell_names(args: &Args, prompts: &[&str], tokenizer: &Tokenizer) {
    let names = SpecialNames::of(tokenizer);
    let found = || prompts.iter().flat_map(|prompt| names.find(prompt).map(move |place| &prompt[place]));
    let Some(first) = found().next() else { return };
    let what = match found().count() {
        1 => format!("`{first}` in the prompt was"),
        n => format!("{n} names of special tokens in the prompts, such as `{first}`, were"),
    };
    crate::output::talk(match args.special_tokens {
        Special::Parse => {
            format!("{what} read as special tokens; --special-tokens text reads them as plain text")
        }
        Special::Text => {
            format!("{what} read as plain text; --special-tokens parse reads them as special tokens")
        }
    });
}

fn json(prompt: &str, prompt_ids: &[u32], done: &Completion, text: String) -> anyhow::Result<String> {
    let finish = match done.finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ContextFull => "context_full",
    };
    let (ids, logprobs) = (&done.ids, &done.logprobs);
    Ok(serde_json::to_string(&Output { prompt, prompt_ids, text, ids, logprobs, finish })?)
}
