//! How tokens are shown.

use data::Tokenizer;
use serde_json::{Value, json};

/// A token as text, with what is no UTF-8 as U+FFFD, and its bytes; special tokens by name.
pub(super) fn object(tokenizer: &Tokenizer, id: u32, logprob: f32) -> Value {
    let bytes = bytes(tokenizer, id);
    json!({"token": String::from_utf8_lossy(&bytes), "bytes": bytes, "logprob": logprob})
}

/// A token as the older interface names it: what is no UTF-8 as `bytes:\xe2\x80`, so that no two look alike.
pub(super) fn name(tokenizer: &Tokenizer, id: u32) -> String {
    let bytes = bytes(tokenizer, id);
    String::from_utf8(bytes).unwrap_or_else(|error| {
        let hex: String = error.as_bytes().iter().map(|byte| format!("\\x{byte:02x}")).collect();
        format!("bytes:{hex}")
    })
}

fn bytes(tokenizer: &Tokenizer, id: u32) -> Vec<u8> {
    let bytes = tokenizer.decode_bytes(&[id]);
    if bytes.is_empty() { tokenizer.show(id).into_bytes() } else { bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_keep_names_apart() {
        let tokenizer = Tokenizer::bytes();
        let ids = tokenizer.encode("aé");
        let names: Vec<String> = ids.iter().map(|id| name(&tokenizer, *id)).collect();
        assert_eq!(names, ["a", r"bytes:\xc3", r"bytes:\xa9"]);
        assert_eq!(name(&tokenizer, tokenizer.end_of_text()), "<|endoftext|>");
        assert_eq!(
            object(&tokenizer, ids[1], -0.5),
            json!({"token": "\u{fffd}", "bytes": [195], "logprob": -0.5})
        );
    }
}
