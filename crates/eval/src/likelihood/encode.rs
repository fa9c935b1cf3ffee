//! Context and continuation to ids, as lm-evaluation-harness does it for `hf` models.

use data::{ChatTemplate, Continued, DataError, Message, Tokenizer};

use super::common;
use crate::{Kind, python};

/// A context and what is scored behind it, as ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    ids: Vec<u32>,
    n_context: usize,
}

impl Pair {
    /// The ids of `continuation` behind `context`.
    ///
    /// White space at the end of the context moves to the continuation. The context is encoded alone and with the
    /// continuation, and what the whole has behind the length of the context's own ids is the continuation. Where nothing
    /// of the context is left, one token stands for it: the declared begin of text, else the end of text.
    ///
    /// ```
    /// let tokenizer = data::Tokenizer::bytes();
    /// let pair = eval::Pair::encode(&tokenizer, "2 + 2 = ", "4");
    /// assert_eq!(pair.context(), tokenizer.encode("2 + 2 ="));
    /// assert_eq!(pair.continuation(), tokenizer.encode(" 4"));
    /// ```
    pub fn encode(tokenizer: &Tokenizer, context: &str, continuation: &str) -> Self {
        let kept = python::rstrip(context);
        let whole = [context, continuation].concat();
        if kept.is_empty() {
            let mut ids = tokenizer.encode(&whole);
            let first = tokenizer.declared_bos().unwrap_or(tokenizer.end_of_text());
            if ids.first() != Some(&first) {
                ids.insert(0, first);
            }
            return Self { ids, n_context: 1 };
        }
        let ids_of = |text: &str| tokenizer.bos().into_iter().chain(tokenizer.encode(text));
        let mut ids: Vec<u32> = ids_of(kept).collect();
        let n_context = ids.len();
        ids.extend(ids_of(&whole).skip(n_context));
        Self { ids, n_context }
    }

    /// Of ids as they are.
    ///
    /// # Panics
    /// If either is empty.
    pub fn of_ids(mut context: Vec<u32>, continuation: &[u32]) -> Self {
        assert!(!context.is_empty() && !continuation.is_empty(), "nothing to read, or nothing to score");
        let n_context = context.len();
        context.extend(continuation);
        Self { ids: context, n_context }
    }

    /// The ids of continuations behind the prompt of a conversation, in the model's chat template.
    ///
    /// White space at the end of the prompt moves to the continuation, as in [`Pair::encode`]. A template that refuses a system
    /// message is given the conversation without it.
    ///
    /// # Errors
    /// If the template refuses the conversation.
    pub fn encode_chat<'t>(
        tokenizer: &Tokenizer,
        template: &ChatTemplate,
        messages: &[Message],
        continuations: impl IntoIterator<Item = &'t str>,
    ) -> Result<Vec<Self>, DataError> {
        let continuations: Vec<&str> = continuations.into_iter().collect();
        let encode = |messages: &[Message]| {
            template.encode_continued(tokenizer, messages, continuations.iter().copied())
        };
        let Continued { context, wholes } = without_system(messages, &encode)?;
        let context = with_bos(tokenizer, context);
        let pair = |whole: Vec<u32>| {
            let n_context = context.len();
            let rest = with_bos(tokenizer, whole).into_iter().skip(n_context);
            Self { ids: context.iter().copied().chain(rest).collect(), n_context }
        };
        Ok(wholes.into_iter().map(pair).collect())
    }

    /// The ids of contexts with their continuations, each encoded as one text behind the begin of text, else the end of text:
    /// as nanochat encodes the items of CORE.
    ///
    /// What is scored is what choices do not begin with in common; where contexts differ, what all end with; of a single
    /// continuation, what stands behind the ids of its context.
    pub(crate) fn encode_whole<'t>(
        tokenizer: &Tokenizer,
        kind: Kind,
        texts: impl IntoIterator<Item = (&'t str, &'t str)>,
    ) -> Vec<Self> {
        let first = tokenizer.declared_bos().unwrap_or(tokenizer.end_of_text());
        let ids_of = |text: &str| -> Vec<u32> { [first].into_iter().chain(tokenizer.encode(text)).collect() };
        let texts: Vec<(&str, &str)> = texts.into_iter().collect();
        let all: Vec<Vec<u32>> =
            texts.iter().map(|(context, continuation)| ids_of(&[*context, *continuation].concat())).collect();
        let pair = |ids: Vec<u32>, n_context: usize| Self { ids, n_context: n_context.max(1) };
        let shortest = all.iter().map(Vec::len).min().unwrap_or(0);
        match kind {
            Kind::Continuation => {
                let contexts = texts.iter().map(|(context, _)| ids_of(python::rstrip(context)));
                all.into_iter()
                    .zip(contexts)
                    .map(|(ids, before)| {
                        let n = common(&ids, &before);
                        pair(ids, n)
                    })
                    .collect()
            }
            Kind::Contexts => {
                let is_same = |back: &usize| {
                    let at = |ids: &Vec<u32>| ids[ids.len() - 1 - back];
                    all.iter().all(|ids| at(ids) == at(&all[0]))
                };
                let n_same = (0..shortest).take_while(is_same).count();
                all.into_iter()
                    .map(|ids| {
                        let n = ids.len() - n_same;
                        pair(ids, n)
                    })
                    .collect()
            }
            Kind::Choices | Kind::Generate => {
                let n_same = all.iter().map(|ids| common(&all[0], ids)).min().unwrap_or(0);
                all.into_iter().map(|ids| pair(ids, n_same)).collect()
            }
        }
    }

    /// What is read before.
    pub fn context(&self) -> &[u32] {
        &self.ids[..self.n_context]
    }

    /// What is scored.
    pub fn continuation(&self) -> &[u32] {
        &self.ids[self.n_context..]
    }

    /// Tokens that are scored.
    pub(super) fn n_scored(&self) -> usize {
        self.ids.len() - self.n_context
    }

    /// What the model reads: all but the last token, cut from the left to `max_len`. The continuation is scored at its
    /// last positions.
    pub(super) fn input(&self, max_len: usize) -> &[u32] {
        let n = self.ids.len() - 1;
        &self.ids[n.saturating_sub(max_len)..n]
    }
}

/// Ids with the begin of text that the tokenizer puts in front of every text, where a template did not write it.
pub(crate) fn with_bos(tokenizer: &Tokenizer, mut ids: Vec<u32>) -> Vec<u32> {
    if let Some(bos) = tokenizer.bos().filter(|bos| ids.first() != Some(bos)) {
        ids.insert(0, bos);
    }
    if ids.is_empty() {
        ids.push(tokenizer.begin_of_text());
    }
    ids
}

/// What `encode` makes of a conversation; without its system message where it refuses that.
pub(crate) fn without_system<T>(
    messages: &[Message],
    encode: &dyn Fn(&[Message]) -> Result<T, DataError>,
) -> Result<T, DataError> {
    match (encode(messages), messages) {
        (Err(_), [first, rest @ ..]) if first.role == "system" => encode(rest),
        (result, _) => result,
    }
}
