//! `maquette import`: a model of another program becomes a checkpoint.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use data::{ChatTemplate, Tokenizer, TokenizerParts};
use model::{
    ModelConfig,
    checkpoint::{self, PROCESSOR_FILES, SpecialIds},
    gguf::{GgufFile, Value},
};

use crate::{edits, image_files, open_model, output};

/// Make a checkpoint from a Hugging Face folder or a GGUF file
///
/// Llama, Qwen2 and Qwen3 are supported, and Llava of these with a SigLIP or CLIP encoder of images; a file that needs anything else is refused, with the reason.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A folder with config.json, safetensors and tokenizer.json, or a .gguf file
    #[arg(value_name = "SRC")]
    source: PathBuf,
    /// Folder of the checkpoint; an existing one is replaced if maquette wrote all that is in it
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

/// What every source gives but its weights.
struct Description {
    config: ModelConfig,
    tokenizer: Tokenizer,
    chat_template: Option<String>,
    /// Files beside the model that say how images are prepared.
    processor: Vec<(&'static str, Vec<u8>)>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let newest =
        if open_model::is_run(&args.source) { Some(open_model::locate(&args.source)?) } else { None };
    let (source, out) = (newest.as_ref().unwrap_or(&args.source), &args.out);
    checkpoint::check_target(out, source)?;
    checkpoint::verify_source(source)?;
    if newest.is_none() {
        edits::say(source)?;
    }
    let about = if source.is_dir() {
        let mut about = describe_folder(source)?;
        let tied = about.config.tie_embeddings;
        about.config = publish(out, &about, |tmp, ids| {
            checkpoint::import_folder(source, tmp, ids, about.tokenizer.fingerprint())
        })?;
        if tied && !about.config.tie_embeddings {
            output::talk(
                "config.json ties the head to the embedding, but the weights have a separate head: that head is used, as \
                 in transformers 5",
            );
        }
        about
    } else {
        let file = GgufFile::open(source)?;
        let about = describe_gguf(&file)?;
        publish(out, &about, |tmp, ids| {
            checkpoint::import_gguf(&file, &about.config, tmp, ids, about.tokenizer.fingerprint())
        })?;
        about
    };
    if let Some(remark) = about.tokenizer.remark() {
        output::talk(remark);
    }
    let Description { config, tokenizer, chat_template, .. } = &about;
    if args.json {
        return output::line(serde_json::json!({
            "checkpoint": out,
            "config": config,
            "n_params": config.n_params(),
            "vocab_size": tokenizer.vocab_size(),
            "has_chat_template": chat_template.is_some(),
        }));
    }
    output::line(format_args!(
        "{:.1}M parameters: {} layers, width {}, {} heads, {} key/value heads, vocabulary {}, context {}; {}",
        config.n_params() as f64 / 1e6,
        config.n_layers,
        config.d_model,
        config.n_heads,
        config.n_kv_heads,
        tokenizer.vocab_size(),
        config.max_seq_len,
        if chat_template.is_some() { "with a chat template" } else { "no chat template" },
    ))?;
    output::line(format_args!("checkpoint: {}", out.display()))?;
    super::next::after_import(out);
    Ok(())
}

fn publish<T>(
    out: &Path,
    about: &Description,
    write_weights: impl FnOnce(&Path, &SpecialIds) -> Result<T, checkpoint::CheckpointError>,
) -> anyhow::Result<T> {
    let ids = train::special_ids(&about.tokenizer);
    let (tokens, rows) = (about.tokenizer.vocab_size(), about.config.vocab_size);
    anyhow::ensure!(
        tokens <= rows,
        "the tokenizer has {tokens} tokens, `{}` the first beyond the model's {rows} rows\nhint: tokenizer and weights belong to different models, or a file beside tokenizer.json names a token that the model does not have",
        about.tokenizer.show(rows as u32)
    );
    let mut written = None;
    checkpoint::publish(out, |tmp| -> anyhow::Result<()> {
        written = Some(write_weights(tmp, &ids)?);
        about.tokenizer.save(tmp)?;
        write_processor(tmp, about)?;
        if let Some(template) = &about.chat_template {
            checkpoint::write_file(&tmp.join(ChatTemplate::FILE), template.as_bytes())?;
        }
        Ok(())
    })?;
    written.context("the weights were not written")
}

fn describe_folder(folder: &Path) -> anyhow::Result<Description> {
    let config = checkpoint::read_foreign_config(folder)?;
    let tokenizer = Tokenizer::load(folder)?;
    let processor = match config.vision {
        Some(_) => processor_files(folder)?,
        None => Vec::new(),
    };
    Ok(Description { config, tokenizer, chat_template: folder_template(folder)?, processor })
}

/// The files of a folder that say how images are prepared; they are kept as they are.
fn processor_files(folder: &Path) -> anyhow::Result<Vec<(&'static str, Vec<u8>)>> {
    let mut found = Vec::new();
    for file in PROCESSOR_FILES {
        let path = folder.join(file);
        match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            bytes => found.push((
                file,
                bytes.with_context(|| {
                    format!("cannot read `{}`\nhint: check that you may read the file", path.display())
                })?,
            )),
        }
    }
    Ok(found)
}

/// What says how images are prepared: the folder's own files, or those of a model that is trained here.
fn write_processor(tmp: &Path, about: &Description) -> anyhow::Result<()> {
    let Some(vision) = &about.config.vision else { return Ok(()) };
    for (file, bytes) in &about.processor {
        checkpoint::write_file(&tmp.join(file), bytes)?;
    }
    if about.processor.is_empty() {
        checkpoint::write_processor(tmp, vision, &about.tokenizer.show(vision.image_token))?;
    }
    image_files::preprocessing(tmp, vision).map(drop)
}

/// Its own file, or in older folders a field of `tokenizer_config.json`.
fn folder_template(folder: &Path) -> anyhow::Result<Option<String>> {
    if let Some(text) = ChatTemplate::read(folder)? {
        return Ok(Some(text));
    }
    let path = folder.join("tokenizer_config.json");
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.with_context(|| {
            format!("cannot read `{}`\nhint: check that you may read the file", path.display())
        })?,
    };
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let config: serde_json::Value = serde_json::from_slice(bytes)
        .with_context(|| format!("`{}` is not JSON\nhint: copy the folder again", path.display()))?;
    let template = &config["chat_template"];
    let named = template.as_array().and_then(|all| all.iter().find(|one| one["name"] == "default"));
    Ok(template.as_str().or_else(|| named.and_then(|one| one["template"].as_str())).map(str::to_owned))
}

fn describe_gguf(file: &GgufFile) -> anyhow::Result<Description> {
    let config = file.config()?;
    let text = |key: &str| file.get(key).and_then(Value::as_str);
    let id = |key: &str| file.get(key).and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
    let list = |key: &str| file.get(key).and_then(Value::as_array).unwrap_or_default();
    let path = file.path();
    let kind = text("tokenizer.ggml.model").unwrap_or("none");
    anyhow::ensure!(
        kind == "gpt2",
        "`{}`: the tokenizer is `{kind}`, this build reads `gpt2`, byte-level BPE\nhint: import the Hugging Face folder of another model",
        path.display()
    );
    let strings = |key: &str| list(key).iter().map(|value| value.as_str().map(str::to_owned)).collect();
    let (tokens, merges): (Option<Vec<String>>, Option<Vec<String>>) =
        (strings("tokenizer.ggml.tokens"), strings("tokenizer.ggml.merges"));
    let (Some(tokens), Some(merges)) = (tokens, merges) else {
        anyhow::bail!(
            "`{}`: expected tokens and merges as strings\nhint: the file is damaged",
            path.display()
        );
    };
    let of_type = |wanted: u64| {
        let types = list("tokenizer.ggml.token_type").iter().zip(0u32..);
        types.filter(|(found, _)| found.as_u64() == Some(wanted)).map(|(_, id)| id).collect::<Vec<_>>()
    };
    for (key, why) in [
        ("tokenizer.ggml.add_eos_token", "a token behind every text"),
        ("tokenizer.ggml.add_sep_token", "a token between texts"),
    ] {
        anyhow::ensure!(
            file.get(key).and_then(Value::as_bool) != Some(true),
            "`{}`: `{key}` is true, this build adds no such token: {why}\nhint: import the Hugging Face folder of another model",
            path.display()
        );
    }
    let pre = text("tokenizer.ggml.pre").unwrap_or("none").to_owned();
    let flag = file.get("tokenizer.ggml.add_bos_token").and_then(Value::as_bool);
    let parts = TokenizerParts {
        // Unsaid, llama.cpp begins texts of Llama 3 with a BOS and others not.
        adds_bos: flag.unwrap_or(pre == "llama-bpe"),
        pre,
        tokens,
        control: of_type(3),
        added: of_type(4),
        merges,
        bos: id("tokenizer.ggml.bos_token_id"),
        eos: id("tokenizer.ggml.eos_token_id"),
        ends: ["eot_token_id", "eom_token_id"]
            .iter()
            .filter_map(|key| id(&format!("tokenizer.ggml.{key}")))
            .collect(),
        pad: id("tokenizer.ggml.padding_token_id"),
    };
    let tokenizer = Tokenizer::from_parts(path, &parts)?;
    let chat_template = text("tokenizer.chat_template").map(str::to_owned);
    Ok(Description { config, tokenizer, chat_template, processor: Vec::new() })
}
