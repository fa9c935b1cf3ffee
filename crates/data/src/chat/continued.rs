//! A prompt with what may follow it, as ids: both read as one text.

use super::{
    ChatTemplate, Message, encode,
    jinja::{Char, TYPED, to_char},
};
use crate::{DataError, Tokenizer};

/// A prompt, and the same with each of several continuations behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continued {
    /// The prompt without the white space at its end.
    pub context: Vec<u32>,
    /// The prompt with a continuation behind it.
    pub wholes: Vec<Vec<u32>>,
}

impl ChatTemplate {
    /// The ids of a prompt for an answer, and of each continuation behind it.
    ///
    /// As lm-evaluation-harness has it, white space at the end of the prompt belongs to what follows, and a continuation is encoded
    /// with the prompt as one text: its first letters may join the prompt's last. Continuations are text, whatever they spell.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`].
    pub fn encode_continued<'a>(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        continuations: impl IntoIterator<Item = &'a str>,
    ) -> Result<Continued, DataError> {
        let written = self.write(messages, true)?;
        let written = written.chars();
        // What Python's `str.rstrip` removes.
        let is_space = |c: &Char| {
            let c = to_char(*c);
            c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
        };
        let n_kept = written.iter().rposition(|c| !is_space(c)).map_or(0, |last| last + 1);
        let whole = |text: &str| {
            let typed = text.chars().map(|c| u32::from(c) | TYPED);
            let all: Vec<Char> = written.iter().copied().chain(typed).collect();
            encode::ids(tokenizer, &all)
        };
        Ok(Continued {
            context: encode::ids(tokenizer, &written[..n_kept]),
            wholes: continuations.into_iter().map(whole).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_continuation_is_read_with_its_prompt() {
        let (template, tokenizer) = (ChatTemplate::chatml(), Tokenizer::bytes());
        let asked = [Message::new("user", "2+2?")];
        let found = template.encode_continued(&tokenizer, &asked, ["4", "<|im_end|>"]).unwrap();
        let prompt = template.encode(&tokenizer, &asked, true).unwrap();
        // The line feed behind `assistant` belongs to what follows.
        assert_eq!(found.context, prompt[..prompt.len() - 1]);
        assert_eq!(found.wholes[0], [&prompt[..], &tokenizer.encode("4")].concat());
        assert_eq!(found.wholes[1], [&prompt[..], &tokenizer.encode("<|im_end|>")].concat());
        assert!(found.wholes[1].len() > prompt.len() + 5, "a name in a continuation is text");
    }
}
