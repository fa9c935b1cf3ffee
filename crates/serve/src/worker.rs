//! The thread that decodes.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        mpsc::{Receiver, TryRecvError},
    },
    time::Instant,
};

use data::Tokenizer;
use model::{DecodeError, Engine, EngineSettings, Finish, Gpt, Request, SequenceId};
use tensor::Kernels;
use tokio::sync::{OwnedSemaphorePermit, mpsc::UnboundedSender};

use crate::{
    choice::{Choice, Event},
    grammar::Grammar,
    metrics::Metrics,
};

/// What a request wants decoded.
pub(crate) struct Job {
    pub(crate) sequences: Vec<Asked>,
    /// Texts that end a sequence.
    pub(crate) stop: Vec<String>,
    /// Hears of it; once it is closed, nobody wants it any more.
    pub(crate) events: UnboundedSender<Event>,
    /// Its places in the queue.
    pub(crate) permit: OwnedSemaphorePermit,
    pub(crate) since: Instant,
}

/// One sequence of a job.
pub(crate) struct Asked {
    pub(crate) request: Request,
    /// Whether nothing is wanted but the scores of the prompt.
    pub(crate) is_prompt_only: bool,
    /// What the answer must be.
    pub(crate) grammar: Option<Grammar>,
}

/// A sequence that the engine has.
struct Known {
    choice: Choice,
    is_prompt_only: bool,
    grammar: Option<Grammar>,
    /// Given back when the last sequence of its job ends.
    _permit: Arc<OwnedSemaphorePermit>,
    since: Instant,
    last_token: Option<Instant>,
}

/// The engine with the sequences that requests wait for.
pub(crate) struct Worker<'a> {
    engine: Engine<'a>,
    tokenizer: Tokenizer,
    known: HashMap<SequenceId, Known>,
    metrics: &'a Metrics,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(
        gpt: &'a Gpt,
        kernels: &'a dyn Kernels,
        settings: EngineSettings,
        tokenizer: Tokenizer,
        metrics: &'a Metrics,
    ) -> Self {
        Self { engine: Engine::new(gpt, kernels, settings), tokenizer, known: HashMap::new(), metrics }
    }

    /// Decodes what comes until nothing can come any more and everything has ended.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        let mut is_open = true;
        while is_open || !self.engine.is_idle() {
            if self.engine.is_idle() {
                match jobs.recv() {
                    Ok(job) => self.submit(job),
                    Err(_) => is_open = false,
                }
            }
            loop {
                match jobs.try_recv() {
                    Ok(job) => self.submit(job),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        is_open = false;
                        break;
                    }
                }
            }
            self.drop_abandoned();
            self.step();
            self.metrics.engine(self.known.len(), self.engine.stats(), self.engine.n_cache_bytes());
        }
    }

    fn submit(&mut self, job: Job) {
        let Job { sequences, stop, events, permit, since } = job;
        if events.is_closed() {
            return;
        }
        let permit = Arc::new(permit);
        let mut ids = Vec::new();
        for (index, asked) in sequences.into_iter().enumerate() {
            match self.engine.submit(asked.request) {
                Ok(id) => ids.push(id),
                Err(error) => {
                    ids.into_iter().for_each(|id| self.cancel(id));
                    let _ = events.send(Event::Refused(error));
                    return;
                }
            }
            let choice = Choice::new(events.clone(), index, &self.tokenizer, &stop);
            let known = Known {
                choice,
                is_prompt_only: asked.is_prompt_only,
                grammar: asked.grammar,
                _permit: permit.clone(),
                since,
                last_token: None,
            };
            self.known.insert(ids[index], known);
            self.restrict(ids[index]);
        }
    }

    /// Frees what nobody waits for any more.
    fn drop_abandoned(&mut self) {
        let gone: Vec<SequenceId> =
            self.known.iter().filter(|(_, known)| known.choice.is_abandoned()).map(|(id, _)| *id).collect();
        for id in gone {
            self.metrics.cancelled();
            self.cancel(id);
        }
    }

    fn cancel(&mut self, id: SequenceId) {
        self.known.remove(&id);
        // It may have ended by itself.
        let _ = self.engine.cancel(id);
    }

    fn step(&mut self) {
        for event in self.engine.step() {
            match event {
                model::Event::Prompt { sequence, n_reused, tokens } => {
                    let Some(known) = self.known.get_mut(&sequence) else { continue };
                    known.choice.prompt(n_reused, tokens);
                    if known.is_prompt_only {
                        self.end(sequence, |choice| choice.end_here(Finish::Length));
                    }
                }
                model::Event::Token { sequence, token } => {
                    let Some(known) = self.known.get_mut(&sequence) else { continue };
                    let now = Instant::now();
                    match known.last_token.replace(now) {
                        None => self.metrics.first_token(now - known.since),
                        Some(last) => self.metrics.next_token(now - last),
                    }
                    let id = token.id;
                    if known.choice.push(token) {
                        self.end(sequence, |choice| choice.end_here(Finish::Stop));
                        continue;
                    }
                    match known.grammar.as_mut().map(|grammar| grammar.push(id)) {
                        None => {}
                        Some(Ok(false)) => self.restrict(sequence),
                        Some(Ok(true)) => self.end(sequence, |choice| choice.end(Finish::Stop, None)),
                        Some(Err(message)) => self.end(sequence, |choice| choice.fail(message)),
                    }
                }
                model::Event::Finished { sequence, finish, stop_token } => {
                    self.end(sequence, |choice| choice.end(finish, stop_token));
                }
            }
        }
    }

    /// Lets a sequence that has a grammar draw what that allows next.
    fn restrict(&mut self, id: SequenceId) {
        let Some(grammar) = self.known.get_mut(&id).and_then(|known| known.grammar.as_mut()) else { return };
        let failure = match grammar.allowed() {
            // One that has ended in this step draws nothing more.
            Ok(allowed) => match self.engine.restrict(id, Some(allowed)) {
                Err(error @ DecodeError::NothingAllowed) => error.to_string(),
                _ => return,
            },
            Err(message) => message,
        };
        self.end(id, |choice| choice.fail(failure));
    }

    /// Says the last of a sequence, and takes it from the engine where it is still there.
    fn end(&mut self, id: SequenceId, say: impl FnOnce(Choice)) {
        if let Some(known) = self.known.remove(&id) {
            say(known.choice);
            let _ = self.engine.cancel(id);
        }
    }
}
