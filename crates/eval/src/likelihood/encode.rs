//! Context and continuation to ids, as lm-evaluation-harness does it for `hf` models.

use data::Tokenizer;

use crate::python;

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
