//! Bytes as letters that any text may hold.

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Encodes bytes as base64, with padding (RFC 4648, section 4).
///
/// ```
/// assert_eq!(base::base64::encode(b"Ma"), "TWE=");
/// assert_eq!(base::base64::decode("TWE").as_deref(), Some(&b"Ma"[..]));
/// assert_eq!(base::base64::decode("T"), None);
/// ```
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for triple in bytes.chunks(3) {
        let mut word = [0u8; 4];
        word[1..=triple.len()].copy_from_slice(triple);
        let word = u32::from_be_bytes(word);
        for i in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= triple.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

/// Decodes base64 with or without its padding; `None` where a letter does not belong to it.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    if text.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for quad in text.chunks(4) {
        let mut word = 0u32;
        for (i, letter) in quad.iter().enumerate() {
            let value = match letter {
                b'A'..=b'Z' => letter - b'A',
                b'a'..=b'z' => letter - b'a' + 26,
                b'0'..=b'9' => letter - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            word |= u32::from(value) << (18 - 6 * i);
        }
        bytes.extend_from_slice(&word.to_be_bytes()[1..quad.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_everybody() {
        for (text, want) in [
            ("", &b""[..]),
            ("TQ==", b"M"),
            ("TWE=", b"Ma"),
            ("TWFu", b"Man"),
            ("+/8A", &[251, 255, 0]),
            ("AAECAwQ=", &[0, 1, 2, 3, 4]),
        ] {
            assert_eq!(decode(text).as_deref(), Some(want), "{text}");
            assert_eq!(decode(text.trim_end_matches('=')).as_deref(), Some(want), "{text}");
            assert_eq!(encode(want), text);
        }
        for text in ["T", "TWFuT", "TW-u", "TW u", "T=Wu", "TWé"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
