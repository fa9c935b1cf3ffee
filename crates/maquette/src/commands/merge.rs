//! `maquette merge`

use std::path::PathBuf;

use data::ChatTemplate;
use model::checkpoint;

use crate::{open_model, output};

/// Add low-rank adapters to the weights of the model that they were made for
///
/// The adapters are a folder of the library peft: adapter_config.json and adapter_model.safetensors, such as DIR/adapter of a
/// fine-tuning with --rank. What is not computed here (DoRA, biases, whole modules) is refused by name.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of a checkpoint, or of a run
    base: PathBuf,
    /// The folder of the adapters
    #[arg(long, value_name = "DIR")]
    adapter: PathBuf,
    /// Folder of the checkpoint; an existing one is replaced if maquette wrote all that is in it
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let (dir, gpt) = open_model::read(&args.base)?;
    checkpoint::check_target(&args.out, &dir)?;
    let tokenizer = open_model::tokenizer_of(&dir, gpt.config().vocab_size)?;
    let merged = checkpoint::merge_peft(&gpt, &args.adapter)?;
    let template = ChatTemplate::read(&dir)?;
    checkpoint::publish(&args.out, |tmp| -> anyhow::Result<()> {
        let ids = train::special_ids(&tokenizer);
        checkpoint::write_model(tmp, &merged, &ids, tokenizer.fingerprint())?;
        tokenizer.save(tmp)?;
        if let Some(vision) = &merged.config().vision {
            let image_token = tokenizer.show(vision.image_token);
            checkpoint::write_processor_like(Some(&dir), tmp, vision, &image_token)?;
        }
        if let Some(template) = &template {
            checkpoint::write_file(&tmp.join(ChatTemplate::FILE), template.as_bytes())?;
        }
        Ok(())
    })?;
    output::line(format_args!("checkpoint: {}", args.out.display()))?;
    super::next::after_import(&args.out);
    Ok(())
}
