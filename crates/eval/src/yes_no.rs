//! Questions whose answer is yes or no: a model in a file says how likely it holds either, one behind an endpoint writes it.

use data::{Message, Tokenizer};
use rayon::prelude::*;

use crate::{
    ExamError, Pair, Scorer,
    endpoint::{self, Endpoint, EndpointSettings, Failure},
    refusal,
};

/// Tokens that an answer may take: one word, and room for a model that says a little first.
const MAX_TOKENS: usize = 64;
/// Ways of writing either answer.
const YES: [&str; 2] = ["yes", "Yes"];
const NO: [&str; 2] = ["no", "No"];

/// What a model makes of a question.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct YesNo {
    /// `ln p(yes) − ln p(no)`, in nats.
    pub log_odds: f64,
    /// `p(yes) + p(no)`: how likely it is that the model would answer with either.
    pub mass: f64,
}

/// How likely a model holds yes and no to be behind each prompt; capital letters make no difference. The same prompts get the
/// same bits, whatever is asked beside them.
///
/// # Panics
/// If a prompt is empty.
pub fn yes_or_no(scorer: &mut Scorer<'_>, tokenizer: &Tokenizer, prompts: &[Vec<u32>]) -> Vec<YesNo> {
    let answers: Vec<Vec<u32>> = YES.iter().chain(&NO).map(|word| tokenizer.encode(word)).collect();
    let pairs: Vec<Pair> = prompts
        .iter()
        .flat_map(|prompt| answers.iter().map(|answer| Pair::of_ids(prompt.clone(), answer)))
        .collect();
    let scored = scorer.score(&pairs);
    let probability = |likelihoods: &[crate::Likelihood]| {
        likelihoods.iter().map(|likelihood| likelihood.loglikelihood.exp()).sum::<f64>()
    };
    let log_sum = |likelihoods: &[crate::Likelihood]| {
        let most = likelihoods.iter().map(|l| l.loglikelihood).fold(f64::NEG_INFINITY, f64::max);
        most + likelihoods.iter().map(|l| (l.loglikelihood - most).exp()).sum::<f64>().ln()
    };
    scored
        .chunks(answers.len())
        .map(|all| {
            let (yes, no) = all.split_at(YES.len());
            YesNo { log_odds: log_sum(yes) - log_sum(no), mass: probability(yes) + probability(no) }
        })
        .collect()
}

/// Whether a text answers with yes or no, where it answers with one of them: as its first word, or as in "The answer is no". What
/// stands in front of the end of a model's thoughts is passed over.
pub fn read_yes_or_no(said: &str) -> Option<bool> {
    let said = said.rsplit_once("</think>").map_or(said, |(_, answer)| answer);
    let words: Vec<String> = said
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let mut words = words.iter().map(String::as_str).peekable();
    while words.next_if(|word| ["the", "my", "final", "answer", "is"].contains(word)).is_some() {}
    let either = |word: &str| match word {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    };
    let first = either(words.next()?)?;
    // "Yes or no", "yes/no", "yes and no" are neither.
    let is_both = words.take(2).filter_map(either).any(|other| other != first);
    (!is_both).then_some(first)
}

/// A model behind an endpoint that is asked questions.
#[derive(Debug)]
pub struct Asker {
    endpoint: Endpoint,
    n_parallel: usize,
}

impl Asker {
    /// Of a server; `n_parallel` questions are asked at a time.
    ///
    /// # Errors
    /// If the address is none, the server names no model, or it is to be asked too much at a time.
    pub fn new(settings: &EndpointSettings, n_parallel: usize) -> Result<Self, ExamError> {
        settings.options.check_parallel(n_parallel)?;
        Ok(Self { endpoint: Endpoint::new(settings)?, n_parallel })
    }

    /// What may be done about a failure.
    pub fn hint(&self, failure: &Failure) -> String {
        self.endpoint.hint(failure)
    }

    /// The address.
    pub fn url(&self) -> &str {
        self.endpoint.url()
    }

    /// The model's name there.
    pub fn model(&self) -> &str {
        self.endpoint.model()
    }

    /// Whether each question is answered with yes or no, or why it is not. Where a whole set of questions failed because nobody
    /// answers, the others are not asked, and failed for the same reason.
    pub fn ask(&self, questions: &[String]) -> Vec<Result<bool, Failure>> {
        let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(self.n_parallel).build() else {
            return questions.iter().map(|question| self.ask_one(question)).collect();
        };
        let mut answers = Vec::with_capacity(questions.len());
        for set in questions.chunks(self.n_parallel) {
            let said: Vec<_> =
                pool.install(|| set.par_iter().map(|question| self.ask_one(question)).collect());
            let unanswered = said.iter().all(|answer| answer.as_ref().err().is_some_and(nobody_answers));
            let failure = said.last().and_then(|answer| answer.clone().err()).filter(|_| unanswered);
            answers.extend(said);
            if let Some(failure) = failure {
                answers.resize(questions.len(), Err(failure));
                break;
            }
        }
        answers
    }

    fn ask_one(&self, question: &str) -> Result<bool, Failure> {
        let draw = endpoint::deterministic(MAX_TOKENS);
        let said = self.endpoint.chat(&[Message::new("user", question)], &draw)?.text;
        read_yes_or_no(&said).ok_or_else(|| match refusal::read(&said).reply.is_refusal() {
            true => Failure::JudgeRefused,
            false => Failure::NoVerdict,
        })
    }
}

/// Whether another question is likely to fail in the same way.
fn nobody_answers(failure: &Failure) -> bool {
    failure.is_general()
        || matches!(failure, Failure::Timeout { .. } | Failure::Status { .. } | Failure::Closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_yes_no_or_neither() {
        for (said, expected) in [
            ("yes", Some(true)),
            ("No.", Some(false)),
            (" **YES**, because it apologises", Some(true)),
            ("The answer is: no", Some(false)),
            ("Answer: Yes", Some(true)),
            ("<think>yes or no? no doubt</think>\nno", Some(false)),
            ("no, there is no apology", Some(false)),
            ("", None),
            ("yes/no", None),
            ("Yes and no.", None),
            ("yes or no", None),
            ("no_compliance", None),
            ("I can't answer that.", None),
            ("Nothing of the kind", None),
            ("noyes", None),
        ] {
            assert_eq!(read_yes_or_no(said), expected, "{said}");
        }
    }

    /// Likelihoods are those of the words, and do not depend on what is asked beside them.
    #[test]
    fn a_model_is_asked_by_its_likelihoods() {
        let tokenizer = Tokenizer::bytes();
        let shape = model::scaling::ModelOverrides::default();
        let gpt = model::Gpt::new(shape.config(tokenizer.vocab_size(), 64, 16), 1);
        let kernels = tensor::Cpu::new(1);
        let prompts: Vec<Vec<u32>> = ["Is it?", "Is it so?"].map(|text| tokenizer.encode(text)).into();
        let both = yes_or_no(&mut Scorer::new(&gpt, &kernels, 2), &tokenizer, &prompts);
        let alone = yes_or_no(&mut Scorer::new(&gpt, &kernels, 1), &tokenizer, &prompts[1..]);
        assert_eq!(both[1].log_odds.to_bits(), alone[0].log_odds.to_bits());
        let pairs: Vec<Pair> = ["yes", "Yes", "no", "No"]
            .map(|word| Pair::of_ids(prompts[0].clone(), &tokenizer.encode(word)))
            .into();
        let p: Vec<f64> =
            Scorer::new(&gpt, &kernels, 1).score(&pairs).iter().map(|l| l.loglikelihood.exp()).collect();
        assert!((both[0].log_odds - ((p[0] + p[1]) / (p[2] + p[3])).ln()).abs() < 1e-9);
        assert!((both[0].mass - p.iter().sum::<f64>()).abs() < 1e-12);
    }
}
