//! Which tokens may be drawn.

/// A set of token ids, one bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenSet(Vec<u32>);

impl TokenSet {
    /// The ids whose bits are set: id `i` is bit `i % 32` of word `i / 32`.
    pub fn from_words(words: Vec<u32>) -> Self {
        Self(words)
    }

    /// Whether it is in the set.
    pub fn contains(&self, id: u32) -> bool {
        self.0.get(id as usize / 32).is_some_and(|word| word >> (id % 32) & 1 == 1)
    }
}

impl FromIterator<u32> for TokenSet {
    fn from_iter<I: IntoIterator<Item = u32>>(ids: I) -> Self {
        let mut words = Vec::new();
        for id in ids {
            let word = id as usize / 32;
            words.resize(words.len().max(word + 1), 0);
            words[word] |= 1 << (id % 32);
        }
        Self(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_bits_of_words() {
        let set: TokenSet = [0, 31, 32, 70].into_iter().collect();
        assert_eq!(set, TokenSet::from_words(vec![1 | 1 << 31, 1, 1 << 6]));
        let found: Vec<u32> = (0..200).filter(|&id| set.contains(id)).collect();
        assert_eq!(found, [0, 31, 32, 70]);
    }
}
