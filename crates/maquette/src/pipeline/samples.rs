//! The stage `samples`: texts that the finished model writes.

use std::{fs, path::Path};

use data::{SpecialTokens, Tokenizer};
use model::{Engine, EngineSettings, Request, checkpoint};
use tensor::{DType, Kernels};

use super::{
    run::Run,
    stage::{Stage, hash},
};
use crate::{
    progress,
    recipe::Samples,
    run_dir::{SAMPLES, SAMPLES_INPUTS, SUMMARY, Sample, write_whole},
};

/// Writes the samples, or keeps those that are there.
#[derive(Debug)]
pub(crate) struct WriteSamples;

impl Stage for WriteSamples {
    fn name(&self) -> &'static str {
        "samples"
    }

    fn about(&self) -> &'static str {
        "Generate the samples of the recipe's prompts"
    }

    fn inputs(&self, run: &Run) -> anyhow::Result<String> {
        let plan = run.plan()?;
        let recipe = &plan.recipe;
        Ok(hash(&[plan.inputs(), &serde_json::to_string(&(&recipe.samples, recipe.seed))?]))
    }

    fn run(&self, run: &Run) -> anyhow::Result<()> {
        let (inputs, recipe) = (self.inputs(run)?, &run.plan()?.recipe);
        run.require("pretrain", SUMMARY.trim_start_matches("pretrain/"), "pretrain")?;
        let (path, made_from) = (run.dir.join(SAMPLES), run.dir.join(SAMPLES_INPUTS));
        if fs::read_to_string(&made_from).is_ok_and(|made_from| made_from == inputs)
            && let Some(kept) = Sample::read_all(&path)
        {
            match kept {
                Ok(kept) if kept.len() == recipe.samples.prompts.len() => return Ok(()),
                _ => progress::say("samples", &format!("`{}` is damaged: written again", path.display())),
            }
        }
        let dtype = recipe.train.dtype.unwrap_or_default().into();
        let (settings, seed, checkpoint) = (&recipe.samples, recipe.seed, run.checkpoint()?);
        let samples = write(settings, seed, run.tokenizer()?, &checkpoint, &*run.kernels, dtype)?;
        Sample::write_all(&path, &samples)?;
        write_whole(&made_from, inputs.as_bytes())
    }
}

/// Refuses prompts that the model could not read, before it is trained.
pub(super) fn check_prompts(run: &Run, max_seq_len: usize) -> anyhow::Result<()> {
    let (samples, tokenizer) = (&run.recipe()?.samples, run.tokenizer()?);
    for prompt in &samples.prompts {
        prompt_within(tokenizer, prompt, samples.special_tokens, max_seq_len)?;
    }
    Ok(())
}

/// Continues every prompt of the recipe, each with a seed of its own.
fn write(
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
            let (sampling, stop) = (settings.sampling.clone(), vec![tokenizer.end_of_text()]);
            Ok(Request { sampling, seed, stop, ..Request::new(prompt, max_new_tokens) })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let step = dir.file_name().and_then(|name| name.to_str()?.strip_prefix("step-")?.parse().ok());
    let engine_settings = EngineSettings::for_sequences(settings.prompts.len(), max_seq_len);
    let completions = Engine::new(&gpt, kernels, engine_settings).complete(requests, &mut |_, _| true)?;
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
fn prompt_within(
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
