//! What a template wrote, to ids.

use rustc_hash::FxHashMap;

use super::jinja::{Char, TYPED, to_char};
use crate::Tokenizer;

/// The ids of a rendered conversation: special tokens where the template spelled them, text everywhere else. A name of
/// which one character comes from a message is text.
pub(super) fn ids(tokenizer: &Tokenizer, written: &[Char]) -> Vec<u32> {
    let names = Names::of(tokenizer);
    let mut ids = Vec::new();
    let (mut text_start, mut at) = (0, 0);
    let text = |from: usize, to: usize| written[from..to].iter().map(|c| to_char(*c)).collect::<String>();
    while at < written.len() {
        match names.at(&written[at..]) {
            Some((id, len)) => {
                ids.extend(tokenizer.encode(&text(text_start, at)));
                ids.push(id);
                at += len;
                text_start = at;
            }
            None => at += 1,
        }
    }
    ids.extend(tokenizer.encode(&text(text_start, written.len())));
    ids
}

/// Where the last special token that a template spelled ends; none where there is none.
pub(super) fn end_of_last_special(tokenizer: &Tokenizer, written: &[Char]) -> Option<usize> {
    let names = Names::of(tokenizer);
    let (mut at, mut end) = (0, None);
    while at < written.len() {
        at += match names.at(&written[at..]) {
            Some((_, len)) => {
                end = Some(at + len);
                len
            }
            None => 1,
        };
    }
    end
}

/// Special tokens by the first character of their names, the longest first.
struct Names(FxHashMap<Char, Vec<(Vec<Char>, u32)>>);

impl Names {
    fn of(tokenizer: &Tokenizer) -> Self {
        let mut names: FxHashMap<Char, Vec<(Vec<Char>, u32)>> = FxHashMap::default();
        for (name, id) in tokenizer.special_tokens() {
            let chars: Vec<Char> = name.chars().map(u32::from).collect();
            if let Some(first) = chars.first() {
                names.entry(*first).or_default().push((chars, id));
            }
        }
        names.values_mut().for_each(|names| names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len())));
        Self(names)
    }

    /// The special token that `written` begins with, and the length of its name. Typed characters match none.
    fn at(&self, written: &[Char]) -> Option<(u32, usize)> {
        let first = written.first().filter(|c| **c & TYPED == 0)?;
        self.0
            .get(first)?
            .iter()
            .find(|(name, _)| written.starts_with(name))
            .map(|(name, id)| (*id, name.len()))
    }
}
