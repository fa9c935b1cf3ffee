//! How likely a model is to solve problems.

use data::{Tokenizer, tasks::Problem};
use model::{Gpt, Tokens};
use tensor::{IGNORE_TARGET, Kernels};

use crate::{EvalError, Outcome, Score, sampled};

/// Inputs of one forward pass: enough rows to keep the kernels busy, few enough to stay in the caches.
const BATCH_TOKENS: usize = 2048;

/// How capabilities are measured.
#[derive(Clone, Debug, PartialEq)]
pub struct CapabilitySettings {
    /// Samples for each problem with many right answers; at least 100, for fewer say nothing about rare passes.
    pub n_samples: usize,
    /// Seed of these samples.
    pub seed: u64,
}

impl Default for CapabilitySettings {
    fn default() -> Self {
        Self { n_samples: 100, seed: 0 }
    }
}

/// The chance that `gpt`, sampling at temperature 1, answers each of `problems` right: one score a problem, in their
/// order.
///
/// A prompt is read as the beginning of a document, behind end-of-text. Where one answer is right, its probability
/// `Π p(token | what stands before)` is the pass rate, and is computed without sampling: under a tokenizer with
/// merges, that of the answer's own tokens, since other ways to spell it are never trained on. Where many are, the
/// answers to [`CapabilitySettings::n_samples`] samples are checked.
///
/// Scores do not depend on the other problems or on the number of threads. Costs a forward pass over every exact
/// problem, and one over every sample, token by token; a packed `gpt` ([`Gpt::pack`]) is faster and gives the same.
///
/// # Errors
/// If a setting is out of range, the tokenizer does not fit the model, or a problem its context.
pub fn capability(
    gpt: &Gpt,
    kernels: &dyn Kernels,
    tokenizer: &Tokenizer,
    problems: &[Problem],
    settings: &CapabilitySettings,
) -> Result<Vec<Score>, EvalError> {
    capability_while(gpt, kernels, tokenizer, problems, settings, &|| true)
}

/// [`capability`] as long as `goes_on`, which is asked again and again, says so.
///
/// # Errors
/// Those of [`capability`], and [`EvalError::Stopped`].
pub fn capability_while(
    gpt: &Gpt,
    kernels: &dyn Kernels,
    tokenizer: &Tokenizer,
    problems: &[Problem],
    settings: &CapabilitySettings,
    goes_on: &dyn Fn() -> bool,
) -> Result<Vec<Score>, EvalError> {
    let check = || if goes_on() { Ok(()) } else { Err(EvalError::Stopped) };
    if settings.n_samples < 100 {
        return Err(EvalError::Setting {
            name: "n_samples",
            expected: "at least 100",
            found: settings.n_samples.to_string(),
            hint: "evaluate fewer problems instead, if time is short",
        });
    }
    let (n_rows, n_tokens) = (gpt.config().vocab_size, tokenizer.vocab_size());
    if n_tokens > n_rows {
        return Err(EvalError::Vocabulary { n_rows, n_tokens });
    }
    let encoded: Vec<Encoded> =
        problems.iter().map(|problem| Encoded::new(problem, tokenizer, gpt)).collect::<Result<_, _>>()?;

    let exact: Vec<usize> = (0..problems.len()).filter(|&i| problems[i].task.has_one_answer()).collect();
    let exact = exact.iter().map(|&i| &encoded[i]);
    let mut log_probs = exact_log_probs(gpt, kernels, exact, &check)?.into_iter();
    let outcomes = problems.iter().zip(&encoded).map(|(problem, encoded)| -> Result<Outcome, EvalError> {
        if problem.task.has_one_answer() {
            return Ok(Outcome::Exact { log_prob: log_probs.next().expect("one for each exact problem") });
        }
        check()?;
        let (n, prompt) = (settings.n_samples, &encoded.ids[..encoded.n_prompt]);
        let passes = sampled::n_passes(gpt, kernels, tokenizer, problem, prompt, n, settings.seed)?;
        Ok(Outcome::Sampled { n, passes })
    });
    let scores = problems.iter().zip(outcomes);
    scores.map(|(problem, outcome)| Ok(Score { problem: problem.clone(), outcome: outcome? })).collect()
}

/// A problem as a model reads it.
struct Encoded {
    /// End-of-text, the prompt, the answer.
    ids: Vec<u32>,
    /// How many of them stand before the answer.
    n_prompt: usize,
}

impl Encoded {
    fn new(problem: &Problem, tokenizer: &Tokenizer, gpt: &Gpt) -> Result<Self, EvalError> {
        if problem.answer.is_empty() {
            return Err(EvalError::Setting {
                name: "answer",
                expected: "a character or more",
                found: format!("none after `{}`", problem.prompt),
                hint: "correct the problem; a suite has an answer to each",
            });
        }
        let prompt = tokenizer.encode(&problem.prompt);
        let whole = tokenizer.encode(&format!("{}{}", problem.prompt, problem.answer));
        // A merge across the border would hide where the answer begins; no problem of a suite has one.
        let answer = match whole.strip_prefix(&prompt[..]) {
            Some(answer) => answer.to_vec(),
            None => tokenizer.encode(&problem.answer),
        };
        let n_prompt = 1 + prompt.len();
        let ids = [&[tokenizer.begin_of_text()], &prompt[..], &answer[..]].concat();
        let (n_tokens, max_seq_len) =
            (Self::n_read(problem, n_prompt, answer.len()), gpt.config().max_seq_len);
        if n_tokens > max_seq_len {
            let Problem { task, difficulty, .. } = *problem;
            return Err(EvalError::TooLong { task, difficulty, n_tokens, max_seq_len });
        }
        Ok(Self { ids, n_prompt })
    }

    /// Inputs that the model reads: all but the last token, which it only has to give.
    fn n_read(problem: &Problem, n_prompt: usize, n_answer: usize) -> usize {
        let n_longest = if problem.task.has_one_answer() { n_answer } else { problem.answer.len() };
        n_prompt + n_longest - 1
    }
}

/// `ln p(answer | prompt)` of each problem, several in a forward pass. A token's loss has the same bits in any batch.
fn exact_log_probs<'a>(
    gpt: &Gpt,
    kernels: &dyn Kernels,
    encoded: impl Iterator<Item = &'a Encoded>,
    check: &dyn Fn() -> Result<(), EvalError>,
) -> Result<Vec<f64>, EvalError> {
    let mut log_probs = Vec::new();
    let mut batch = Batch::default();
    for problem in encoded {
        if !batch.lens.is_empty() && batch.ids.len() + problem.ids.len() > BATCH_TOKENS {
            check()?;
            std::mem::take(&mut batch).run(gpt, kernels, &mut log_probs);
        }
        batch.push(problem);
    }
    if !batch.lens.is_empty() {
        batch.run(gpt, kernels, &mut log_probs);
    }
    Ok(log_probs)
}

/// Problems that share a forward pass.
#[derive(Default)]
struct Batch {
    ids: Vec<u32>,
    targets: Vec<u32>,
    lens: Vec<usize>,
}

impl Batch {
    fn push(&mut self, problem: &Encoded) {
        let n_inputs = problem.ids.len() - 1;
        self.ids.extend(&problem.ids[..n_inputs]);
        self.targets.extend((1..problem.n_prompt).map(|_| IGNORE_TARGET));
        self.targets.extend(&problem.ids[problem.n_prompt..]);
        self.lens.push(n_inputs);
    }

    fn run(self, gpt: &Gpt, kernels: &dyn Kernels, log_probs: &mut Vec<f64>) {
        let tokens = Tokens::packed(self.ids, self.lens.iter().copied());
        let losses = gpt.losses(kernels, &tokens, &self.targets);
        let mut rest = losses.f32();
        for len in self.lens {
            let (own, others) = rest.split_at(len);
            log_probs.push(-own.iter().map(|&loss| f64::from(loss)).sum::<f64>());
            rest = others;
        }
    }
}
