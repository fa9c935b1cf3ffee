//! One checker for each kind of instruction.

use std::sync::LazyLock;

use serde_json::Value;

use super::{json, language, sentences};
use crate::python::{Regex, strip};

/// Whether a text follows the instruction of this name with these settings. What is not known is not followed.
pub(super) fn follows(id: &str, settings: &Value, text: &str) -> bool {
    let word = |name: &str| settings[name].as_str().unwrap_or_default();
    let number = |name: &str| settings[name].as_f64().unwrap_or_default();
    let words = |name: &str| settings[name].as_array().into_iter().flatten().filter_map(Value::as_str);
    // At least so many, or fewer.
    let compared = |found: usize, wanted: &str, relation: &str| match word(relation) {
        "less than" => (found as f64) < number(wanted),
        _ => found as f64 >= number(wanted),
    };
    let exactly = |found: usize, wanted: &str| found as f64 == number(wanted);
    match id {
        "keywords:existence" => words("keywords").all(|keyword| n_found(keyword, text) > 0),
        "keywords:forbidden_words" => {
            words("forbidden_words").all(|word| n_found(&format!(r"\b{word}\b"), text) == 0)
        }
        "keywords:frequency" => compared(n_found(strip(word("keyword")), text), "frequency", "relation"),
        "keywords:letter_frequency" => {
            let letter = word("letter").to_lowercase();
            let n = text.to_lowercase().chars().filter(|c| letter.starts_with(*c)).count();
            compared(n, "let_frequency", "let_relation")
        }
        "language:response_language" => language::is(text, word("language")),
        "length_constraints:number_sentences" => {
            compared(sentences::count(text), "num_sentences", "relation")
        }
        "length_constraints:number_words" => {
            static WORD: LazyLock<Regex> = LazyLock::new(|| constant(r"\w+"));
            compared(WORD.find_all(text).len(), "num_words", "relation")
        }
        "length_constraints:number_paragraphs" => {
            n_paragraphs(text).is_some_and(|n| exactly(n, "num_paragraphs"))
        }
        "length_constraints:nth_paragraph_first_word" => {
            nth_paragraph(text, number("num_paragraphs"), number("nth_paragraph"), word("first_word"))
        }
        "detectable_content:number_placeholders" => {
            static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| constant(r"\[.*?\]"));
            PLACEHOLDER.find_all(text).len() as f64 >= number("num_placeholders")
        }
        "detectable_content:postscript" => has_postscript(text, strip(word("postscript_marker"))),
        "detectable_format:number_bullet_lists" => {
            static STAR: LazyLock<Regex> = LazyLock::new(|| constant(r"(?m)^\s*\*[^\*].*$"));
            static DASH: LazyLock<Regex> = LazyLock::new(|| constant(r"(?m)^\s*-.*$"));
            exactly(STAR.find_all(text).len() + DASH.find_all(text).len(), "num_bullets")
        }
        "detectable_format:constrained_response" => {
            let options = ["My answer is yes.", "My answer is no.", "My answer is maybe."];
            options.iter().any(|option| strip(text).contains(option))
        }
        "detectable_format:number_highlighted_sections" => {
            n_highlights(text) as f64 >= number("num_highlights")
        }
        "detectable_format:multiple_sections" => {
            let pattern = format!(r"\s?{}\s?\d+\s?", strip(word("section_spliter")));
            Regex::new(&pattern)
                .is_ok_and(|regex| regex.find_all(text).len() as f64 >= number("num_sections"))
        }
        "detectable_format:json_format" => is_json(text),
        "detectable_format:title" => {
            static TITLE: LazyLock<Regex> = LazyLock::new(|| constant(r"<<[^\n]+>>"));
            let title = |found: &str| {
                let inner = found.trim_start_matches('<').trim_end_matches('>');
                !strip(inner).is_empty()
            };
            TITLE.find_all(text).into_iter().flatten().any(title)
        }
        "combination:two_responses" => has_two_responses(text),
        "combination:repeat_prompt" => {
            let prompt = strip(word("prompt_to_repeat")).to_lowercase();
            strip(text).to_lowercase().starts_with(&prompt)
        }
        "startend:end_checker" => {
            let end = strip(word("end_phrase")).to_lowercase();
            strip(text).trim_matches('"').to_lowercase().ends_with(&end)
        }
        "startend:quotation" => {
            let text = strip(text);
            text.len() > 1 && text.starts_with('"') && text.ends_with('"')
        }
        "change_case:capital_word_frequency" => {
            let n = sentences::words(text).iter().filter(|word| is_upper(word)).count();
            compared(n, "capital_frequency", "capital_relation")
        }
        "change_case:english_capital" => is_upper(text) && language::is(text, "en"),
        "change_case:english_lowercase" => is_lower(text) && language::is(text, "en"),
        "punctuation:no_comma" => !text.contains(','),
        _ => false,
    }
}

fn constant(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

/// How often a pattern of the data is found, of whatever case. One that is no pattern is a text.
fn n_found(pattern: &str, text: &str) -> usize {
    let count = |regex: Regex| regex.find_all(text).len();
    let plain = || text.to_lowercase().matches(&pattern.to_lowercase()).count();
    Regex::new(&format!("(?i){pattern}")).map_or_else(|_| plain(), count)
}

/// Paragraphs between lines of three asterisks; none if one within is empty.
fn n_paragraphs(text: &str) -> Option<usize> {
    static RULE: LazyLock<Regex> = LazyLock::new(|| constant(r"\s?\*\*\*\s?"));
    let paragraphs = RULE.split(text);
    let last = paragraphs.len() - 1;
    let empty = paragraphs.iter().enumerate().filter(|(_, paragraph)| strip(paragraph).is_empty());
    let places: Vec<usize> = empty.map(|(i, _)| i).collect();
    places.iter().all(|i| *i == 0 || *i == last).then(|| paragraphs.len() - places.len())
}

fn nth_paragraph(text: &str, n_wanted: f64, nth: f64, first_word: &str) -> bool {
    let paragraphs: Vec<&str> = text.split("\n\n").collect();
    let n = paragraphs.iter().filter(|paragraph| !strip(paragraph).is_empty()).count();
    if nth < 1.0 || nth > n as f64 {
        return false;
    }
    let paragraph = strip(paragraphs[nth as usize - 1]);
    let Some(word) = paragraph.split_whitespace().next() else { return false };
    let word = word.trim_start_matches('\'').trim_start_matches('"');
    let end = word.find(['.', ',', '?', '!', '\'', '"']).unwrap_or(word.len());
    n as f64 == n_wanted && word[..end].to_lowercase() == first_word.to_lowercase()
}

fn has_postscript(text: &str, marker: &str) -> bool {
    let text = text.to_lowercase();
    let pattern = match marker {
        "P.P.S" => r"\s*p\.\s?p\.\s?s.*".to_owned(),
        "P.S." => r"\s*p\.\s?s\..*".to_owned(),
        other => format!(r"\s*{}.*", other.to_lowercase()),
    };
    Regex::new(&pattern).is_ok_and(|regex| !regex.find_all(&text).is_empty())
}

fn n_highlights(text: &str) -> usize {
    static SINGLE: LazyLock<Regex> = LazyLock::new(|| constant(r"\*[^\n\*]*\*"));
    static DOUBLE: LazyLock<Regex> = LazyLock::new(|| constant(r"\*\*[^\n\*]*\*\*"));
    let is_some = |found: &&str| !strip(found.trim_matches('*')).is_empty();
    let single = SINGLE.find_all(text).into_iter().flatten().filter(is_some).count();
    let double = DOUBLE.find_all(text).into_iter().flatten().filter(is_some).count();
    single + double
}

fn is_json(text: &str) -> bool {
    let mut text = strip(text);
    for fence in ["```json", "```Json", "```JSON", "```"] {
        text = text.strip_prefix(fence).unwrap_or(text);
    }
    json::is_valid(strip(text.strip_suffix("```").unwrap_or(text)))
}

fn has_two_responses(text: &str) -> bool {
    let parts: Vec<&str> = text.split("******").collect();
    let last = parts.len() - 1;
    let is_inner_empty = |(i, part): (usize, &&str)| strip(part).is_empty() && i != 0 && i != last;
    let valid: Vec<&str> = parts.iter().map(|part| strip(part)).filter(|part| !part.is_empty()).collect();
    !parts.iter().enumerate().any(is_inner_empty) && matches!(valid[..], [a, b] if a != b)
}

/// `str.isupper`.
fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(|c| c.is_lowercase() || is_title(c))
}

/// `str.islower`.
fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(|c| c.is_uppercase() || is_title(c))
}

/// Letters that are capital in their first half, such as ǅ.
fn is_title(c: char) -> bool {
    matches!(c as u32, 0x1c5 | 0x1c8 | 0x1cb | 0x1f2 | 0x1f88..=0x1f8f | 0x1f98..=0x1f9f | 0x1fa8..=0x1faf | 0x1fbc | 0x1fcc | 0x1ffc)
}
