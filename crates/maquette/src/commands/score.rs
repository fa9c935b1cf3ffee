//! `maquette score`

use std::path::PathBuf;

use align::{OnRow, Reader, RewardModel, read_conversations, sft_examples};
use data::{ChatTemplate, Said};
use serde_json::json;
use tensor::Cpu;

use crate::{open_model, output, progress};

/// Score answers with a reward model: one JSON object a conversation on stdout
///
/// Of each conversation the last answer is scored: `score` is the model's number, `normalised` the same in standard deviations
/// above the mean of the answers that it learned from.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of a reward model, such as DIR/model of `maquette reward`
    model: PathBuf,
    /// Conversations: .jsonl or .json, also .gz and .zst
    #[arg(long, value_name = "FILE", required = true, value_delimiter = ',')]
    data: Vec<PathBuf>,
    /// Leave rows out that cannot be read, and count them
    #[arg(long)]
    skip_bad_rows: bool,
    /// Compute threads; 0 uses every core. Results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let model = RewardModel::open(&args.model)?;
    let config = model.gpt().config();
    let tokenizer = open_model::tokenizer_of(&args.model, config.vocab_size)?;
    let template = ChatTemplate::load(&args.model, &tokenizer)?;
    let on_row = if args.skip_bad_rows { OnRow::Skip } else { OnRow::Refuse };
    let read = read_conversations(&args.data, on_row)?;
    let mut dropped = read.dropped;
    let kernels = Cpu::new(args.threads);
    for conversation in &read.rows {
        // One by one, so that what is left out is named by its row.
        let reader = Reader {
            template: &template,
            tokenizer: &tokenizer,
            eyes: None,
            seq_len: config.max_seq_len.saturating_sub(1).max(1),
            said: Said::Last,
            on_row,
        };
        let made = sft_examples(std::slice::from_ref(conversation), reader);
        match made {
            Ok(made) => {
                let example = &made.examples[0];
                let score = model.score(&kernels, example);
                let normalised = model.statistics().normalised(score);
                let line = json!({
                    "file": conversation.path, "row": conversation.row, "score": score, "normalised": normalised,
                });
                output::json_line(&line.to_string())?;
            }
            Err(align::AlignError::Nothing { .. }) => dropped.add("too long, or without an answer"),
            Err(error) => return Err(error.into()),
        }
    }
    if !dropped.0.is_empty() {
        progress::say("left out", &dropped.to_string());
    }
    Ok(())
}
