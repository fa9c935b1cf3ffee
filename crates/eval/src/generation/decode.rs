//! Items put to a model that writes: many at a time, written down in their order.

use std::collections::{BTreeMap, HashMap};

use base::Rng;
use data::{ChatTemplate, Message, Tokenizer};
use model::{Engine, EngineSettings, Event, Finish, Gpt, Request, Sampling, SequenceId};
use tensor::Kernels;

use super::{Drawing, Generate, judge};
use crate::{
    ExamError, Item, Items, ItemsFile, Output, Task,
    exam::{ItemScore, Target},
    likelihood::{with_bos, without_system},
    run_programs,
    sandbox::Sandbox,
};

/// A model that writes, and what judges its programs.
#[derive(Clone, Copy)]
pub struct Writer<'a> {
    /// The model.
    pub gpt: &'a Gpt,
    /// What it computes with.
    pub kernels: &'a dyn Kernels,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// Answers that are written at a time. What is written does not depend on it.
    pub n_sequences: usize,
    /// In what words a conversation is put to it. Without one, a conversation is put as plain text.
    pub template: Option<&'a ChatTemplate>,
    /// Where programs are run, if they are.
    pub sandbox: Option<&'a Sandbox>,
}

/// One answer that is being written.
struct Writing {
    item: usize,
    sample: usize,
    ids: Vec<u32>,
    /// What the ids say so far.
    text: Vec<u8>,
}

/// An item of which not every answer is written.
struct Unfinished {
    context_ids: Vec<u32>,
    outputs: Vec<Option<Output>>,
}

/// Lets a model answer the items that `file` does not have yet, and appends each as soon as those before it are there.
/// `progress` is told how many items
/// are done, and ends the work early by returning false.
///
/// Programs are run where there is a sandbox for them.
///
/// A sample's draws depend on the seed, the task, the item and the sample's number.
///
/// # Errors
/// If an answer has no room in the model's context, or the file cannot be written.
pub fn examine_generated(
    task: &Task,
    items: &Items,
    writer: &Writer<'_>,
    drawing: &Drawing,
    file: &mut ItemsFile,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<(), ExamError> {
    let Some(generate) = &task.generate else { return Ok(()) };
    let Writer { gpt, kernels, tokenizer, n_sequences, template, sandbox } = *writer;
    let max_seq_len = gpt.config().max_seq_len;
    if drawing.max_tokens >= max_seq_len {
        return Err(ExamError::Setting {
            name: "max-tokens",
            expected: "below the model's context",
            found: format!("{} for a context of {max_seq_len} tokens", drawing.max_tokens),
            hint: "give a smaller number with --max-tokens, or evaluate a model of a longer context",
        });
    }
    let n_sequences = n_sequences.max(1);
    let settings = EngineSettings::for_sequences(n_sequences, max_seq_len);
    let mut run = Run {
        task,
        generate,
        drawing,
        tokenizer,
        template,
        max_prompt: max_seq_len - drawing.max_tokens,
        writing: HashMap::new(),
        unfinished: BTreeMap::new(),
    };
    let mut engine = Engine::new(gpt, kernels, settings);
    let mut next = file.n_items();
    loop {
        // As many again wait, so that a place in the engine is never empty.
        while next < items.items.len() && run.writing.len() < 2 * n_sequences {
            run.begin(&mut engine, next, &items.items[next])?;
            next += 1;
        }
        if run.writing.is_empty() {
            return Ok(());
        }
        for event in engine.step() {
            run.take(&mut engine, event);
        }
        let mut done = run.finished(file.n_items(), &items.items);
        if let Some(sandbox) = sandbox.filter(|_| task.needs_programs()) {
            done = done.iter().map(|item| run_programs(task, item, sandbox)).collect::<Result<_, _>>()?;
        }
        if !done.is_empty() {
            file.append(done)?;
        }
        // An answer may take long: whoever stops does not wait for it.
        if !progress(file.n_items()) {
            return Ok(());
        }
    }
}

struct Run<'a> {
    task: &'a Task,
    generate: &'a Generate,
    drawing: &'a Drawing,
    tokenizer: &'a Tokenizer,
    template: Option<&'a ChatTemplate>,
    max_prompt: usize,
    writing: HashMap<SequenceId, Writing>,
    unfinished: BTreeMap<usize, Unfinished>,
}

impl Run<'_> {
    fn begin(&mut self, engine: &mut Engine<'_>, item: usize, asked: &Item) -> Result<(), ExamError> {
        let mut ids: Vec<u32> = match (asked.chat.first(), self.template) {
            (Some(messages), Some(template)) => {
                let encode = |messages: &[Message]| template.encode(self.tokenizer, messages, true);
                with_bos(self.tokenizer, without_system(messages, &encode)?)
            }
            (None, Some(template)) if self.generate.chat => {
                template.encode(self.tokenizer, &messages(asked), true)?
            }
            _ => {
                let context = match self.generate.chat {
                    true => plain_conversation(&messages(asked)),
                    false => asked.contexts.first().cloned().unwrap_or_default(),
                };
                self.tokenizer.bos().into_iter().chain(self.tokenizer.encode(&context)).collect()
            }
        };
        if ids.is_empty() {
            ids.push(self.tokenizer.begin_of_text());
        }
        let prompt = ids[ids.len().saturating_sub(self.max_prompt)..].to_vec();
        for sample in 0..self.drawing.n_samples {
            let mut seeds = Rng::named(self.drawing.seed, &format!("{}/{item}/{sample}", self.task.name));
            let request = Request {
                seed: seeds.next_u64(),
                stop: self.tokenizer.stops(),
                sampling: Sampling {
                    temperature: self.drawing.temperature,
                    top_p: self.drawing.top_p,
                    ..Sampling::default()
                },
                ..Request::new(prompt.clone(), self.drawing.max_tokens)
            };
            let refused = |error| ExamError::Prompt { place: asked.place.clone(), error };
            let sequence = engine.submit(request).map_err(refused)?;
            self.writing.insert(sequence, Writing { item, sample, ids: Vec::new(), text: Vec::new() });
        }
        let outputs = vec![None; self.drawing.n_samples];
        self.unfinished.insert(item, Unfinished { context_ids: ids, outputs });
        Ok(())
    }

    fn take(&mut self, engine: &mut Engine<'_>, event: Event) {
        match event {
            Event::Prompt { .. } => {}
            Event::Token { sequence, token } => {
                let Some(writing) = self.writing.get_mut(&sequence) else { return };
                let more = self.tokenizer.decode_bytes(&[token.id]);
                writing.ids.push(token.id);
                writing.text.extend(&more);
                if ends(&writing.text, more.len(), &self.generate.until) {
                    // It may have ended with this very token.
                    let _ = engine.cancel(sequence);
                    self.end(sequence, "stop");
                }
            }
            Event::Finished { sequence, finish, .. } => self.end(
                sequence,
                match finish {
                    Finish::Stop => "stop",
                    Finish::Length => "length",
                    Finish::ContextFull => "context",
                },
            ),
        }
    }

    fn end(&mut self, sequence: SequenceId, finish: &str) {
        let Some(Writing { item, sample, ids, .. }) = self.writing.remove(&sequence) else { return };
        let whole = self.tokenizer.decode(&ids);
        let text = cut(&whole, &self.generate.until);
        let output = Output {
            text: text.to_owned(),
            n_tokens: ids.len(),
            finish: finish.to_owned(),
            answers: BTreeMap::new(),
            program: None,
            judged: None,
            verdicts: BTreeMap::new(),
        };
        if let Some(unfinished) = self.unfinished.get_mut(&item) {
            unfinished.outputs[sample] = Some(output);
        }
    }

    /// The items from `first` on of which every answer is written.
    fn finished(&mut self, first: usize, items: &[Item]) -> Vec<ItemScore> {
        let mut done = Vec::new();
        let is_whole = |unfinished: &Unfinished| unfinished.outputs.iter().all(Option::is_some);
        while let Some(unfinished) = self.unfinished.first_entry()
            && *unfinished.key() == first + done.len()
            && is_whole(unfinished.get())
        {
            let (doc_id, Unfinished { context_ids, outputs }) = unfinished.remove_entry();
            let item = &items[doc_id];
            let written = ItemScore {
                task: self.task.name.clone(),
                doc_id,
                target: match &item.targets[..] {
                    [one] => Target::Text(one.clone()),
                    _ => Target::Texts(item.targets.clone()),
                },
                context_ids: Some(context_ids),
                choices: Vec::new(),
                outputs: outputs.into_iter().flatten().collect(),
                reference: Some(item.reference.clone()).filter(|reference| !reference.is_null()),
                failure: None,
                metrics: BTreeMap::new(),
            };
            done.push(judge(self.generate, &self.task.metrics, &written));
        }
        done
    }
}

/// A text up to its stops, cut at one after another as the harness cuts.
pub(crate) fn cut<'t>(text: &'t str, stops: &[String]) -> &'t str {
    stops.iter().fold(text, |text, stop| text.split_once(stop.as_str()).map_or(text, |(before, _)| before))
}

/// The messages of an item: what the system says, where it says something, and what is asked.
pub(crate) fn messages(item: &Item) -> Vec<Message> {
    let system = item.reference["system"].as_str().filter(|text| !text.is_empty());
    let system = system.map(|text| Message::new("system", text));
    let asked = item.contexts.first().map_or("", String::as_str);
    system.into_iter().chain([Message::new("user", asked)]).collect()
}

/// A conversation as text, for a model that has no template.
fn plain_conversation(messages: &[Message]) -> String {
    let turn = |message: &Message| {
        let who = if message.role == "system" { "System" } else { "User" };
        format!("{who}: {}\n\n", message.content)
    };
    messages.iter().map(turn).chain(["Assistant:".to_owned()]).collect()
}

/// Whether a stop stands at the end of a text, of which the last `n_new` bytes are new.
fn ends(text: &[u8], n_new: usize, stops: &[String]) -> bool {
    stops.iter().any(|stop| {
        let start = text.len().saturating_sub(n_new + stop.len() - 1);
        text[start..].windows(stop.len()).any(|window| window == stop.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_are_found_where_they_end() {
        let stops = ["Q:".to_owned(), "\n\n".to_owned()];
        assert!(ends(b"A Q:", 1, &stops) && ends(b"A Q: b", 4, &stops) && ends(b"\n\n", 2, &stops));
        assert!(!ends(b"A Q: b", 2, &stops) && !ends(b"", 0, &stops) && !ends(b"Q", 1, &stops));
    }
}
