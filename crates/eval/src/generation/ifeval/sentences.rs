//! Sentences and words, near what NLTK makes of a text.
//!
//! Differs: NLTK's sentences come from a table that was trained on English news; here a sentence ends with its mark unless
//! that belongs to a well-known abbreviation, an initial or a number.

use std::sync::LazyLock;

use crate::python::{Regex, strip};

/// Abbreviations that stand in front of a name or a number.
const ABBREVIATIONS: [&str; 26] = [
    "mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "inc", "ltd", "co", "corp", "vs", "etc", "e.g", "i.e",
    "u.s", "u.k", "no", "fig", "al", "gen", "col", "sen", "rep", "gov",
];

/// How many sentences a text has.
pub(super) fn count(text: &str) -> usize {
    let text = strip(text);
    let words: Vec<&str> = text.split_whitespace().collect();
    let ends = words.windows(2).filter(|pair| ends_sentence(pair[0], pair[1])).count();
    if words.is_empty() { 0 } else { ends + 1 }
}

/// Whether a sentence ends with a word, given the next one.
fn ends_sentence(word: &str, next: &str) -> bool {
    let core = word.trim_end_matches(['"', '\'', ')', ']', '}', '”', '’', '*', '_']);
    let begins = next.trim_start_matches(['"', '\'', '(', '[', '“', '‘', '*', '_']).chars().next();
    if core.ends_with(['!', '?']) {
        return true;
    }
    let Some(stem) = core.strip_suffix('.') else { return false };
    let is_initial = stem.chars().count() == 1 && stem.chars().all(char::is_alphabetic);
    let is_abbreviation = ABBREVIATIONS.contains(&stem.to_lowercase().trim_start_matches(['(', '"']));
    let is_number = !stem.is_empty() && stem.chars().all(|c| c.is_ascii_digit());
    let goes_on = begins.is_some_and(char::is_lowercase);
    !(is_initial || is_abbreviation || is_number && stem.len() < 3 || goes_on)
}

/// The words of a text, with punctuation and the parts of contractions by themselves, as `nltk.word_tokenize` has them.
pub(super) fn words(text: &str) -> Vec<String> {
    static RULES: LazyLock<[(Regex, &str); 4]> = LazyLock::new(|| {
        let rule = |pattern: &str| Regex::new(pattern).expect("the pattern is a constant");
        [
            (rule(r"[;@#$%&?!\[\](){}<>“”«»]|--|\.\.+|``|''"), " "),
            (rule(r"(?<=\S)[:,](?=\D)|[:,]$"), " "),
            (rule(r#"""#), " "),
            (rule(r"(?i)(?=(?:'s|'m|'d|'ll|'re|'ve|n't)(?:\W|$))"), " "),
        ]
    });
    let mut text = text.to_owned();
    for (rule, with) in RULES.iter() {
        text = rule.replace(&text, with);
    }
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_with_their_marks() {
        let cases = [
            ("", 0),
            ("One", 1),
            ("One. Two! Three? Four", 4),
            ("Dr. Smith met J. Doe at 3.5 p.m. on Monday.", 1),
            ("He said \"Stop.\" She left.", 2),
            ("1. First item. 2. Second one.", 2),
        ];
        for (text, expected) in cases {
            assert_eq!(count(text), expected, "{text}");
        }
    }

    #[test]
    fn contractions_are_two_words() {
        assert_eq!(words("I'M HERE, DON'T R&D (NOW)!"), ["I", "'M", "HERE", "DO", "N'T", "R", "D", "NOW"]);
    }
}
