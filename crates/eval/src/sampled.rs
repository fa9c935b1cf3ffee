//! Pass rates of problems with many right answers.

use base::Rng;
use data::{Tokenizer, tasks::Problem};
use model::{Gpt, Request, Sampler, Sampling};
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
) -> usize {
    let mut seeds = Rng::named(seed, &format!("samples/{}", problem.prompt));
    let requests = (0..n)
        .map(|_| Request {
            prompt: prompt.to_vec(),
            // A token stands for a byte at least, and right answers to one prompt are of one length.
            max_new_tokens: problem.answer.len(),
            sampler: Sampler::new(Sampling::default(), seeds.next_u64())
                .expect("the default settings are in range"),
            stop: vec![tokenizer.end_of_text()],
        })
        .collect();
    let completions =
        model::generate(gpt, kernels, requests, &mut |_, id| !tokenizer.decode_bytes(&[id]).contains(&b'\n'));
    completions.iter().filter(|done| problem.accepts(&tokenizer.decode(&done.ids))).count()
}
