//! Prompts from files, each answered once.

use std::{path::PathBuf, sync::Mutex, sync::PoisonError};

use base::{Rng, hash::xxh3_64};
use data::{DataError, Message};
use serde_json::{Map, Value};

use super::{Dialogue, Environment, EnvironmentError, Side, Turn};
use crate::{AlignError, Dropped, OnRow, conversation::read_prompts, error::first_line};

/// A prompt with what its row says beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// What the policy is asked; the last message is not the assistant's.
    pub messages: Vec<Message>,
    /// Every field of the row, such as `answer` or `label`.
    pub fields: Map<String, Value>,
    /// Its file.
    pub path: PathBuf,
    /// Its line, or its number in an array, from 1.
    pub row: usize,
}

/// Rewards an answer to a prompt.
pub trait Judge: Send + Sync {
    /// Its name.
    fn name(&self) -> &str;

    /// What must be in a prompt's row, if it lacks it.
    fn lacks(&self, prompt: &Prompt) -> Option<String>;

    /// The reward of each answer, or why there is none.
    fn rewards(&self, answered: &[(&Prompt, &str)]) -> Vec<Result<f64, String>>;
}

/// Prompts from files, in an order drawn from the seed, another one in every epoch. The reward is the sum of what judges give.
pub struct Prompts {
    training: Vec<Prompt>,
    held_out: Vec<Prompt>,
    judges: Vec<(f64, Box<dyn Judge>)>,
    seed: u64,
    /// The order of an epoch.
    order: Mutex<(u64, Vec<usize>)>,
}

impl Prompts {
    /// Reads prompts: `prompt` as a text or a list of messages, or `messages`, whose last answer is left out. `held_out` of them,
    /// chosen by the hash of their content, are for the held-out side. Prompts that are `too_long` are left out and counted.
    ///
    /// # Errors
    /// If a file cannot be read, a row is no prompt, cannot be asked or lacks what a judge needs, or fewer than two prompts are left.
    pub fn read(
        paths: &[PathBuf],
        judges: Vec<(f64, Box<dyn Judge>)>,
        held_out: f64,
        seed: u64,
        on_row: OnRow,
        too_long: impl Fn(&[Message]) -> Result<Option<String>, DataError>,
    ) -> Result<(Self, Dropped), AlignError> {
        let read = read_prompts(paths, on_row)?;
        let mut dropped = read.dropped;
        let n_rows = read.rows.len();
        let (mut prompts, mut seen) = (Vec::new(), std::collections::HashSet::new());
        for prompt in read.rows {
            if let Some(lacking) = judges.iter().find_map(|(_, judge)| judge.lacks(&prompt)) {
                if on_row == OnRow::Refuse {
                    let (path, row) = (prompt.path, prompt.row);
                    return Err(AlignError::Row { path, row, expected: lacking, found: "none".into() });
                }
                dropped.add(format!("without {lacking}"));
            } else if !seen.insert(hash(&prompt)) {
                dropped.add("that were there already");
            } else {
                match too_long(&prompt.messages) {
                    Ok(None) => prompts.push(prompt),
                    Ok(Some(reason)) => dropped.add(reason),
                    Err(error) if on_row == OnRow::Refuse => {
                        return Err(AlignError::Row {
                            path: prompt.path,
                            row: prompt.row,
                            expected: "a prompt that the model's chat template renders".into(),
                            found: first_line(&error),
                        });
                    }
                    Err(_) => dropped.add("that the model's chat template does not render"),
                }
            }
        }
        let (least, limit) = (prompts.iter().map(hash).min(), (held_out * u64::MAX as f64) as u64);
        let (held_out, training): (Vec<Prompt>, Vec<Prompt>) =
            prompts.into_iter().partition(|prompt| hash(prompt) <= limit || Some(hash(prompt)) == least);
        if training.is_empty() || held_out.is_empty() {
            let dropped = if dropped.0.is_empty() { String::new() } else { format!(": {dropped}") };
            return Err(AlignError::Nothing { expected: "at least two different prompts", n_rows, dropped });
        }
        let order = Mutex::new((0, order(training.len(), seed, 0)));
        Ok((Self { training, held_out, judges, seed, order }, dropped))
    }

    /// How many there are of a side.
    pub fn len(&self, side: Side) -> usize {
        match side {
            Side::Training => self.training.len(),
            Side::HeldOut => self.held_out.len(),
        }
    }

    /// The n-th problem of a side.
    fn nth(&self, side: Side, n: u64) -> &Prompt {
        match side {
            Side::HeldOut => &self.held_out[(n % self.held_out.len() as u64) as usize],
            Side::Training => {
                let n_prompts = self.training.len() as u64;
                let mut known = self.order.lock().unwrap_or_else(PoisonError::into_inner);
                if known.0 != n / n_prompts {
                    *known = (n / n_prompts, order(self.training.len(), self.seed, n / n_prompts));
                }
                &self.training[known.1[(n % n_prompts) as usize]]
            }
        }
    }

    /// Hash of all of them.
    pub fn fingerprint(&self) -> u64 {
        let all = self.training.iter().chain(&self.held_out);
        xxh3_64(
            &all.flat_map(|prompt| {
                let fields = serde_json::to_string(&prompt.fields).unwrap_or_default();
                [hash(prompt), xxh3_64(fields.as_bytes())].into_iter().flat_map(u64::to_le_bytes)
            })
            .collect::<Vec<u8>>(),
        )
    }
}

/// By what the policy is asked alone.
fn hash(prompt: &Prompt) -> u64 {
    xxh3_64(serde_json::to_string(&prompt.messages).unwrap_or_default().as_bytes())
}

fn order(n: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut rng = Rng::named(seed, &format!("prompts of epoch {epoch}"));
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, rng.below(i as u64 + 1) as usize);
    }
    order
}

impl Environment for Prompts {
    fn name(&self) -> &str {
        "prompts"
    }

    fn begin(&self, side: Side, n: u64) -> Result<Box<dyn Dialogue + '_>, EnvironmentError> {
        Ok(Box::new(Asked(self.nth(side, n))))
    }

    /// The sum of what the judges give; an answer that one of them gives none has none.
    fn rewards(&self, side: Side, answered: &[(u64, String)]) -> Option<Vec<Result<f64, String>>> {
        let answered: Vec<(&Prompt, &str)> =
            answered.iter().map(|(n, answer)| (self.nth(side, *n), &answer[..])).collect();
        let mut sums: Vec<Result<f64, String>> = vec![Ok(0.0); answered.len()];
        for (weight, judge) in &self.judges {
            for (sum, reward) in sums.iter_mut().zip(judge.rewards(&answered)) {
                *sum = std::mem::replace(sum, Ok(0.0)).and_then(|sum| Ok(sum + weight * reward?));
            }
        }
        Some(sums)
    }
}

struct Asked<'a>(&'a Prompt);

impl Dialogue for Asked<'_> {
    fn messages(&self) -> Vec<Message> {
        self.0.messages.clone()
    }

    /// Judges reward many answers at a time.
    fn answer(&mut self, _: &str, _: bool) -> Result<Turn, EnvironmentError> {
        Ok(Turn::last(0.0))
    }
}

/// A rule that compares an answer with the field `answer` of its prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// They are equal but for white space around them.
    Exact,
    /// The answer contains it.
    Contains,
    /// The last whole number of both is the same.
    Number,
}

impl Judge for Verify {
    fn name(&self) -> &str {
        match self {
            Self::Exact => "exact",
            Self::Contains => "contains",
            Self::Number => "number",
        }
    }

    fn lacks(&self, prompt: &Prompt) -> Option<String> {
        let is_number = expected(prompt).as_deref().and_then(super::last_number).is_some();
        match self {
            Self::Number => (!is_number).then(|| "a number in `answer`".to_owned()),
            Self::Exact | Self::Contains => {
                expected(prompt).is_none_or(|text| text.is_empty()).then(|| "an `answer`".to_owned())
            }
        }
    }

    fn rewards(&self, answered: &[(&Prompt, &str)]) -> Vec<Result<f64, String>> {
        let is_right = |prompt: &Prompt, answer: &str| {
            expected(prompt).is_some_and(|expected| match self {
                Self::Exact => answer.trim() == expected,
                Self::Contains => answer.contains(&expected),
                Self::Number => {
                    super::last_number(answer).is_some_and(|n| Some(n) == super::last_number(&expected))
                }
            })
        };
        answered.iter().map(|(prompt, answer)| Ok(f64::from(u8::from(is_right(prompt, answer))))).collect()
    }
}

/// The field `answer`, a text or a number.
fn expected(prompt: &Prompt) -> Option<String> {
    match prompt.fields.get("answer")? {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_read_split_and_judged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("prompts.jsonl");
        let rows: String =
            (0..40).map(|i| format!("{{\"prompt\":\"{i}+1?\",\"answer\":{}}}\n", i + 1)).collect();
        std::fs::write(&path, rows + "{\"prompt\":\"0+1?\",\"answer\":1}\n").unwrap();
        let judges = || -> Vec<(f64, Box<dyn Judge>)> { vec![(2.0, Box::new(Verify::Number))] };
        type TooLong<'a> = &'a dyn Fn(&[Message]) -> Result<Option<String>, DataError>;
        let read = |seed, on_row, too_long: TooLong<'_>| {
            Prompts::read(std::slice::from_ref(&path), judges(), 0.2, seed, on_row, too_long)
        };
        let (prompts, dropped) = read(3, OnRow::Refuse, &|_| Ok(None)).unwrap();
        assert_eq!(dropped.to_string(), "1 that were there already");
        assert_eq!(prompts.len(Side::Training) + prompts.len(Side::HeldOut), 40);
        let asked = |side, n| prompts.begin(side, n).unwrap().messages()[0].content.clone();
        let mut first: Vec<String> =
            (0..prompts.len(Side::Training) as u64).map(|n| asked(Side::Training, n)).collect();
        let held_out: Vec<String> =
            (0..prompts.len(Side::HeldOut) as u64).map(|n| asked(Side::HeldOut, n)).collect();
        assert!(first.iter().all(|prompt| !held_out.contains(prompt)));
        // Every prompt once an epoch, in another order; and the same whenever it is asked for.
        let n = first.len() as u64;
        let second: Vec<String> = (n..2 * n).map(|n| asked(Side::Training, n)).collect();
        assert_ne!(first, second);
        assert_eq!(asked(Side::Training, 0), first[0]);
        first.sort();
        assert_eq!(first, {
            let mut sorted = second;
            sorted.sort();
            sorted
        });
        let number: i64 = asked(Side::Training, 0).split('+').next().unwrap().parse().unwrap();
        let said = [(0, format!("it is {}.", number + 1)), (0, "it is".to_owned())];
        assert_eq!(prompts.rewards(Side::Training, &said).unwrap(), [Ok(2.0), Ok(0.0)]);

        // What is too long is left out and counted on either side; what cannot be asked is named by its row, or counted.
        let too_long = |messages: &[Message]| {
            Ok((messages[0].content.len() > 4).then(|| "longer than 4 tokens".to_owned()))
        };
        let (few, dropped) = read(3, OnRow::Refuse, &too_long).unwrap();
        assert_eq!(dropped.to_string(), "30 longer than 4 tokens, 1 that were there already");
        assert_eq!(few.len(Side::Training) + few.len(Side::HeldOut), 10);
        let error = read(3, OnRow::Refuse, &|_| Ok(Some("too long".into()))).err().unwrap().to_string();
        assert!(
            error.contains("found none in 41 rows: 1 that were there already, 40 too long")
                && error.contains("--seq-len"),
            "{error}"
        );
        let refused = |messages: &[Message]| match messages[0].content.starts_with('3') {
            true => Err(DataError::ChatTemplate { expected: "a user".into(), found: "none".into() }),
            false => Ok(None),
        };
        let error = read(3, OnRow::Refuse, &refused).err().unwrap().to_string();
        assert!(error.contains("row 4: expected a prompt that the model's chat template renders"), "{error}");
        assert!(read(3, OnRow::Skip, &refused).unwrap().1.to_string().starts_with("11 that the model's"));

        std::fs::write(&path, "{\"prompt\":\"a\"}\n").unwrap();
        let error = read(3, OnRow::Refuse, &|_| Ok(None)).err().unwrap().to_string();
        assert!(error.contains("row 1: expected a number in `answer`, found none"), "{error}");
    }
}
