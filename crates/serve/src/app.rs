//! What every request knows.

use std::sync::{Arc, mpsc::Sender};

use axum::http::StatusCode;
use data::{ChatTemplate, SpecialTokens, Tokenizer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::{
    api_error::ApiError, ask::Eyes, grammar::Grammars, metrics::Metrics, settings::Settings, worker::Job,
};

/// The model as requests see it.
pub(crate) struct Model {
    pub(crate) id: String,
    /// Other names for it.
    pub(crate) aliases: Vec<String>,
    pub(crate) created: u64,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) template: Option<ChatTemplate>,
    /// Whether it was taught to chat.
    pub(crate) is_chat: bool,
    pub(crate) max_seq_len: usize,
    pub(crate) vocab_size: usize,
    /// Bytes of the longest token.
    pub(crate) max_token_bytes: usize,
    /// How it looks at pictures, where it does.
    pub(crate) eyes: Option<Eyes>,
    /// Tokens that end an answer.
    pub(crate) stops: Vec<u32>,
}

impl Model {
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.id == name || self.aliases.iter().any(|alias| alias == name)
    }

    /// The ids of a prompt, with what the model's texts begin with.
    pub(crate) fn prompt_ids(&self, prompt: &str, special: SpecialTokens) -> Vec<u32> {
        let ids = self.tokenizer.encode_as(prompt, special);
        match self.tokenizer.bos().filter(|bos| ids.first() != Some(bos)) {
            None if ids.is_empty() => vec![self.tokenizer.begin_of_text()],
            bos => bos.into_iter().chain(ids).collect(),
        }
    }
}

/// What every request knows.
pub(crate) struct App {
    pub(crate) model: Model,
    pub(crate) settings: Settings,
    pub(crate) grammars: Grammars,
    pub(crate) metrics: Arc<Metrics>,
    /// To the thread that decodes.
    pub(crate) jobs: Sender<Job>,
    /// Places of sequences that are decoded or wait.
    pub(crate) places: Arc<Semaphore>,
    /// Places of large bodies that are read at a time.
    pub(crate) large_bodies: Semaphore,
}

impl App {
    /// Most sequences that can be decoded or wait at a time.
    pub(crate) fn n_places(&self) -> usize {
        self.settings.max_sequences + self.settings.max_queue
    }

    /// Refuses more sequences than there are places for.
    pub(crate) fn check_sequences(&self, param: &str, n: usize) -> Result<(), ApiError> {
        let most = self.n_places();
        if n <= most {
            return Ok(());
        }
        Err(ApiError::bad(
            param,
            format!(
                "expected at most {most} sequences in a request, found {n}\nhint: ask for fewer at a time"
            ),
        )
        .code("too_many_sequences"))
    }

    /// Refuses what the model cannot read.
    pub(crate) fn check_length(&self, param: &str, n: usize) -> Result<(), ApiError> {
        let most = self.model.max_seq_len;
        if n <= most {
            return Ok(());
        }
        let message = format!(
            "expected at most {most} tokens, which is the context of this model, found {n} in `{param}`\nhint: shorten it"
        );
        Err(ApiError::bad(param, message).code("context_length_exceeded"))
    }

    /// Refuses a text that is longer than any that the model can read, before it becomes tokens: that would take a while.
    pub(crate) fn check_bytes(&self, param: &str, n: usize) -> Result<(), ApiError> {
        let most = self.model.max_seq_len;
        if n <= most.saturating_mul(self.model.max_token_bytes) {
            return Ok(());
        }
        let message = format!(
            "expected at most {most} tokens, which is the context of this model, found {n} bytes of text in `{param}`\n\
             hint: shorten it"
        );
        Err(ApiError::bad(param, message).code("context_length_exceeded"))
    }

    /// Places for `n` sequences, or when to ask again.
    pub(crate) fn places(&self, n: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        self.places.clone().try_acquire_many_owned(n).map_err(|error| match error {
            TryAcquireError::NoPermits => {
                self.metrics.refused();
                ApiError::busy(self.metrics.seconds_to_wait())
            }
            TryAcquireError::Closed => ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the server is stopping\nhint: start it, and ask again",
            ),
        })
    }
}
