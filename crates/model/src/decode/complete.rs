//! Requests that are known beforehand, run to their end.

use std::collections::HashMap;

use super::{DecodeError, Engine, Event, Finish, Request, Token};

/// What was added to one prompt.
#[derive(Clone, Debug)]
pub struct Completion {
    /// The new tokens.
    pub ids: Vec<u32>,
    /// Log-probability of each under the model's own distribution (temperature 1, nothing cut), in nats.
    pub logprobs: Vec<f32>,
    /// Why it ended.
    pub finish: Finish,
}

impl Completion {
    /// Nothing yet.
    pub fn empty() -> Self {
        Self { ids: Vec::new(), logprobs: Vec::new(), finish: Finish::Length }
    }

    /// One token more.
    pub fn push(&mut self, token: &Token) {
        self.ids.push(token.id);
        self.logprobs.push(token.logprob);
    }
}

impl Engine<'_> {
    /// Continues every request to its end; `on_token(request, token)` hears of each token as it comes and may return
    /// `false` to end that sequence.
    ///
    /// # Errors
    /// Those of [`Engine::submit`], before any token is read.
    pub fn complete(
        &mut self,
        requests: Vec<Request>,
        on_token: &mut dyn FnMut(usize, &Token) -> bool,
    ) -> Result<Vec<Completion>, DecodeError> {
        self.complete_while(requests, on_token, &|| true)
    }

    /// [`Engine::complete`] as long as `goes_on` says so, which is asked before each step.
    ///
    /// # Errors
    /// Those of [`Engine::submit`], before any token is read; [`DecodeError::Stopped`].
    pub fn complete_while(
        &mut self,
        requests: Vec<Request>,
        on_token: &mut dyn FnMut(usize, &Token) -> bool,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Vec<Completion>, DecodeError> {
        let mut done = vec![Completion::empty(); requests.len()];
        let mut of = HashMap::new();
        for (i, request) in requests.into_iter().enumerate() {
            match self.submit(request) {
                Ok(id) => of.insert(id, i),
                Err(error) => {
                    of.keys().try_for_each(|id| self.cancel(*id))?;
                    return Err(error);
                }
            };
        }
        while !of.is_empty() {
            if !goes_on() {
                of.keys().try_for_each(|id| self.cancel(*id))?;
                return Err(DecodeError::Stopped);
            }
            for event in self.step() {
                match event {
                    Event::Prompt { .. } => {}
                    Event::Token { sequence, token } => {
                        let Some(&i) = of.get(&sequence) else { continue };
                        done[i].push(&token);
                        if !on_token(i, &token) {
                            done[i].finish = Finish::Stop;
                            of.remove(&sequence);
                            // It may have ended with this very token.
                            let _ = self.cancel(sequence);
                        }
                    }
                    Event::Finished { sequence, finish, .. } => {
                        if let Some(i) = of.remove(&sequence) {
                            done[i].finish = finish;
                        }
                    }
                }
            }
        }
        Ok(done)
    }
}
