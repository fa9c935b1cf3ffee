//! `maquette export`: a checkpoint becomes a file of another program.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use data::{ChatTemplate, TokenizerParts};
use model::{
    checkpoint,
    gguf::{self, Kind, Value},
};

use crate::{
    open_model, output,
    output_file::{self, OutputFile},
};

/// Make a GGUF file for llama.cpp from a checkpoint
///
/// Hugging Face libraries and vLLM open a checkpoint's folder as it is; llama.cpp and programs built on it need one
/// file with the weights, the tokenizer and the chat template.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A run's folder, such as runs/quickstart, whose newest checkpoint is taken; or the folder of a checkpoint
    checkpoint: PathBuf,
    /// The format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// How matrices are stored: 32, 16, 8.5 or 4.5 bits per weight
    #[arg(long, value_enum, default_value_t)]
    quant: Quant,
    /// The file to write; an existing one is replaced if `export` wrote it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    #[default]
    Gguf,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Quant {
    F32,
    #[default]
    F16,
    Bf16,
    #[value(name = "q8_0")]
    Q8_0,
    #[value(name = "q4_0")]
    Q4_0,
}

impl Quant {
    fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::F32,
            Self::F16 => Kind::F16,
            Self::Bf16 => Kind::BF16,
            Self::Q8_0 => Kind::Q8_0,
            Self::Q4_0 => Kind::Q4_0,
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Format::Gguf = args.format;
    let out = &args.out;
    OutputFile { path: out, option: "--out", kind: output_file::Kind::Gguf }.check()?;
    let dir = &open_model::locate(&args.checkpoint)?;
    let config = checkpoint::read_config(dir)?;
    let tokenizer = open_model::tokenizer_of(dir, config.vocab_size)?;
    let mut metadata = vec![("general.name".to_owned(), Value::String(name(dir)))];
    metadata.extend(tokenizer_metadata(tokenizer.parts(), config.vocab_size));
    if let Some(template) = ChatTemplate::read(dir)? {
        metadata.push(("tokenizer.chat_template".into(), Value::String(template)));
    }
    let gguf::Exported { n_bytes: bytes, stored_as_f16: unfit } =
        gguf::export(dir, out, args.quant.kind(), metadata)?;
    if args.json {
        return output::line(serde_json::json!({
            "file": out,
            "bytes": bytes,
            "bits_per_weight": 8.0 * bytes as f64 / config.n_params() as f64,
            "stored_as_f16": unfit,
            "tokenizer_is_exact": tokenizer.has_exact_parts(),
        }));
    }
    if !unfit.is_empty() {
        output::talk(format_args!(
            "{} matrices have rows that are no multiple of 32 and are stored as f16: {}",
            unfit.len(),
            unfit.join(", ")
        ));
    }
    if !tokenizer.has_exact_parts() {
        output::talk(
            "llama.cpp has no pattern that groups digits by two, as this tokenizer does: numbers of three digits and more \
             will have other tokens there\nhint: train with `tokenizer.digits = 3` for a model to run in llama.cpp",
        );
    }
    output::line(format_args!("{}: {:.1} MB", out.display(), bytes as f64 / 1e6))
}

/// The checkpoint's own name: that of its folder, and of the run where it lies in one.
fn name(dir: &Path) -> String {
    let parts: Vec<_> = dir.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    match &parts[..] {
        [.., run, _, checkpoints, step] if checkpoints == "checkpoints" => format!("{run} {step}"),
        [.., last] => last.to_string(),
        [] => "model".into(),
    }
}

/// What llama.cpp reads of a tokenizer. There is a token for each of the model's `n_rows` ids; those that no text has are
/// named so.
fn tokenizer_metadata(parts: TokenizerParts, n_rows: usize) -> Vec<(String, Value)> {
    const NORMAL: i32 = 1;
    const CONTROL: i32 = 3;
    const USER_DEFINED: i32 = 4;
    const UNUSED: i32 = 5;
    let TokenizerParts { pre, mut tokens, control, added, merges, bos, eos, ends, pad, adds_bos } = parts;
    tokens.resize(n_rows, String::new());
    let mut types: Vec<i32> =
        tokens.iter().map(|token| if token.is_empty() { UNUSED } else { NORMAL }).collect();
    control.iter().for_each(|id| types[*id as usize] = CONTROL);
    added.iter().for_each(|id| types[*id as usize] = USER_DEFINED);
    for (id, token) in tokens.iter_mut().enumerate().filter(|(_, token)| token.is_empty()) {
        *token = format!("[PAD{id}]");
    }
    let texts = |all: Vec<String>| Value::Array(all.into_iter().map(Value::String).collect());
    let mut keys = vec![
        ("model", Value::String("gpt2".into())),
        ("pre", Value::String(pre)),
        ("tokens", texts(tokens)),
        ("token_type", Value::Array(types.into_iter().map(Value::I32).collect())),
        ("merges", texts(merges)),
        ("add_bos_token", Value::Bool(adds_bos)),
    ];
    keys.extend(bos.map(|id| ("bos_token_id", Value::U32(id))));
    keys.extend(eos.map(|id| ("eos_token_id", Value::U32(id))));
    // There is a place for two more; others count there too where llama.cpp knows their names.
    keys.extend(["eot_token_id", "eom_token_id"].into_iter().zip(ends.into_iter().map(Value::U32)));
    keys.extend(pad.map(|id| ("padding_token_id", Value::U32(id))));
    keys.into_iter().map(|(key, value)| (format!("tokenizer.ggml.{key}"), value)).collect()
}
