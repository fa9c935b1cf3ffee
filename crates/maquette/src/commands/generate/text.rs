//! The text of a continuation while it comes.

use data::{Certain, StopTexts, StreamDecoder, Tokenizer};

/// The text of a continuation as it comes.
pub(super) struct ContinuedText {
    decoder: StreamDecoder,
    stops: StopTexts,
    /// All of it that is certain.
    pub(super) text: String,
    /// Whether a stop text came.
    pub(super) has_ended: bool,
}

impl ContinuedText {
    pub(super) fn new(stops: &[String], tokenizer: &Tokenizer) -> Self {
        let (decoder, stops) = (StreamDecoder::new(tokenizer.clone()), StopTexts::new(stops.to_vec()));
        Self { decoder, stops, text: String::new(), has_ended: false }
    }

    /// What became certain with this token.
    pub(super) fn push(&mut self, id: u32) -> String {
        let part = self.decoder.push(id);
        self.take(&part)
    }

    /// What was held back until now.
    pub(super) fn finish(&mut self) -> String {
        if self.has_ended {
            return String::new();
        }
        let part = self.decoder.finish();
        let mut rest = self.take(&part);
        if !self.has_ended {
            let held = self.stops.finish();
            self.text.push_str(&held);
            rest.push_str(&held);
        }
        rest
    }

    fn take(&mut self, part: &str) -> String {
        let Certain { text, has_ended } = self.stops.push(part);
        self.text.push_str(&text);
        self.has_ended = has_ended;
        text
    }
}
