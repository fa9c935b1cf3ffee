//! Upper case, lower case and kinds of characters, as Python's `str` has them.

use std::sync::LazyLock;

use regex::Regex;

use super::{
    failure::{Result, unsupported},
    meter::Meter,
    text::{Builder, Char, TYPED, Text, is_space, plain, to_char},
};

/// `str.upper`
pub(crate) fn upper(chars: &[Char], meter: &Meter) -> Result<Text> {
    let mut out = Builder::new(meter);
    for &c in chars {
        to_char(c).to_uppercase().try_for_each(|u| out.push(u32::from(u) | (c & TYPED)))?;
    }
    Ok(out.finish())
}

/// `str.lower`
pub(crate) fn lower(chars: &[Char], meter: &Meter) -> Result<Text> {
    let mut out = Builder::new(meter);
    if chars.iter().any(|c| to_char(*c) == 'Σ') {
        // What a capital sigma becomes depends on the letters beside it.
        meter.make(2 * chars.len())?;
        let whole: String = chars.iter().map(|c| to_char(*c)).collect();
        let lowered = whole.to_lowercase();
        let mut lowered = lowered.chars();
        for &c in chars {
            let n = to_char(c).to_lowercase().count();
            lowered.by_ref().take(n).try_for_each(|l| out.push(u32::from(l) | (c & TYPED)))?;
        }
        return Ok(out.finish());
    }
    for &c in chars {
        to_char(c).to_lowercase().try_for_each(|l| out.push(u32::from(l) | (c & TYPED)))?;
    }
    Ok(out.finish())
}

/// Writes the title case of a character.
fn title_char(c: Char, out: &mut Builder<'_>) -> Result<()> {
    let letter = to_char(c);
    if letter.is_ascii() {
        return out.push(u32::from(letter.to_ascii_uppercase()) | (c & TYPED));
    }
    let mut upper = letter.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) if !matches!(plain(c), 0x1c4..=0x1cc | 0x1f1..=0x1f3 | 0x10d0..=0x10ff) => {
            out.push(u32::from(one) | (c & TYPED))
        }
        _ => unsupported(format!("the title case of `{letter}`")),
    }
}

/// `str.capitalize`
pub(crate) fn capitalize(chars: &[Char], meter: &Meter) -> Result<Text> {
    let mut out = Builder::new(meter);
    if let Some((first, rest)) = chars.split_first() {
        title_char(*first, &mut out)?;
        out.extend(lower(rest, meter)?.chars())?;
    }
    Ok(out.finish())
}

/// `str.title`: every run of letters begins with a capital.
pub(crate) fn title(chars: &[Char], meter: &Meter) -> Result<Text> {
    let mut out = Builder::new(meter);
    let lowered = lower(chars, meter)?;
    if lowered.len() != chars.len() {
        return unsupported("the title case of a letter that becomes two");
    }
    let mut in_word = false;
    for (&c, &low) in chars.iter().zip(lowered.chars()) {
        if in_word {
            out.push(low)?
        } else {
            title_char(c, &mut out)?
        }
        in_word = is_cased(c);
    }
    Ok(out.finish())
}

/// The filter `title`: every word begins with a capital, words end at blanks, `-`, `(`, `{`, `[` and `<`.
pub(crate) fn title_words(chars: &[Char], meter: &Meter) -> Result<Text> {
    let mut out = Builder::new(meter);
    let breaks = |c: Char| is_space(c) || "-({[<".contains(to_char(c));
    let mut rest = chars;
    while let Some(first) = rest.first() {
        let kind = breaks(*first);
        let len = rest.iter().take_while(|c| breaks(**c) == kind).count();
        out.extend(upper(&rest[..1], meter)?.chars())?;
        out.extend(lower(&rest[1..len], meter)?.chars())?;
        rest = &rest[len..];
    }
    Ok(out.finish())
}

/// `str.swapcase`
pub(crate) fn swap(chars: &[Char], meter: &Meter) -> Result<Text> {
    let lowered = lower(chars, meter)?;
    if lowered.len() != chars.len() {
        return unsupported("`swapcase` of a letter that becomes two");
    }
    let mut out = Builder::new(meter);
    for (&c, &low) in chars.iter().zip(lowered.chars()) {
        match to_char(c) {
            letter if letter.is_uppercase() => out.push(low)?,
            letter if letter.is_lowercase() => out.extend(upper(&[c], meter)?.chars())?,
            _ => out.push(c)?,
        }
    }
    Ok(out.finish())
}

fn matches(pattern: &Regex, letter: char) -> bool {
    pattern.is_match(letter.encode_utf8(&mut [0; 4]))
}

fn is_title(letter: char) -> bool {
    static TITLE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\p{Lt}").expect("the pattern is a constant"));
    !letter.is_ascii() && matches(&TITLE, letter)
}

fn is_cased(c: Char) -> bool {
    let letter = to_char(c);
    letter.is_uppercase() || letter.is_lowercase() || is_title(letter)
}

pub(crate) fn is_letter(c: Char) -> bool {
    static LETTER: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\p{L}").expect("the pattern is a constant"));
    let letter = to_char(c);
    if letter.is_ascii() { letter.is_ascii_alphabetic() } else { matches(&LETTER, letter) }
}

/// A letter or a number of any kind.
pub(crate) fn is_alphanumeric(c: Char) -> bool {
    static NUMBER: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\p{N}").expect("the pattern is a constant"));
    let letter = to_char(c);
    if letter.is_ascii() { letter.is_ascii_alphanumeric() } else { is_letter(c) || matches(&NUMBER, letter) }
}

/// `str.isupper` or `str.islower`
pub(crate) fn is_all(chars: &[Char], upper: bool) -> bool {
    let wanted = |letter: char| if upper { letter.is_uppercase() } else { letter.is_lowercase() };
    let cased: Vec<char> = chars.iter().filter(|c| is_cased(**c)).map(|c| to_char(*c)).collect();
    !cased.is_empty() && cased.into_iter().all(wanted)
}

/// `str.istitle`
pub(crate) fn is_title_cased(chars: &[Char]) -> bool {
    let (mut any, mut in_word) = (false, false);
    for &c in chars {
        let letter = to_char(c);
        if is_cased(c) {
            if in_word != letter.is_lowercase() {
                return false;
            }
            (any, in_word) = (true, true);
        } else {
            in_word = false;
        }
    }
    any
}
