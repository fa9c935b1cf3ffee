//! `maquette sft`

use std::{path::PathBuf, sync::Arc};

use align::{OnRow, Reader, read_conversations, sft_examples};
use base::hash::xxh3_64;
use clap::ValueEnum;
use data::Said;
use tensor::Cpu;
use train::{Example, Eyes, Masked};

use super::tuned;
use crate::{
    image_files, progress,
    tune::{Base, Made, TuneOptions, Tuned, split, train},
};

/// Teach a model to answer: supervised fine-tuning on conversations
///
/// The loss is on what the assistant says, the end of its turn included. Conversations are read as OpenAI's `messages`,
/// ShareGPT's `conversations`, Alpaca's `instruction` and `output`, or `prompt` and `completion`. A model that reads images
/// learns from pictures too: parts of type `image_url` or `image`, or LLaVA's `<image>` for the row's `image` or `images`; names
/// are relative to the file.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A run's folder, such as runs/quickstart, whose newest checkpoint is taken; or the folder of a checkpoint
    base: PathBuf,
    /// Which of the assistant's turns are learned
    #[arg(long, value_enum, value_name = "TURNS", default_value_t)]
    learn: Learn,
    #[command(flatten)]
    options: TuneOptions,
}

/// Which of the assistant's turns are learned.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Learn {
    /// Every turn
    #[default]
    All,
    /// The last turn alone
    Last,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let options = &args.options;
    options.check()?;
    let base = Base::open(&args.base)?;
    let seq_len = options.seq_len(&base)?;
    let on_row = if options.skip_bad_rows { OnRow::Skip } else { OnRow::Refuse };
    let read = read_conversations(&options.data, on_row)?;
    let said = match args.learn {
        Learn::All => Said::All,
        Learn::Last => Said::Last,
    };
    let eyes = match &base.config.vision {
        Some(vision) => {
            let preprocessing = image_files::preprocessing(&base.dir, vision)?;
            Some(Eyes { vision: vision.clone(), preprocessing })
        }
        None => None,
    };
    let (template, tokenizer, eyes_of) = (&base.template, &base.tokenizer, eyes.as_ref());
    let made =
        sft_examples(&read.rows, Reader { template, tokenizer, eyes: eyes_of, seq_len, said, on_row })?;
    made.notices.iter().for_each(|notice| progress::say("left out", notice));
    let mut dropped = read.dropped;
    dropped.join(made.dropped);
    let (examples, held_out) = split(made.examples, options.held_out, identity);
    let left_out = if dropped.0.is_empty() { String::new() } else { format!("; left out: {dropped}") };
    progress::say(
        "data",
        &format!("{} conversations, {} held out{left_out}", examples.len(), held_out.len()),
    );
    anyhow::ensure!(
        !examples.is_empty() && !held_out.is_empty(),
        "expected at least two different conversations, found one\nhint: one is learned from, one is held out"
    );
    let settings = options.settings(&base, seq_len, examples.len())?;
    let masked = Masked::with_eyes(examples, held_out, &settings, base.tokenizer.token_bytes(), eyes)?;
    let masked = options.replay.beside(Box::new(masked), &base, &settings)?;
    let made = Made {
        method: "sft".into(),
        base_weights: base.weights.clone(),
        data: masked.fingerprint().to_owned(),
        train: settings,
        tuning: options.tuning(),
        settings: serde_json::json!({}),
    };
    let folder = Tuned::open(&options.out, &made)?;
    let kernels = Arc::new(Cpu::new(options.threads));
    let finished = train("sft", &folder, &made, &base, masked, &kernels)?;
    tuned::print(&finished, options.json)
}

/// What tells an example from others: its tokens, and its pictures.
fn identity(example: &Example) -> Vec<u32> {
    let hashes = example.images.iter().flat_map(|image| {
        let hash = xxh3_64(image.pixels());
        [hash as u32, (hash >> 32) as u32]
    });
    example.ids.iter().copied().chain(hashes).collect()
}
