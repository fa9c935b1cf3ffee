//! Text to be reversed.

use base::Rng;
use data::Message;

use super::{Dialogue, Environment, EnvironmentError, Side, Turn};

/// A word of random letters is to be written backwards; the reward is the share of letters that stand where they should.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reverse;

impl Environment for Reverse {
    fn name(&self) -> &str {
        "reverse"
    }

    fn begin(&self, side: Side, n: u64) -> Result<Box<dyn Dialogue + '_>, EnvironmentError> {
        let mut rng = Rng::named(n, "words to reverse");
        let length = 3 + rng.below(4) as usize;
        let mut word: String = (0..length).map(|_| char::from(b'a' + rng.below(26) as u8)).collect();
        // A word that begins with a vowel is on the other side.
        let is_held_out = word.starts_with(['a', 'e', 'i', 'o', 'u']);
        if is_held_out != (side == Side::HeldOut) {
            let first =
                if side == Side::HeldOut { b"aeiou"[(n % 5) as usize] } else { b"bcdfg"[(n % 5) as usize] };
            word.replace_range(..1, char::from(first).encode_utf8(&mut [0; 4]));
        }
        Ok(Box::new(Word(word)))
    }
}

struct Word(String);

impl Dialogue for Word {
    fn messages(&self) -> Vec<Message> {
        vec![Message::new("user", format!("Reverse: {}", self.0))]
    }

    fn answer(&mut self, text: &str, _: bool) -> Result<Turn, EnvironmentError> {
        Ok(Turn::last(similarity(&self.0.chars().rev().collect::<String>(), text.trim())))
    }

    /// The word backwards, or other letters.
    fn shown(&self, rng: &mut Rng, knows_how: bool) -> Option<String> {
        let other = |_: char| char::from(b'a' + rng.below(26) as u8);
        Some(if knows_how { self.0.chars().rev().collect() } else { self.0.chars().map(other).collect() })
    }
}

/// Share of characters that are equal at their place, of the longer of two texts.
fn similarity(expected: &str, found: &str) -> f64 {
    let n_equal = expected.chars().zip(found.chars()).filter(|(a, b)| a == b).count();
    n_equal as f64 / expected.chars().count().max(found.chars().count()).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reversed_words_are_rewarded_and_sides_are_apart() {
        for n in 0..200 {
            let word = |side| {
                let dialogue = Reverse.begin(side, n).unwrap();
                dialogue.messages()[0].content.strip_prefix("Reverse: ").unwrap().to_owned()
            };
            assert!(word(Side::HeldOut).starts_with(['a', 'e', 'i', 'o', 'u']));
            assert!(!word(Side::Training).starts_with(['a', 'e', 'i', 'o', 'u']));
        }
        let mut dialogue = Reverse.begin(Side::Training, 3).unwrap();
        let word = dialogue.messages()[0].content["Reverse: ".len()..].to_owned();
        let backwards: String = word.chars().rev().collect();
        assert_eq!(dialogue.answer(&format!(" {backwards}\n"), true).unwrap(), Turn::last(1.0));
        assert!(dialogue.answer(&format!("{backwards}{backwards}"), true).unwrap().reward <= 0.51);
        assert_eq!(similarity("abc", ""), 0.0);
        assert_eq!(similarity("abc", "abd"), 2.0 / 3.0);
    }
}
