//! Text as it is generated, token by token.

use super::Tokenizer;

/// Turns ids into text one at a time and holds bytes back until they are whole characters.
///
/// ```
/// let tokenizer = data::Tokenizer::bytes();
/// let mut stream = data::StreamDecoder::new(tokenizer.clone());
/// let parts: Vec<String> = tokenizer.encode("né").iter().map(|&id| stream.push(id)).collect();
/// assert_eq!(parts, ["n", "", "é"]);
/// assert_eq!(stream.finish(), "");
/// ```
#[derive(Clone, Debug)]
pub struct StreamDecoder {
    tokenizer: Tokenizer,
    held: Vec<u8>,
}

impl StreamDecoder {
    /// A decoder that holds nothing yet.
    pub fn new(tokenizer: Tokenizer) -> Self {
        Self { tokenizer, held: Vec::new() }
    }

    /// The text that became certain with `id`; U+FFFD for bytes that can no longer become a character.
    pub fn push(&mut self, id: u32) -> String {
        self.held.extend_from_slice(self.tokenizer.bytes_of(id));
        let mut text = String::new();
        loop {
            let error = match std::str::from_utf8(&self.held) {
                Ok(rest) => {
                    text.push_str(rest);
                    self.held.clear();
                    return text;
                }
                Err(error) => error,
            };
            let (valid, rest) = self.held.split_at(error.valid_up_to());
            text.push_str(&String::from_utf8_lossy(valid));
            // Without a length the bytes may still become a character.
            let n_bad = error.error_len();
            self.held = rest[n_bad.unwrap_or(0)..].to_vec();
            if n_bad.is_none() {
                return text;
            }
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }

    /// What is still held, as U+FFFD.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.held)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever bytes a model gives, the parts together are the text of the whole.
        #[test]
        fn parts_make_the_whole(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let ids: Vec<u32> = bytes.iter().map(|&byte| 16 + u32::from(byte)).collect();
            let tokenizer = Tokenizer::bytes();
            let mut stream = StreamDecoder::new(tokenizer.clone());
            let mut text: String = ids.iter().map(|&id| stream.push(id)).collect();
            text.push_str(&stream.finish());
            prop_assert_eq!(text, tokenizer.decode(&ids));
        }
    }
}
