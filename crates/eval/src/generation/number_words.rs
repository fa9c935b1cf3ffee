//! Numbers in English words, as the package `word2number` 1.1 reads them.

use std::sync::LazyLock;

use crate::python::Regex;

/// Words that a number is made of, as they are found in running text.
const WORD: &str = "zero|one|two|three|four|five|(?:twen|thir|for|fif|six|seven|nine)(?:teen|ty)|eight(?:een|y)|ten|\
    eleven|twelve|fourteen|hundred|thousand|(?:m|b|tr)illion";
/// The same between the first and the last of them.
const INNER: &str = "zero|one|two|three|four|five|(?:twen|thir|for|fif|six|seven|nine)(?:|teen|ty)|eight(?:een|y)|ten|\
    eleven|twelve|fourteen|hundred|thousand|(?:m|b|tr)illion";
/// And as the first.
const FIRST: &str = "zero|one|two|three|four|five|(?:twen|thir|for|fif|six|seven|nine)(?:teen|ty)|eight(?:|een|y)|ten|\
    eleven|twelve|fourteen|hundred|thousand|(?:m|b|tr)illion";

static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = format!(r"((?:(?:{FIRST})(?:{INNER}|[^\S\r\n]|,|and|&)+)?(?:{WORD}))");
    Regex::new(&pattern).expect("the pattern is a constant")
});

/// The number that `group_select` names among those in words, as digits; none where there is none, or where it is none.
pub(super) fn find(text: &str, group_select: i64) -> Option<String> {
    let words = NUMBER.select(&text.to_lowercase(), group_select).filter(|words| !words.is_empty())?;
    value(&words).map(|value| value.to_string())
}

/// `word_to_num` of a text without a decimal point.
fn value(text: &str) -> Option<u64> {
    let words: Vec<u64> = text.split_whitespace().filter_map(of_word).collect();
    let place = |unit: u64| words.iter().position(|word| *word == unit);
    let units = [1_000_000_000, 1_000_000, 1000];
    let is_twice = |unit: &u64| words.iter().filter(|word| *word == unit).count() > 1;
    let places = units.map(place);
    let found: Vec<usize> = places.iter().flatten().copied().collect();
    if words.is_empty() || units.iter().any(is_twice) || !found.is_sorted() {
        return None;
    }
    if let [word] = words[..] {
        return Some(word);
    }
    let (mut total, mut start) = (0_u64, 0);
    for (unit, place) in units.into_iter().zip(places) {
        if let Some(place) = place {
            total = total.checked_add(below_thousand(&words[start..place])?.checked_mul(unit)?)?;
            start = place + 1;
        }
    }
    if start < words.len() { total.checked_add(below_thousand(&words[start..])?) } else { Some(total) }
}

/// `number_formation`: what four words at most say, without a look at which they are.
fn below_thousand(words: &[u64]) -> Option<u64> {
    match *words {
        [a, b, c, d] => a.checked_mul(b)?.checked_add(c)?.checked_add(d),
        [a, b, c] => a.checked_mul(b)?.checked_add(c),
        [a, b] if a == 100 || b == 100 => a.checked_mul(b),
        [a, b] => a.checked_add(b),
        _ => words.first().copied(),
    }
}

fn of_word(word: &str) -> Option<u64> {
    const SMALL: [&str; 20] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    let small = SMALL.iter().position(|own| *own == word).map(|i| i as u64);
    let tens = || TENS.iter().position(|own| *own == word).map(|i| 10 * (i as u64 + 2));
    small.or_else(tens).or(match word {
        "hundred" => Some(100),
        "thousand" => Some(1000),
        "million" => Some(1_000_000),
        "billion" => Some(1_000_000_000),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_words_become_digits() {
        let cases = [
            ("I have twelve apples", Some("12")),
            ("two hundred and three", Some("203")),
            ("Twenty One.", Some("21")),
            ("seven", None),
            ("nineteen and six", Some("19")),
            ("one thousand two hundred ten", Some("1210")),
            ("a lot", None),
            ("thousand million", None),
        ];
        for (text, expected) in cases {
            assert_eq!(find(text, 0).as_deref(), expected, "{text}");
        }
    }
}
