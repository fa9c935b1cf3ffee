//! Pass rates of problems with many right answers.

use base::Rng;
use data::{Tokenizer, tasks::Problem};
use model::{DecodeError, Engine, EngineSettings, Gpt, Request};
use tensor::Kernels;

/// How many of `n` samples at temperature 1 are right.
///
/// A sample ends with the line, with end-of-text, or when it is as long as the answer. The seeds of the samples come
/// from `seed` and the prompt, so a problem's passes do not depend on what else is evaluated.
pub(crate) fn n_passes(
    gpt: &Gpt,
    kernels: &dyn Kernels,
    tokenizer: &Tokenizer,
    problem: &Problem,
    prompt: &[u32],
    n: usize,
    seed: u64,
) -> Result<usize, DecodeError> {
    let mut seeds = Rng::named(seed, &format!("samples/{}", problem.prompt));
    // A token stands for a byte at least, and right answers to one prompt are of one length.
    let max_new_tokens = problem.answer.len();
    let stop = vec![tokenizer.end_of_text()];
    let requests = (0..n)
        .map(|_| Request {
            seed: seeds.next_u64(),
            stop: stop.clone(),
            ..Request::new(prompt.to_vec(), max_new_tokens)
        })
        .collect();
    let settings = EngineSettings::for_sequences(n, prompt.len() + max_new_tokens);
    // The prompt is read once, whatever the number of samples.
    let completions = Engine::new(gpt, kernels, settings)
        .complete(requests, &mut |_, token| !tokenizer.decode_bytes(&[token.id]).contains(&b'\n'))?;
    Ok(completions.iter().filter(|done| problem.accepts(&tokenizer.decode(&done.ids))).count())
}
