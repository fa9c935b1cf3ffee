//! What Python computes where scores depend on it: random draws, patterns and white space.

mod random;
mod regex;

pub use random::Random;
pub(crate) use regex::Regex;

/// Whether `str.strip` of Python removes the character.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `str.rstrip`.
pub(crate) fn rstrip(text: &str) -> &str {
    text.trim_end_matches(is_space)
}

/// `str.strip`.
pub(crate) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_those_of_python() {
        // [c for c in map(chr, range(0x110000)) if c.isspace()] of Python 3.11
        let spaces: Vec<u32> = (0..0x11_0000).filter(|&c| char::from_u32(c).is_some_and(is_space)).collect();
        let expected: Vec<u32> = (0x9..=0xd)
            .chain(0x1c..=0x20)
            .chain([0x85, 0xa0, 0x1680])
            .chain(0x2000..=0x200a)
            .chain([0x2028, 0x2029, 0x202f, 0x205f, 0x3000])
            .collect();
        assert_eq!(spaces, expected);
        assert_eq!((rstrip(" a\u{1c}\n"), strip("\u{a0}a ")), (" a", "a"));
    }
}
