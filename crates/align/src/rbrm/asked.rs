//! Graders that are models: one in a file, and one behind an endpoint.

use std::sync::{Arc, Mutex, PoisonError};

use data::{ChatTemplate, Message, Tokenizer};
use eval::{Asker, Scorer, endpoint::Failure, yes_or_no};
use model::Gpt;
use tensor::Kernels;

use super::{Answered, Grader, GraderId, Grades, Questions};

/// Questions that are read at a time.
const N_PARALLEL: usize = 16;

const NO_QUESTION: &str = "no question about it in the file of propositions";

/// A model in a file: a proposition holds where the model holds yes to be likelier than no, and two runs say the same.
pub struct ModelGrader {
    gpt: Gpt,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    kernels: Arc<dyn Kernels>,
    questions: Questions,
    id: GraderId,
}

impl ModelGrader {
    /// A model with its tokenizer and chat template, packed for `kernels`; `id` says which it is.
    pub fn new(
        gpt: Gpt,
        tokenizer: Tokenizer,
        template: ChatTemplate,
        kernels: Arc<dyn Kernels>,
        questions: Questions,
        id: GraderId,
    ) -> Self {
        Self { gpt, tokenizer, template, kernels, questions, id }
    }

    /// The ids of a question.
    fn prompt(&self, answered: &Answered<'_>, name: &str) -> Result<Vec<u32>, String> {
        let text = self.questions.text(name, answered.messages, answered.answer).ok_or(NO_QUESTION)?;
        let ids = self.template.encode(&self.tokenizer, &[Message::new("user", text)], true);
        let ids = ids.map_err(|_| "a chat template that does not write the question".to_owned())?;
        // Either answer takes a few tokens behind it.
        let most = self.gpt.config().max_seq_len.saturating_sub(8);
        match ids.len() {
            1.. if ids.len() <= most => Ok(ids),
            _ => Err("a question longer than the grader reads".into()),
        }
    }
}

impl Grader for ModelGrader {
    fn id(&self) -> GraderId {
        self.id.clone()
    }

    fn grade(&self, answers: &[Answered<'_>], names: &[&str]) -> Vec<Grades> {
        let questions: Vec<Result<Vec<u32>, String>> = answers
            .iter()
            .flat_map(|answered| names.iter().map(|name| self.prompt(answered, name)))
            .collect();
        let prompts: Vec<Vec<u32>> = questions.iter().filter_map(|prompt| prompt.clone().ok()).collect();
        let mut scorer = Scorer::new(&self.gpt, &*self.kernels, N_PARALLEL);
        let mut read = yes_or_no(&mut scorer, &self.tokenizer, &prompts).into_iter();
        let verdicts = questions.into_iter().map(|prompt| {
            prompt.and_then(|_| match read.next().map(|read| read.log_odds) {
                Some(log_odds) if log_odds.is_finite() && log_odds != 0.0 => Ok(log_odds > 0.0),
                _ => Err("neither yes nor no is likelier".into()),
            })
        });
        sorted(verdicts, answers.len(), names)
    }
}

/// A model behind an endpoint: a proposition holds where it answers yes.
pub struct EndpointGrader {
    asker: Asker,
    questions: Questions,
    /// Why a question had no verdict, the last time.
    failure: Mutex<Option<Failure>>,
}

impl EndpointGrader {
    /// Asks `questions`.
    pub fn new(asker: Asker, questions: Questions) -> Self {
        Self { asker, questions, failure: Mutex::new(None) }
    }
}

impl Grader for EndpointGrader {
    fn id(&self) -> GraderId {
        GraderId::Endpoint { url: self.asker.url().into(), model: self.asker.model().into() }
    }

    fn grade(&self, answers: &[Answered<'_>], names: &[&str]) -> Vec<Grades> {
        let text = |answered: &Answered<'_>, name: &&str| {
            self.questions.text(name, answered.messages, answered.answer)
        };
        let texts: Vec<Option<String>> =
            answers.iter().flat_map(|answered| names.iter().map(move |name| text(answered, name))).collect();
        let asked: Vec<String> = texts.iter().flatten().cloned().collect();
        let said = self.asker.ask(&asked);
        if let Some(failure) = said.iter().rev().find_map(|verdict| verdict.as_ref().err()) {
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure.clone());
        }
        let mut said = said.into_iter();
        let verdicts = texts.into_iter().map(|text| {
            let verdict = text.and_then(|_| said.next()).ok_or(NO_QUESTION)?;
            verdict.map_err(|failure| failure.to_string())
        });
        sorted(verdicts, answers.len(), names)
    }

    fn hint(&self) -> Option<String> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.as_ref().map(|failure| self.asker.hint(failure))
    }
}

/// Verdicts by answer and proposition.
fn sorted(
    mut verdicts: impl Iterator<Item = Result<bool, String>>,
    n_answers: usize,
    names: &[&str],
) -> Vec<Grades> {
    let mut of_one = || names.iter().map(|name| (*name).to_owned()).zip(verdicts.by_ref()).collect();
    (0..n_answers).map(|_| of_one()).collect()
}
