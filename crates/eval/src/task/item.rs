//! What is put to a model: contexts with everything in front, and what is scored behind them.

use std::{collections::HashMap, path::PathBuf};

use super::{
    ChatFormat, Kind,
    chat_format::{Shot, as_text},
    data_folder::{DataFolder, Split},
    definition::Task,
    field::{Question, given_questions, questions},
    shots,
};
use data::Message;
use serde_json::Value;

use crate::ExamError;

/// One item of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What is asked, without what the task puts around it and in front of it.
    pub question: String,
    /// One context, or as many as there are choices.
    pub contexts: Vec<String>,
    /// What is scored behind: as many as there are choices, or one; none where answers are generated.
    pub continuations: Vec<String>,
    /// Length of each choice in characters and in bytes.
    pub lengths: Vec<(usize, usize)>,
    /// Which choices are right.
    pub gold: Vec<usize>,
    /// Where items are put as conversations: one for each context.
    pub chat: Vec<Vec<Message>>,
    /// Right answers, where answers are generated.
    pub targets: Vec<String>,
    /// Fields that answers are judged by, beside the right one.
    pub reference: Value,
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

impl Item {
    /// Pairs of a context and its continuation, one for each choice.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let of = |texts: &'_ [String], i: usize| -> usize { i.min(texts.len().saturating_sub(1)) };
        (0..self.n_pairs()).map(move |i| {
            let context = &self.contexts[of(&self.contexts, i)];
            let continuation = &self.continuations[of(&self.continuations, i)];
            (context.as_str(), continuation.as_str())
        })
    }

    /// How many there are.
    pub(crate) fn n_pairs(&self) -> usize {
        if self.continuations.is_empty() { 0 } else { self.contexts.len().max(self.continuations.len()) }
    }
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
        Self::of_chat(task, folder, n_shots, limit, None)
    }

    /// As [`Items::of`], as conversations where `chat` says how. Tasks that are conversations anyway stay as they are.
    ///
    /// # Errors
    /// As [`Items::of`]; and of a task whose contexts and choices are encoded as one text, which has no conversation.
    pub fn of_chat(
        task: &Task,
        folder: &DataFolder,
        n_shots: usize,
        limit: Option<usize>,
        chat: Option<&ChatFormat>,
    ) -> Result<Self, ExamError> {
        let chat = chat.filter(|_| !task.is_chat());
        if chat.is_some() && task.whole {
            return Err(ExamError::Setting {
                name: "apply-chat-template",
                expected: "left out for tasks that are scored as one text",
                found: format!("with `{}`", task.name),
                hint: "evaluate it without a chat template",
            });
        }
        let split = folder.split(task, &task.test)?;
        let n_items = limit.unwrap_or(usize::MAX).min(split.len());
        let rows: Vec<usize> = (0..n_items).collect();
        let asked = questions(task, &split, &rows)?;
        let mut sources: Vec<_> = split.sources().collect();
        let mut notes: Vec<String> = task.note.iter().chain(&split.form.note).cloned().collect();

        let mut examples = vec![Vec::new(); n_items];
        let mut texts: HashMap<usize, Shot> = HashMap::new();
        if n_shots > 0 {
            let given = &task.fewshot.samples;
            let pool = given.is_empty().then(|| folder.split(task, &task.fewshot.split)).transpose()?;
            let n_pool = pool.as_ref().map_or(given.len(), Split::len);
            let is_own = |row: usize, item: usize| {
                pool.as_ref().is_some_and(|pool| pool.row(row).fields == split.row(item).fields)
            };
            let draws = shots::Draws { draw: task.fewshot.draw, n_shots, n_pool, is_own: &is_own };
            let pool_place = || match &pool {
                Some(pool) => pool.files(),
                None => format!("the task file of {}", task.name),
            };
            examples = draws.of(n_items, &pool_place, &|item| split.place(item))?;
            let mut drawn: Vec<usize> = examples.iter().flatten().copied().collect();
            drawn.sort_unstable();
            drawn.dedup();
            let shown = match &pool {
                Some(pool) => questions(task, pool, &drawn)?,
                None => given_questions(task, &drawn)?,
            };
            texts = drawn.into_iter().zip(shown.iter().map(|question| question.shot(task))).collect();
            if let Some(pool) = &pool {
                let others: Vec<_> = pool.sources().filter(|source| !sources.contains(source)).collect();
                sources.extend(others);
                notes.extend(pool.form.note.clone().filter(|note| !notes.contains(note)));
            }
        }
        let items = asked.into_iter().zip(&examples).enumerate();
        let items = items.map(|(i, (question, drawn))| {
            let shots: Vec<&Shot> = drawn.iter().map(|row| &texts[row]).collect();
            item(task, question, &shots, chat, split.place(i))
        });
        Ok(Self { items: items.collect(), n_all: split.len(), sources, notes })
    }
}

fn item(task: &Task, question: Question, shots: &[&Shot], chat: Option<&ChatFormat>, place: String) -> Item {
    let Question { stem, contexts, answers, gold, targets, reference } = question;
    // An answer begins a message of its own.
    let is_apart = chat.is_none() && task.kind != Kind::Continuation;
    let delimiter = if is_apart { &task.delimiter } else { "" };
    let conversation = |format: &ChatFormat| {
        let of = |context: &String| format.messages(&task.description, &task.delimiter, shots, context);
        contexts.iter().map(of).collect()
    };
    let chat = chat.map(conversation).unwrap_or_default();
    let shown: String = shots.iter().map(|shot| as_text(shot, &task.delimiter)).collect();
    let front = [&task.description[..], &shown].concat();
    let choices = if contexts.len() > 1 { &contexts } else { &answers };
    let lengths = choices.iter().map(|choice| (choice.chars().count(), choice.len())).collect();
    let continuations = match task.kind {
        Kind::Generate => Vec::new(),
        _ => answers.iter().map(|answer| [delimiter, answer].concat()).collect(),
    };
    let contexts = contexts.iter().map(|context| [&front[..], context].concat()).collect();
    Item { question: stem, contexts, continuations, lengths, gold, chat, targets, reference, place }
}
