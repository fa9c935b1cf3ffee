//! One sequence on its way: its tokens as text, up to where it ends.

use data::{Certain, StopTexts, StreamDecoder, Tokenizer};
use model::{Finish, PromptToken, Token};
use tokio::sync::mpsc::UnboundedSender;

/// What a request hears of its sequences; the number says which of them.
#[derive(Debug)]
pub(crate) enum Event {
    /// The prompt was read.
    Prompt {
        choice: usize,
        /// Tokens that were found in pages.
        n_cached: usize,
        /// Those behind the first, where they were asked for.
        tokens: Vec<PromptToken>,
    },
    /// Text that became certain, and tokens that begin in it or before it.
    Part { choice: usize, text: String, tokens: Vec<Token> },
    /// It ended.
    End {
        choice: usize,
        finish: Finish,
        /// The token that ended it, if one did.
        stop_token: Option<Token>,
        /// Tokens that were drawn, the one that ended it among them.
        n_drawn: usize,
    },
    /// None of it can be followed.
    Refused(model::DecodeError),
    /// A grammar cannot go on.
    Failed(String),
}

/// A sequence as the thread that decodes knows it.
pub(crate) struct Choice {
    pub(crate) events: UnboundedSender<Event>,
    pub(crate) index: usize,
    decoder: StreamDecoder,
    stops: StopTexts,
    /// Tokens that no part has taken along, each with the place in the text where it begins.
    pending: Vec<(usize, Token)>,
    /// Bytes of text that were decoded, and those that were sent.
    n_decoded: usize,
    n_sent: usize,
    n_drawn: usize,
}

impl Choice {
    pub(crate) fn new(
        events: UnboundedSender<Event>,
        index: usize,
        tokenizer: &Tokenizer,
        stop: &[String],
    ) -> Self {
        Self {
            events,
            index,
            decoder: StreamDecoder::new(tokenizer.clone()),
            stops: StopTexts::new(stop.iter().cloned()),
            pending: Vec::new(),
            n_decoded: 0,
            n_sent: 0,
            n_drawn: 0,
        }
    }

    /// Whether nobody listens any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.events.is_closed()
    }

    pub(crate) fn prompt(&self, n_cached: usize, tokens: Vec<PromptToken>) {
        self.send(Event::Prompt { choice: self.index, n_cached, tokens });
    }

    /// Takes a token; `true` if a stop text ended the sequence with it.
    pub(crate) fn push(&mut self, token: Token) -> bool {
        self.n_drawn += 1;
        let part = self.decoder.push(token.id);
        self.pending.push((self.n_decoded, token));
        self.take(&part)
    }

    /// Ends the sequence, and sends what was held back.
    pub(crate) fn end(mut self, finish: Finish, stop_token: Option<Token>) {
        self.n_drawn += usize::from(stop_token.is_some());
        let part = self.decoder.finish();
        let has_ended = self.take(&part);
        if !has_ended {
            let held = self.stops.finish();
            self.part(held, true);
        }
        let finish = if has_ended { Finish::Stop } else { finish };
        self.send(Event::End { choice: self.index, finish, stop_token, n_drawn: self.n_drawn });
    }

    /// Ends the sequence because it cannot be followed any further.
    pub(crate) fn fail(self, message: String) {
        self.send(Event::Failed(message));
    }

    /// Ends the sequence with the text as it was sent.
    pub(crate) fn end_here(self, finish: Finish) {
        self.send(Event::End { choice: self.index, finish, stop_token: None, n_drawn: self.n_drawn });
    }

    fn take(&mut self, part: &str) -> bool {
        self.n_decoded += part.len();
        let Certain { text, has_ended } = self.stops.push(part);
        self.part(text, false);
        if has_ended {
            self.pending.clear();
        }
        has_ended
    }

    /// Sends text with the tokens that begin before its end; all of them where nothing follows.
    fn part(&mut self, text: String, is_last: bool) {
        self.n_sent += text.len();
        if text.is_empty() && (!is_last || self.pending.is_empty()) {
            return;
        }
        let n = match is_last {
            true => self.pending.len(),
            false => self.pending.iter().take_while(|(start, _)| *start < self.n_sent).count(),
        };
        let tokens = self.pending.drain(..n).map(|(_, token)| token).collect();
        self.send(Event::Part { choice: self.index, text, tokens });
    }

    fn send(&self, event: Event) {
        // One who has gone is noticed before the next step.
        let _ = self.events.send(event);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    fn token(id: u32) -> Token {
        Token { id, logprob: -1.0, processed_logprob: -1.0, top: Vec::new(), kept: None }
    }

    /// The parts of `text`, and whether a stop text ended it.
    fn parts(text: &str, stop: &[&str]) -> (Vec<(String, usize)>, Finish, usize) {
        let (send, mut receive) = mpsc::unbounded_channel();
        let (tokenizer, stop) =
            (Tokenizer::bytes(), stop.iter().map(ToString::to_string).collect::<Vec<_>>());
        let mut choice = Some(Choice::new(send, 0, &tokenizer, &stop));
        for id in tokenizer.encode(text) {
            if choice.as_mut().unwrap().push(token(id)) {
                choice.take().unwrap().end_here(Finish::Stop);
                break;
            }
        }
        if let Some(choice) = choice {
            choice.end(Finish::Length, None);
        }
        let (mut parts, mut end) = (Vec::new(), None);
        while let Ok(event) = receive.try_recv() {
            match event {
                Event::Part { text, tokens, .. } => parts.push((text, tokens.len())),
                Event::End { finish, n_drawn, .. } => end = Some((finish, n_drawn)),
                other => panic!("{other:?}"),
            }
        }
        let (finish, n_drawn) = end.unwrap();
        (parts, finish, n_drawn)
    }

    fn part(text: &str, n: usize) -> (String, usize) {
        (text.to_owned(), n)
    }

    #[test]
    fn tokens_come_with_the_text_that_they_begin_in() {
        let all = vec![part("a", 1), part("é", 2), part("b", 1)];
        assert_eq!(parts("aéb", &[]), (all, Finish::Length, 4));
        // What may be the beginning of a stop text waits, and its tokens with it.
        let all = vec![part("a", 1), part("ENx", 3)];
        assert_eq!(parts("aENx", &["END"]), (all, Finish::Length, 4));
        let all = vec![part("a", 1), part("EN", 2)];
        assert_eq!(parts("aEN", &["END"]), (all, Finish::Length, 3));
    }

    #[test]
    fn nothing_of_a_stop_text_is_sent() {
        assert_eq!(parts("abENDcd", &["END"]), (vec![part("a", 1), part("b", 1)], Finish::Stop, 5));
        assert_eq!(parts("ENDcd", &["END"]), (vec![], Finish::Stop, 3));
    }
}
