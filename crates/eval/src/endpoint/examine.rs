//! A task put to an endpoint: items asked several at a time, written down in their order.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::{Endpoint, Failure, answer::Draw};
use crate::{
    ChoiceScore, Drawing, ExamError, Item, Items, ItemsFile, Kind, Output, Task,
    exam::{ItemScore, Target},
    generation::messages,
    rescore,
};

/// Items that fail one after another at the beginning before the command stops.
const MAX_FAILURES: usize = 3;

/// Asks an endpoint for the items that `file` does not have yet, and again for those without an answer. `progress` is
/// given how many items are done, and ends the work early by returning false.
///
/// # Errors
/// If the endpoint answers nothing, it is to be asked too much at a time, or the file cannot be written. An item that alone
/// fails is written down with its reason, and has no score.
pub fn examine_endpoint(
    task: &Task,
    items: &Items,
    endpoint: &Endpoint,
    drawing: Option<&Drawing>,
    n_parallel: usize,
    file: &mut ItemsFile,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<(), ExamError> {
    endpoint.check_parallel(n_parallel)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_parallel).build();
    let pool = pool.map_err(|error| {
        ExamError::File(base::FileError {
            action: "start threads for",
            path: endpoint.url().into(),
            source: std::io::Error::other(error),
        })
    })?;
    let ask = |numbers: &[usize]| -> Vec<(ItemScore, Option<Failure>)> {
        pool.install(|| {
            numbers.par_iter().map(|&i| asked(task, i, &items.items[i], endpoint, drawing)).collect()
        })
    };
    let mut tally = Tally::default();

    let missing = file.failed()?;
    if !missing.is_empty() {
        let mut known = file.all()?;
        for numbers in missing.chunks(n_parallel) {
            let numbers: Vec<usize> = numbers.iter().copied().filter(|i| *i < items.items.len()).collect();
            for (item, failure) in ask(&numbers) {
                tally.count(failure);
                let at = item.doc_id;
                known[at] = item;
            }
            file.replace_all(&known)?;
            tally.check(endpoint)?;
            if !progress(file.n_items()) {
                return Ok(());
            }
        }
    }
    let numbers: Vec<usize> = (file.n_items()..items.items.len()).collect();
    for numbers in numbers.chunks(n_parallel) {
        let (scores, failures): (Vec<_>, Vec<_>) = ask(numbers).into_iter().unzip();
        file.append(scores)?;
        failures.into_iter().for_each(|failure| tally.count(failure));
        tally.check(endpoint)?;
        if !progress(file.n_items()) {
            return Ok(());
        }
    }
    tally.end(endpoint)
}

/// How requests went so far.
#[derive(Default)]
struct Tally {
    n_answered: usize,
    n_failed: usize,
    last: Option<Failure>,
}

impl Tally {
    fn count(&mut self, failure: Option<Failure>) {
        match failure {
            None => self.n_answered += 1,
            Some(failure) => {
                self.n_failed += 1;
                self.last = Some(failure);
            }
        }
    }

    /// Whether it makes sense to go on.
    fn check(&self, endpoint: &Endpoint) -> Result<(), ExamError> {
        match &self.last {
            Some(failure)
                if self.n_answered == 0 && (self.n_failed >= MAX_FAILURES || failure.is_general()) =>
            {
                Err(endpoint.error(failure))
            }
            Some(failure @ Failure::NoConnection) => Err(endpoint.error(failure)),
            _ => Ok(()),
        }
    }

    fn end(&self, endpoint: &Endpoint) -> Result<(), ExamError> {
        match &self.last {
            Some(failure) if self.n_answered == 0 => Err(endpoint.error(failure)),
            _ => Ok(()),
        }
    }
}

/// One item; without a score where the endpoint gave no answer.
fn asked(
    task: &Task,
    doc_id: usize,
    item: &Item,
    endpoint: &Endpoint,
    drawing: Option<&Drawing>,
) -> (ItemScore, Option<Failure>) {
    let mut score = ItemScore {
        task: task.name.clone(),
        doc_id,
        target: target(task, item),
        context_ids: None,
        choices: Vec::new(),
        outputs: Vec::new(),
        reference: Some(item.reference.clone()).filter(|reference| !reference.is_null()),
        failure: None,
        metrics: BTreeMap::new(),
    };
    let done = match drawing {
        Some(drawing) => outputs(task, item, endpoint, drawing).map(|outputs| score.outputs = outputs),
        None => choices(task, item, endpoint).map(|choices| score.choices = choices),
    };
    match done {
        Ok(()) => (rescore(task, &score), None),
        Err(failure) => {
            score.failure = Some(failure.to_string());
            (score, Some(failure))
        }
    }
}

fn target(task: &Task, item: &Item) -> Target {
    match (task.kind, &item.targets[..], &item.gold[..]) {
        (Kind::Generate, [one], _) => Target::Text(one.clone()),
        (Kind::Generate, several, _) => Target::Texts(several.to_vec()),
        (_, _, [one]) => Target::One(*one),
        (_, _, several) => Target::Any(several.to_vec()),
    }
}

fn choices(task: &Task, item: &Item, endpoint: &Endpoint) -> Result<Vec<ChoiceScore>, Failure> {
    let measured = endpoint.likelihoods(item.pairs())?;
    let scores = measured.iter().zip(&item.lengths).map(|(choice, &(n_chars, n_bytes))| ChoiceScore {
        loglikelihood: choice.likelihood.loglikelihood,
        n_context: choice.n_context,
        n_continuation: choice.n_continuation,
        is_greedy: choice.likelihood.is_greedy,
        n_chars,
        n_bytes,
        context_ids: None,
        continuation_ids: Vec::new(),
    });
    let scores: Vec<ChoiceScore> = scores.collect();
    if task.kind != Kind::Continuation && scores.len() < 2 {
        return Err(Failure::OtherTokens);
    }
    Ok(scores)
}

fn outputs(task: &Task, item: &Item, endpoint: &Endpoint, drawing: &Drawing) -> Result<Vec<Output>, Failure> {
    let stops = task.generate.as_ref().map_or(&[][..], |generate| &generate.until);
    let mut outputs = Vec::with_capacity(drawing.n_samples);
    for sample in 0..drawing.n_samples {
        let is_drawn = drawing.temperature > 0.0;
        let draw = Draw {
            max_tokens: drawing.max_tokens,
            temperature: drawing.temperature,
            top_p: drawing.top_p,
            seed: is_drawn.then(|| drawing.seed.wrapping_add(sample as u64) & (u64::MAX >> 1)),
            stops,
        };
        let answer = if task.is_chat() {
            endpoint.chat(&messages(item), &draw)?
        } else {
            endpoint.complete(item.contexts.first().map_or("", String::as_str), &draw)?
        };
        outputs.push(Output {
            text: crate::generation::cut(&answer.text, stops).to_owned(),
            n_tokens: answer.n_tokens,
            finish: answer.finish,
            answers: BTreeMap::new(),
            program: None,
            judged: None,
            verdicts: BTreeMap::new(),
        });
    }
    Ok(outputs)
}
