//! What is put to a model: contexts with everything in front, and what is scored behind them.

use std::{collections::HashMap, path::PathBuf};

use super::{
    data_folder::DataFolder,
    definition::{Kind, Task},
    field::{Question, questions},
    shots,
};
use crate::ExamError;

/// One item of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What is asked, without what the task puts around it and in front of it.
    pub question: String,
    /// What is scored: pairs of a context and its continuation, one for each choice.
    pub pairs: Vec<(String, String)>,
    /// Length of each choice in characters and in bytes.
    pub lengths: Vec<(usize, usize)>,
    /// Which choices are right.
    pub gold: Vec<usize>,
    /// The file and the line that it comes from.
    pub place: String,
}

/// The items of a task with what they were made of.
#[derive(Clone, Debug)]
pub struct Items {
    /// In the order of the data.
    pub items: Vec<Item>,
    /// How many there are without a limit.
    pub n_all: usize,
    /// The files that were read, with their hashes.
    pub sources: Vec<(PathBuf, String)>,
    /// What differs from the original.
    pub notes: Vec<String>,
}

impl Items {
    /// The first `limit` items of a task, each behind `n_shots` examples.
    ///
    /// # Errors
    /// If the data are missing, a row is not what the task expects, or there are too few examples.
    pub fn of(
        task: &Task,
        folder: &DataFolder,
        n_shots: usize,
        limit: Option<usize>,
    ) -> Result<Self, ExamError> {
        let split = folder.split(task, &task.test)?;
        let n_items = limit.unwrap_or(usize::MAX).min(split.len());
        let rows: Vec<usize> = (0..n_items).collect();
        let asked = questions(task, &split, &rows)?;
        let mut sources: Vec<_> = split.sources().collect();
        let mut notes: Vec<String> = split.form.note.iter().cloned().collect();

        let mut examples = vec![Vec::new(); n_items];
        let mut texts = HashMap::new();
        if n_shots > 0 {
            let pool = folder.split(task, &task.fewshot.split)?;
            examples = shots::draw(task.fewshot.draw, n_shots, &pool, &split, n_items)?;
            let mut drawn: Vec<usize> = examples.iter().flatten().copied().collect();
            drawn.sort_unstable();
            drawn.dedup();
            let shown = questions(task, &pool, &drawn)?;
            texts = drawn.into_iter().zip(shown.iter().map(|question| question.shot(task))).collect();
            let others: Vec<_> = pool.sources().filter(|source| !sources.contains(source)).collect();
            sources.extend(others);
            notes.extend(pool.form.note.clone().filter(|note| !notes.contains(note)));
        }
        let items = asked.into_iter().zip(&examples).enumerate();
        let items = items.map(|(i, (question, drawn))| {
            let mut front = task.description.clone();
            drawn.iter().for_each(|row| front.push_str(&texts[row]));
            item(task, question, &front, split.place(i))
        });
        Ok(Self { items: items.collect(), n_all: split.len(), sources, notes })
    }
}

fn item(task: &Task, question: Question, front: &str, place: String) -> Item {
    let Question { stem, contexts, answers, gold } = question;
    let delimiter = if task.kind == Kind::Continuation { "" } else { &task.delimiter };
    let choices = if contexts.len() > 1 { &contexts } else { &answers };
    let lengths = choices.iter().map(|choice| (choice.chars().count(), choice.len())).collect();
    let mut contexts = contexts.iter().map(|context| [front, context].concat());
    let mut continuations = answers.iter().map(|answer| [delimiter, answer].concat());
    let pairs = match task.kind {
        Kind::Contexts => {
            let continuation = continuations.next().unwrap_or_default();
            contexts.map(|context| (context, continuation.clone())).collect()
        }
        Kind::Choices | Kind::Continuation => {
            let context = contexts.next().unwrap_or_default();
            continuations.map(|continuation| (context.clone(), continuation)).collect()
        }
    };
    Item { question: stem, pairs, lengths, gold, place }
}
