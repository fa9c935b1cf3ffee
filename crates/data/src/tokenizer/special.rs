//! Tokens that stand for structure, not for text.

/// A special token. The first sixteen ids are reserved for them in every vocabulary, so that a recipe may change
/// `vocab_size` and an alignment stage may start using one without renumbering anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Special {
    /// `<|endoftext|>`: begins and ends every document, as in GPT-2.
    EndOfText,
    /// `<|im_start|>`: begins a chat message, as in ChatML.
    ImStart,
    /// `<|im_end|>`: ends a chat message.
    ImEnd,
    /// `<|image|>`: the place of one image feature.
    Image,
    /// `<|reserved_0|>` to `<|reserved_11|>`: for later stages.
    Reserved(u8),
}

impl Special {
    /// How many ids are special.
    pub const COUNT: u32 = 16;
    const N_NAMED: u32 = 4;

    /// The id, the same in every vocabulary.
    ///
    /// # Panics
    /// If a reserved token's number is above 11.
    pub fn id(self) -> u32 {
        match self {
            Self::EndOfText => 0,
            Self::ImStart => 1,
            Self::ImEnd => 2,
            Self::Image => 3,
            Self::Reserved(i) => {
                assert!(u32::from(i) < Self::COUNT - Self::N_NAMED, "reserved token {i}, there are 0 to 11");
                Self::N_NAMED + u32::from(i)
            }
        }
    }

    /// The name, as `tokenizer.json` has it.
    pub fn name(self) -> String {
        match self {
            Self::EndOfText => "<|endoftext|>".to_owned(),
            Self::ImStart => "<|im_start|>".to_owned(),
            Self::ImEnd => "<|im_end|>".to_owned(),
            Self::Image => "<|image|>".to_owned(),
            Self::Reserved(i) => format!("<|reserved_{i}|>"),
        }
    }

    /// Every name in the order of the ids.
    pub(super) fn names() -> impl Iterator<Item = String> {
        let reserved = (0..(Self::COUNT - Self::N_NAMED) as u8).map(Self::Reserved);
        [Self::EndOfText, Self::ImStart, Self::ImEnd, Self::Image].into_iter().chain(reserved).map(Self::name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_at_their_ids() {
        let names: Vec<_> = Special::names().collect();
        assert_eq!(names.len(), Special::COUNT as usize);
        for special in [Special::EndOfText, Special::ImEnd, Special::Image, Special::Reserved(11)] {
            assert_eq!(names[special.id() as usize], special.name());
        }
    }
}
