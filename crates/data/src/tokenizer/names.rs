//! Names of special tokens in texts.

use serde::{Deserialize, Serialize};

use super::{Text, Tokenizer};

/// What the names of special tokens in a text are taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpecialTokens {
    /// For letters, as every other text: what people wrote.
    #[default]
    Text,
    /// For the tokens that they name: what a program wrote, such as conversations through a chat template.
    Parse,
}

impl SpecialTokens {
    /// Whether it is the default.
    pub fn is_text(&self) -> bool {
        *self == Self::Text
    }
}

/// The special tokens of a tokenizer by the first byte of their names, the longest first.
#[derive(Clone, Debug)]
pub struct SpecialNames(Vec<Vec<(Vec<u8>, u32)>>);

impl SpecialNames {
    /// Those of `tokenizer`.
    pub fn of(tokenizer: &Tokenizer) -> Self {
        let mut names = vec![Vec::new(); 256];
        for (name, id) in tokenizer.special_tokens() {
            names[usize::from(name.as_bytes()[0])].push((name.as_bytes().to_vec(), id));
        }
        names.iter_mut().for_each(|names| names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len())));
        Self(names)
    }

    /// The names in a text, from left to right, as places in it.
    ///
    /// ```
    /// let names = data::SpecialNames::of(&data::Tokenizer::bytes());
    /// assert_eq!(names.find("a<|im_end|>b").collect::<Vec<_>>(), [1..11]);
    /// ```
    pub fn find<'a>(&'a self, text: &'a str) -> impl Iterator<Item = std::ops::Range<usize>> + 'a {
        let bytes = text.as_bytes();
        let mut at = 0;
        std::iter::from_fn(move || {
            while at < bytes.len() {
                let here = &bytes[at..];
                if let Some((name, _)) =
                    self.0[usize::from(bytes[at])].iter().find(|(name, _)| here.starts_with(name))
                {
                    let found = at..at + name.len();
                    at = found.end;
                    return Some(found);
                }
                at += 1;
            }
            None
        })
    }
}

impl Tokenizer {
    /// The ids of a text, whose names of special tokens are taken for what `special` says.
    pub fn encode_as(&self, text: &str, special: SpecialTokens) -> Vec<u32> {
        match special {
            SpecialTokens::Text => self.encode(text),
            SpecialTokens::Parse => self.encode_with_specials(text),
        }
    }

    /// As [`Tokenizer::encode`], with the names of special tokens taken for those tokens: for text that a program wrote.
    pub fn encode_with_specials(&self, text: &str) -> Vec<u32> {
        match &self.0.text {
            Text::Imported(imported) => imported.encode_with_specials(text),
            Text::Native(encoder) => {
                let names = SpecialNames::of(self);
                let (mut ids, mut start) = (Vec::new(), 0);
                for found in names.find(text) {
                    ids.extend(encoder.encode(&text[start..found.start]));
                    ids.extend(self.special(&text[found.clone()]));
                    start = found.end;
                }
                ids.extend(encoder.encode(&text[start..]));
                ids
            }
        }
    }
}
