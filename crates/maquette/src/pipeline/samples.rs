//! Texts that a finished model writes.

use std::path::Path;

use data::{SpecialTokens, Tokenizer};
use model::{Request, Sampler, checkpoint};
use tensor::{DType, Kernels};

use crate::{recipe::Samples, run_dir::Sample};

/// Continues every prompt of the recipe, each with a seed of its own.
pub(super) fn write(
    settings: &Samples,
    seed: u64,
    tokenizer: &Tokenizer,
    dir: &Path,
    kernels: &dyn Kernels,
    dtype: DType,
) -> anyhow::Result<Vec<Sample>> {
    let mut gpt = checkpoint::read_model(dir)?.with_dtype(dtype);
    gpt.pack(kernels);
    let max_seq_len = gpt.config().max_seq_len;
    let seeds = (0..).map(|i| seed.wrapping_add(i));
    let requests = settings
        .prompts
        .iter()
        .zip(seeds)
        .map(|(prompt, seed)| {
            let prompt = prompt_within(tokenizer, prompt, settings.special_tokens, max_seq_len)?;
            let max_new_tokens = settings.max_tokens.min(max_seq_len - prompt.len());
            Ok(Request {
                prompt,
                max_new_tokens,
                sampler: Sampler::new(settings.sampling.clone(), seed)?,
                stop: vec![tokenizer.end_of_text()],
            })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let step = dir.file_name().and_then(|name| name.to_str()?.strip_prefix("step-")?.parse().ok());
    let completions = model::generate(&gpt, kernels, requests, &mut |_, _| true);
    let samples = settings.prompts.iter().zip(completions).enumerate().map(|(i, (prompt, done))| Sample {
        prompt: prompt.clone(),
        text: tokenizer.decode(&done.ids),
        temperature: settings.sampling.temperature,
        top_p: settings.sampling.top_p,
        seed: seed.wrapping_add(i as u64),
        step: step.unwrap_or(0),
        n_tokens: done.ids.len(),
    });
    Ok(samples.collect())
}

/// A prompt's ids, with room left to add to them.
pub(super) fn prompt_within(
    tokenizer: &Tokenizer,
    prompt: &str,
    special_tokens: SpecialTokens,
    max_seq_len: usize,
) -> anyhow::Result<Vec<u32>> {
    let ids = prompt_ids(tokenizer, prompt, special_tokens);
    anyhow::ensure!(
        ids.len() < max_seq_len,
        "a prompt of [samples] is {} tokens, the model reads {max_seq_len}\nhint: shorten it",
        ids.len()
    );
    Ok(ids)
}

/// A prompt's ids, behind a BOS where the model wants one and the prompt does not begin with it. An empty prompt begins a
/// new text, as every document of the training began.
pub(crate) fn prompt_ids(tokenizer: &Tokenizer, prompt: &str, special_tokens: SpecialTokens) -> Vec<u32> {
    let ids = tokenizer.encode_as(prompt, special_tokens);
    match tokenizer.bos().filter(|bos| ids.first() != Some(bos)) {
        None if ids.is_empty() => vec![tokenizer.begin_of_text()],
        bos => bos.into_iter().chain(ids).collect(),
    }
}
