//! `maquette generate`

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use data::{SpecialNames, SpecialTokens, StreamDecoder, Tokenizer};
use model::{Completion, Engine, EngineSettings, Event, Finish, Gpt, Request, Sampling};
use serde::Serialize;
use tensor::Cpu;

use crate::{
    commands::Dtype,
    open_model::{self, Opened},
    pipeline::prompt_ids,
    stop,
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
    /// Continue every prompt of a file instead, many at a time: .jsonl with a "prompt" on each line. One JSON object a
    /// prompt goes to stdout
    #[arg(long, value_name = "FILE", conflicts_with = "prompt")]
    prompts: Option<PathBuf>,
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
    /// Random seed
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
    let kernels = Cpu::new(args.threads);
    let Opened { gpt, tokenizer, .. } =
        open_model::open(&args.checkpoint, &kernels, args.dtype.precision().into())?;
    if let Some(path) = &args.prompts {
        return continue_file(args, path, &gpt, &tokenizer, &kernels);
    }
    let max_seq_len = gpt.config().max_seq_len;
    tell_names(args, &[&args.prompt], &tokenizer);
    let request = request(args, &args.prompt, args.sampling.seed, &gpt, &tokenizer)?;
    let prompt = request.prompt.clone();
    let mut decoder = StreamDecoder::new(tokenizer.clone());
    let mut written = Ok(());
    let mut engine = Engine::new(&gpt, &kernels, settings(1, [&request]));
    let mut completions = engine.complete(vec![request], &mut |_, token| {
        if !args.json {
            written = crate::output::part(&decoder.push(token.id));
        }
        written.is_ok() && stop::check().is_continue()
    })?;
    // A reader that has seen enough and closed the pipe is no failure.
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
        written => written.context("cannot write to stdout\nhint: free some space where it leads")?,
    }
    let done = completions.remove(0);
    if args.json {
        crate::output::json_line(&json(&args.prompt, &prompt, &done, &tokenizer)?)?;
    } else {
        crate::output::line(decoder.finish())?;
    }
    if done.finish == Finish::ContextFull {
        crate::output::talk(format_args!(
            "stopped at {max_seq_len} tokens: the longest sequence that this model was made for"
        ));
    }
    Ok(())
}

fn request(
    args: &Args,
    prompt: &str,
    seed: u64,
    gpt: &Gpt,
    tokenizer: &Tokenizer,
) -> anyhow::Result<Request> {
    let prompt = prompt_ids(tokenizer, prompt, args.special_tokens.into());
    let max_seq_len = gpt.config().max_seq_len;
    anyhow::ensure!(
        prompt.len() < max_seq_len,
        "the prompt is {} tokens, this model reads {max_seq_len} with what it adds\nhint: shorten the prompt",
        prompt.len()
    );
    let sampling = args.sampling.sampling();
    sampling.validate()?;
    Ok(Request { sampling, seed, stop: tokenizer.stops(), ..Request::new(prompt, args.max_tokens) })
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

fn json(
    prompt: &str,
    prompt_ids: &[u32],
    done: &Completion,
    tokenizer: &Tokenizer,
) -> anyhow::Result<String> {
    let finish = match done.finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ContextFull => "context_full",
    };
    let text = tokenizer.decode(&done.ids);
    let (ids, logprobs) = (&done.ids, &done.logprobs);
    Ok(serde_json::to_string(&Output { prompt, prompt_ids, text, ids, logprobs, finish })?)
}

/// Continues a file's prompts, `--batch` at a time: the next begins where one ends. The prompt of line `i` draws with the seed plus `i`,
/// so that its text does not depend on the lines beside it.
fn continue_file(
    args: &Args,
    path: &Path,
    gpt: &Gpt,
    tokenizer: &Tokenizer,
    kernels: &Cpu,
) -> anyhow::Result<()> {
    anyhow::ensure!(args.batch > 0, "--batch must be at least 1, found 0\nhint: 16 is fast on most machines");
    let bytes = std::fs::read(path)
        .with_context(|| format!("cannot read `{}`\nhint: check the path", path.display()))?;
    let text = data::text_of(path, bytes)?;
    // All of them first: a bad line is reported before hours of work.
    let mut prompts = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let value: Option<serde_json::Value> = serde_json::from_str(line).ok();
        let prompt = value.as_ref().and_then(|value| value["prompt"].as_str()).with_context(|| {
            format!(
                "expected a JSON object with a text \"prompt\" in line {} of `{}`, found `{}`\nhint: such as {{\"prompt\": \"Once upon\"}}",
                i + 1,
                path.display(),
                line.chars().take(60).collect::<String>()
            )
        })?;
        let request = request(args, prompt, args.sampling.seed.wrapping_add(i as u64), gpt, tokenizer)
            .with_context(|| format!("in line {} of `{}`", i + 1, path.display()))?;
        prompts.push((prompt.to_owned(), request));
    }
    let texts: Vec<&str> = prompts.iter().map(|(prompt, _)| prompt.as_str()).collect();
    tell_names(args, &texts, tokenizer);
    let mut engine = Engine::new(gpt, kernels, settings(args.batch, prompts.iter().map(|(_, r)| r)));
    let mut places = HashMap::new();
    for (i, (_, request)) in prompts.iter().enumerate() {
        places.insert(engine.submit(request.clone())?, i);
    }
    // Completions come in any order and are written in that of the file.
    let mut done: Vec<(Completion, bool)> = prompts.iter().map(|_| (Completion::empty(), false)).collect();
    let mut n_written = 0;
    while !engine.is_idle() {
        let is_interrupted = stop::check().is_break();
        if is_interrupted {
            done.iter_mut().filter(|(done, has_ended)| !has_ended && !done.ids.is_empty()).for_each(
                |(done, has_ended)| {
                    (done.finish, *has_ended) = (Finish::Stop, true);
                },
            );
        } else {
            for event in engine.step() {
                match event {
                    Event::Token { sequence, token } => done[places[&sequence]].0.push(&token),
                    Event::Finished { sequence, finish, .. } => {
                        let (done, has_ended) = &mut done[places[&sequence]];
                        (done.finish, *has_ended) = (finish, true);
                    }
                }
            }
        }
        while let Some(((done, true), (prompt, request))) = done.get(n_written).zip(prompts.get(n_written)) {
            crate::output::json_line(&json(prompt, &request.prompt, done, tokenizer)?)?;
            n_written += 1;
        }
        if is_interrupted {
            break;
        }
    }
    Ok(())
}
