//! `maquette inspect`

use std::path::PathBuf;

use model::{Tokens, checkpoint};
use tensor::Cpu;

use super::Dtype;
use crate::{
    open_model, output,
    output_file::{Kind, OutputFile},
};

/// Show a checkpoint's shape, or write its logits for given tokens
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A run's folder, whose newest checkpoint is taken, or the folder of a checkpoint
    checkpoint: PathBuf,
    /// Token ids, separated by commas
    #[arg(long, value_name = "ID,ID,..", value_delimiter = ',', requires = "logits")]
    ids: Vec<u32>,
    /// Where to write the logits of every position, [T, V] in f32, as safetensors; existing logits are replaced
    #[arg(long, value_name = "FILE", requires = "ids")]
    logits: Option<PathBuf>,
    /// Data type of activations and of the inputs of matrix products
    #[arg(long, value_enum, default_value_t = Dtype::F32, requires = "logits")]
    dtype: Dtype,
    /// Compute threads; 0 uses every core. Results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Print JSON; a shape is always printed as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.logits.as_deref().map(|path| OutputFile { path, option: "--logits", kind: Kind::Logits });
    if let Some(file) = &file {
        file.check()?;
    }
    let (dir, mut gpt) = open_model::read(&args.checkpoint)?;
    let config = gpt.config();
    let Some(file) = file else {
        let shown = serde_json::json!({
            "checkpoint": dir,
            "config": config,
            "n_params": config.n_params(),
            "n_matrix_params": config.n_matrix_params(),
            "train_flops_per_token": config.train_flops_per_token(config.max_seq_len),
            "about": checkpoint::read_about(&dir)?,
        });
        return output::json(&shown);
    };
    let len = args.ids.len();
    anyhow::ensure!(
        len <= config.max_seq_len,
        "expected at most {} ids, found {len}\nhint: that is the longest sequence of this model",
        config.max_seq_len
    );
    if let Some(id) = args.ids.iter().find(|id| **id as usize >= config.vocab_size) {
        anyhow::bail!(
            "expected ids below {}, found {id}\nhint: that is this model's vocabulary",
            config.vocab_size
        );
    }
    let rows: Vec<usize> = (0..len).collect();
    let kernels = Cpu::new(args.threads);
    gpt = gpt.with_dtype(args.dtype.precision().into());
    let logits = gpt.logits(&kernels, &Tokens::packed(args.ids.clone(), [len]), &rows, None);
    checkpoint::write_logits(file.path, &logits)?;
    if args.json {
        output::json(&serde_json::json!({ "logits": file.path, "shape": logits.shape() }))?;
    }
    Ok(())
}
